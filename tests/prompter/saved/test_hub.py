"""Uploads and downloads by the real client of the hub, against a hub on this machine."""

import json
from pathlib import Path

import pytest
import yaml
from huggingface_hub import constants

from distill.common.errors import InputError
from distill.student import load_student
from distill.teachers.loading import load_teacher
from prompter import Prompter
from prompter.cli import main
from prompter.saved.hub import forget, upload_dataset, upload_model
from tests.prompter.saved.hub_server import TOKEN, Hub, hub  # noqa: F401
from tests.prompter.tiny import tiny_teacher, word_tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "made"
    place.mkdir()
    (place / "config.json").write_text("{}")
    (place / "model.safetensors").write_bytes(b"weights" * 100)
    (place / "summary.json").write_text('{"teacher": "/home/me/secret"}')
    (place / "README.md").write_text('---\nlicense: mit\n---\npipeline("text-classification", "/home/me/made")\n')
    (place / "onnx").mkdir()
    (place / "onnx" / "model.onnx").write_bytes(b"program")
    return place


def test_a_model_is_private_unless_public_and_tells_nothing_of_this_machine(hub: Hub, folder: Path) -> None:  # noqa: F811
    assert upload_model(folder, "me/small", public=False, made_by="distill").endswith("/me/small")
    assert hub.repos["model", "me/small"]["private"]
    files = hub.files("me/small")
    assert set(files) == {"config.json", "model.safetensors", "README.md", "onnx/model.onnx"}
    assert files["model.safetensors"] == b"weights" * 100
    assert b"/home/me" not in b"".join(files.values())
    assert 'pipeline("text-classification", "me/small")' in (folder / "README.md").read_text()
    upload_model(folder, "me/open", public=True, made_by="distill")
    assert not hub.repos["model", "me/open"]["private"]


def test_the_card_of_a_tagger_names_its_id_too(hub: Hub, folder: Path) -> None:  # noqa: F811
    (folder / "README.md").write_text('---\nlicense: mit\n---\npipeline("token-classification", "/home/me/made", x="y")\n')
    upload_model(folder, "me/tagger", public=False, made_by="distill")
    assert 'pipeline("token-classification", "me/tagger", x="y")' in (folder / "README.md").read_text()


def test_the_card_of_a_prompter_names_the_id_of_the_last_upload(hub: Hub, folder: Path) -> None:  # noqa: F811
    (folder / "README.md").write_text('---\nlicense: mit\n---\np = Prompter.load("path/to/this/folder")  # base="..."\n')
    for name in ("me/mine", "me/renamed"):
        upload_model(folder, name, public=False, made_by="train")
        assert f'p = Prompter.from_pretrained("{name}")  # base="..."\n' in (folder / "README.md").read_text()


def test_a_repository_of_the_other_visibility_is_left_alone(hub: Hub, folder: Path) -> None:  # noqa: F811
    (folder / ".export").mkdir()
    (folder / ".export" / "state.sqlite").write_text("state")
    for public in (True, False):
        upload_dataset(folder, f"me/{public}".lower(), public, "export")
        before = dict(hub.files(f"me/{public}".lower(), "dataset"))
        assert before and not [name for name in before if ".export" in name]
        (folder / "new.txt").write_text("new")
        found = "exists and is public: give another id, or --public" if public else "exists and is private: give another id"
        with pytest.raises(InputError, match=found):
            upload_dataset(folder, f"me/{public}".lower(), not public, "export")
        assert hub.files(f"me/{public}".lower(), "dataset") == before
        (folder / "new.txt").unlink()


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_hub_that_refuses_is_one_line_without_the_token(hub: Hub, folder: Path, status: int) -> None:  # noqa: F811
    hub.refused = status
    with pytest.raises(InputError, match=rf"me/small was not uploaded \(HTTP {status}\); the model is complete in") as caught:
        upload_model(folder, "me/small", False, "distill")
    assert TOKEN not in str(caught.value) and "\n" not in str(caught.value) and (folder / "model.safetensors").is_file()


def test_a_lost_network_leaves_the_folder_whole_and_the_next_call_goes_on(hub: Hub, folder: Path) -> None:  # noqa: F811
    hub.lost = "/commit/"
    with pytest.raises(InputError, match="me/small was not uploaded.*give the same command again"):
        upload_model(folder, "me/small", False, "distill")
    assert not hub.files("me/small") and len(hub.blobs) == 1
    hub.lost = ""
    before = len(hub.requests)
    upload_model(folder, "me/small", False, "distill")
    assert hub.files("me/small")["model.safetensors"] == b"weights" * 100
    assert not [line for line in hub.requests[before:] if line.startswith("PUT")]  # the weights were there already


@pytest.mark.parametrize(
    "name",
    [
        "small",
        "me/--small",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("me/", "a/b/c", "me/sm all", "https://hub/me/small")),
    ],
)
def test_an_id_of_another_form_is_refused_before_any_work(
    hub: Hub,  # noqa: F811
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = ["distill", "--from", "nowhere.txt", "--teacher", "toy:sentiment", "--to", "x", "--push_to_hub", name]
    assert main(line) == 2 and "expected OWNER/NAME" in capsys.readouterr().err and not hub.requests


def test_without_a_token_nothing_begins(
    hub: Hub,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    line = ["train", "--teacher", "toy:sentiment", "--generator", "toy", "--output_dir", "x", "--push_to_hub", "me/small"]
    assert main(line) == 2 and "nobody is logged in: hf auth login" in capsys.readouterr().err and not hub.requests
    assert main([*line[:-2], "--public"]) == 2 and "give --push_to_hub ID" in capsys.readouterr().err
    for flag, value in (("--license", "MIT License"), ("--language", "English")):
        assert main([*line[:-2], flag, value]) == 2 and "expected" in capsys.readouterr().err


def test_a_student_goes_to_the_hub_and_comes_back(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    teacher = tmp_path / "teacher"
    tiny_teacher(2, scale=60.0).save_pretrained(teacher)
    word_tokenizer().save_pretrained(teacher)
    (teacher / "README.md").write_text("---\nlicense: apache-2.0\nlanguage:\n- en\n---\nA teacher.\n")
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"w{i % 25} w{i % 7} w{i % 11}" for i in range(300)))
    line = ["distill", "--from", str(texts), "--teacher", str(teacher), "--budget", "300", "--student", "teacher-layers:0"]
    line += ["--student_updates", "20", "--held_out", "0.5", "--to", str(tmp_path / "small"), "--device", "cpu", "--quiet"]
    line += ["--push_to_hub", "me/small"]
    hub.refused = 403
    assert main(line) == 2 and "me/small was not uploaded (HTTP 403)" in capsys.readouterr().err
    assert (tmp_path / "small" / "model.safetensors").is_file() and not (tmp_path / ".small.work").exists()
    hub.refused = 0
    assert main(line) == 0  # the student is finished: only the upload is left
    files = hub.files("me/small")
    assert "summary.json" not in files and "training_log.jsonl" not in files
    head = yaml.safe_load(hub.header("me/small"))
    assert head["license"] == "apache-2.0" and head["language"] == ["en"] and head["library_name"] == "transformers"
    assert str(tmp_path) not in files["README.md"].decode() and str(tmp_path) not in files["config.json"].decode()
    assert main([*line, "--license", "mit", "--language", "de,en"]) == 0
    head = yaml.safe_load(hub.header("me/small"))
    assert head["license"] == "mit" and head["language"] == ["de", "en"]
    own = load_teacher(str(tmp_path / "small"), "cpu")(["good w1", "bad"])
    assert (load_teacher("me/small", "cpu")(["good w1", "bad"]) == own).all()
    assert load_student("me/small", device="cpu").labels == ["good", "bad"]


def test_a_prompter_comes_back_from_the_hub(
    hub: Hub,  # noqa: F811
    run_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    upload_model(run_folder / "prompter", "me/mine", False, "train")
    local = Prompter.load(run_folder, device="cpu").texts("good", 3)
    assert Prompter.from_pretrained("me/mine", device="cpu").texts("good", 3) == local
    assert Prompter.load("me/mine", device="cpu").texts("good", 3) == local
    common = ["--device", "cpu", "--quiet", "--trust_teacher"]
    for name, where in (("mine", "me/mine"), ("local", str(run_folder))):
        assert (
            main(["export", where, "--rows", "4", "--batch_size", "16", "--to", str(tmp_path / name), "--jsonl", *common]) == 0
        )
    assert (tmp_path / "mine" / "data.jsonl").read_bytes() == (tmp_path / "local" / "data.jsonl").read_bytes()
    line = ["distill", "--from", "me/mine", "--student", "bert:layers=1,hidden=16", "--student_updates", "4", "--budget", "64"]
    assert main([*line, "--held_out", "0.3", "--to", str(tmp_path / "student"), *common]) == 0
    assert json.loads((tmp_path / "student" / "summary.json").read_text())["sources"] == ["me/mine"]
    assert "datasets" not in yaml.safe_load((tmp_path / "student" / "README.md").read_text().split("---\n")[1])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    forget()
    assert Prompter.from_pretrained("me/mine", device="cpu").labels == ["good", "bad"]  # from the cache
    capsys.readouterr()
    assert main(["export", "me/other", "--rows", "4", "--to", str(tmp_path / "other"), *common]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and "prompter: me/other is not a local folder, and it cannot be loaded from the hub" in shown
    with pytest.raises(InputError, match="me/other"):
        Prompter.from_pretrained("me/other")


def test_a_model_of_the_hub_that_is_no_prompter_is_named(hub: Hub, folder: Path) -> None:  # noqa: F811
    upload_model(folder, "me/small", False, "distill")
    with pytest.raises(InputError, match=r"prompter 'me/small' has no prompter\.json"):
        Prompter.from_pretrained("me/small")
