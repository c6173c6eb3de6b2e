"""Saved prompters: they load elsewhere, write the same again, and say what is wrong with a folder."""

import itertools
import json
import pickle
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from distill.common.errors import InputError
from prompter import Prompter
from prompter.saved.manifest import REQUIRED_PROMPTER_KEYS
from tests.prompter.saved_prompter import write_prompter
from tests.prompter.tiny import WORDS, tiny_gpt2, word_tokenizer


@pytest.fixture(scope="module")
def prompter(run_folder: Path) -> Prompter:
    return Prompter.load(run_folder, device="cpu")


@pytest.fixture
def copied(run_folder: Path, tmp_path: Path) -> Path:
    """A copy of the prompter folder that a test may damage."""
    return Path(shutil.copytree(run_folder / "prompter", tmp_path / "copied"))


def edit(folder: Path, **changes: object) -> None:
    file = folder / "prompter.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_importing_the_package_is_light() -> None:
    script = "import sys, prompter; assert 'torch' not in sys.modules and prompter.__version__"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_it_writes_as_the_policy_that_was_saved(prompter: Prompter, run_folder: Path) -> None:
    assert prompter.labels == ["good", "bad"]
    texts, topics = prompter.texts("good", 5), prompter.topics("good", 5)
    assert all(text.startswith(topic) and len(text) > len(topic) for text, topic in zip(texts, topics, strict=True))
    again = Prompter.load(run_folder / "prompter", device="cpu")
    assert again.texts(0, 5) == texts and again.texts(0, 30) != again.texts(1, 30)
    assert prompter.texts("good", 5, seed=1) != texts
    untuned = Prompter.load(run_folder, device="cpu")
    with torch.no_grad():
        for name, parameter in untuned.policy.model.named_parameters():
            if "lora_B" in name:
                parameter.zero_()
    assert untuned.topics("good", 5) != topics


def test_policy_and_writer_share_their_base(prompter: Prompter, lm_folder: Path, teacher_folder: Path, tmp_path: Path) -> None:
    assert prompter.writer.model is prompter.policy.model  # type: ignore[union-attr]
    full = Prompter.load(write_prompter(tmp_path / "full", lm_folder, teacher_folder, lora_rank=0), device="cpu")
    assert full.writer.model is not full.policy.model  # type: ignore[union-attr]
    assert len(full.texts("bad", 3)) == 3


def test_a_stream_goes_on_at_any_batch(prompter: Prompter) -> None:
    whole = list(itertools.islice(prompter.stream(seed=3, batch_size=5), 4))
    rest = list(itertools.islice(prompter.stream(seed=3, batch_size=5, start=2), 2))
    for one, other in zip(whole[2:], rest, strict=True):
        assert one.texts == other.texts and one.topics == other.topics
        assert torch.equal(one.lm_logprob, other.lm_logprob)
    targets = torch.cat([batch.targets for batch in whole])
    assert targets.bincount().tolist() == [10, 10]
    assert all(torch.isfinite(batch.lm_logprob).all() and (batch.lm_logprob < 0).all() for batch in whole)
    (only,) = itertools.islice(prompter.stream(["bad"], batch_size=4), 1)
    assert only.targets.tolist() == [1, 1, 1, 1] and len(only) == 4


def test_a_policy_may_write_the_whole_text(lm_folder: Path, teacher_folder: Path, tmp_path: Path) -> None:
    prompter = Prompter.load(write_prompter(tmp_path / "run", lm_folder, teacher_folder, writes="text"), device="cpu")
    assert prompter.writer is None
    (batch,) = itertools.islice(prompter.stream(batch_size=3), 1)
    assert batch.texts == batch.topics
    assert (batch.lm_logprob < 0).all()


def test_the_folder_and_its_base_move(copied: Path, prompter: Prompter, run_folder: Path) -> None:
    assert Prompter.load(copied, device="cpu").texts("good", 2) == prompter.texts("good", 2)
    moved = Path(shutil.copytree(run_folder.parent / "lm", copied.parent / "moved lm"))
    edit(copied, base="/gone/lm", writer="/gone/lm")
    with pytest.raises(InputError, match=r"name its new place with base= \(--base"):
        Prompter.load(copied, device="cpu")
    assert Prompter.load(copied, device="cpu", base=str(moved)).texts("good", 2) == prompter.texts("good", 2)
    edit(copied, base=str(moved))
    with pytest.raises(InputError, match=r"name its new place with writer= \(--generator"):
        Prompter.load(copied, device="cpu")


def test_a_manifest_with_no_more_than_it_needs_is_enough(copied: Path, prompter: Prompter) -> None:
    manifest = json.loads((copied / "prompter.json").read_text())
    (copied / "prompter.json").write_text(
        json.dumps({key: manifest[key] for key in ("schema_version", *REQUIRED_PROMPTER_KEYS)})
    )
    assert Prompter.load(copied, device="cpu").texts("good", 2) == prompter.texts("good", 2)


def test_toy_names_are_stored_without_paths_and_found_again(
    lm_folder: Path, teacher_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple] = []
    run = write_prompter(tmp_path / "run", lm_folder, teacher_folder, named={"generator": "toy", "teacher": "toy:sentiment"})
    for file in (run / "prompter").iterdir():
        assert str(lm_folder.parent).encode() not in file.read_bytes(), file
    monkeypatch.setattr("eval.toy.files.toy_path", lambda *args, **kw: asked.append(args) or lm_folder)
    prompter = Prompter.load(run, device="cpu")
    assert asked == [("toy", "writer")]  # policy and writer are one model
    assert prompter.writer.model is prompter.policy.model  # type: ignore[union-attr]


def test_settings_of_the_writer_can_change(run_folder: Path) -> None:
    prompter = Prompter.load(run_folder, device="cpu", writer_max_new_tokens=5, writer_temperature=0.0)
    assert prompter.writer.config.writer_max_new_tokens == 5  # type: ignore[union-attr]
    assert prompter.writer.config.writer_min_new_tokens == 4  # type: ignore[union-attr]
    with pytest.raises(InputError, match="unknown setting 'writer_temprature'.*'writer_temperature'"):
        Prompter.load(run_folder, writer_temprature=1)
    with pytest.raises(InputError, match="^writer_top_p is 2"):  # the caller's mistake, not that of prompter.json
        Prompter.load(run_folder, writer_top_p=2)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda p: p.texts("god", 1), "label 'god' is unknown, expected one of: good, bad. Did you mean 'good'"),
        (lambda p: p.topics(2, 1), "label 2 is out of range, expected 0 to 1"),
        (lambda p: p.texts("good", 0), "n is 0, expected a whole number >= 1"),
        (lambda p: p.stream(["nice"]), "label 'nice' is unknown"),
        (lambda p: p.stream([]), "labels is empty"),
        (lambda p: p.stream(batch_size=0), "batch_size is 0"),
        (lambda p: p.stream(batch_size=2.5), "batch_size is 2.5"),
        (lambda p: p.stream("good"), "labels is 'good', expected a list of classes"),
        (lambda p: p.texts("good", 3.0), "n is 3.0, expected a whole number >= 1"),
        (lambda p: p.topics("good", "3"), "n is '3', expected a whole number >= 1"),
        (lambda p: p.texts(None, 1), "label is None, expected the name or the index of one class: good, bad"),
        (lambda p: p.texts(["good"], 1), "label is .'good'., expected the name or the index of one class"),
        (lambda p: p.texts("good", 1, seed=1.5), "seed is 1.5, expected a whole number"),
        (lambda p: p.write([-1], 0, 0), "label -1 is out of range, expected 0 to 1"),
        (lambda p: p.write(torch.tensor([2]), 0, 0), "label 2 is out of range, expected 0 to 1"),
        (lambda p: p.write([], 0, 0), "targets is .., expected one or more class indices"),
        (lambda p: p.write(["good"], 0, 0), "targets is .'good'., expected one or more class indices"),
        (lambda p: p.write(torch.tensor([[1]]), 0, 0), "expected one or more class indices"),
        (lambda p: Prompter.load(None), "path is of type NoneType, expected the folder of a run"),
    ],
)
def test_wrong_calls(prompter: Prompter, call, said: str) -> None:
    with pytest.raises(InputError, match=said):
        call(prompter)


def test_calls_of_several_threads_write_the_same_as_one(prompter: Prompter) -> None:
    """Adapters are switched on and off for the whole model, which another thread must not see."""
    expected = prompter.texts("good", 8)
    with ThreadPoolExecutor(4) as pool:
        assert all(texts == expected for texts in pool.map(lambda _: prompter.texts("good", 8), range(16)))
    assert pickle.loads(pickle.dumps(prompter)).texts("good", 8) == expected


def test_targets_may_be_a_list(prompter: Prompter) -> None:
    assert prompter.write([0, 1], 0, 0).texts == prompter.write(torch.tensor([0, 1]), 0, 0).texts


def test_models_may_be_paths(run_folder: Path, lm_folder: Path, prompter: Prompter) -> None:
    assert Prompter.load(run_folder, base=Path(lm_folder), device="cpu").texts("good", 2) == prompter.texts("good", 2)


def test_damaged_folders(copied: Path, tmp_path: Path) -> None:
    def refused(said: str) -> None:
        with pytest.raises(InputError, match=said):
            Prompter.load(copied, device="cpu")

    good = (copied / "prompter.json").read_text()
    edit(copied, schema_version=99)
    refused("schema_version is 99, this version of prompter reads 1: install the version")
    edit(copied, schema_version=1, labels=["one"])
    refused("'labels' is")
    edit(copied, labels=["good", "bad"], policy={"contrl": 1})
    refused("this version does not know one of the settings")
    edit(copied, policy=3)
    refused("'policy' is missing or damaged")
    (copied / "prompter.json").write_text("[]")
    refused("has no schema_version")
    (copied / "prompter.json").write_text(good[:50])
    refused("not valid JSON")
    (copied / "prompter.json").unlink()
    refused("has no prompter.json: give the folder of a finished run")
    (copied / "prompter.json").write_text(good)
    (copied / "tokenizer.json").write_text("{")
    refused("the tokenizer is missing or damaged")
    shutil.rmtree(copied)
    refused("does not exist")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    with pytest.raises(InputError, match="holds no prompter yet: finish it first"):
        Prompter.load(tmp_path / "run")


def test_an_adapter_that_does_not_fit(copied: Path, tmp_path: Path) -> None:
    weights = load_file(copied / "adapter_model.safetensors")
    name, tensor = next(iter(weights.items()))
    file = copied / "adapter_model.safetensors"
    for changed, said in (
        (weights | {name: tensor[:, :-1].contiguous()}, "does not fit .*name the model it was tuned on with base="),
        ({key: value for key, value in weights.items() if key != name}, "1 weights missing, 0 left over"),
        (weights | {re.sub(r"h\.\d", "h.7", name): tensor.clone()}, "0 weights missing, 1 left over"),
    ):
        save_file(changed, file)
        with pytest.raises(InputError, match=said):
            Prompter.load(copied, device="cpu")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match="the adapter is missing or damaged"):
        Prompter.load(copied, device="cpu")
    save_file(weights, file)
    bigger = tiny_gpt2().config
    bigger.n_layer = 3
    type(tiny_gpt2())(bigger).save_pretrained(tmp_path / "bigger")
    word_tokenizer().save_pretrained(tmp_path / "bigger")
    with pytest.raises(InputError, match=r"has [\d,]+ parameters, but the prompter was tuned on a model with"):
        Prompter.load(copied, base=str(tmp_path / "bigger"), device="cpu")
    assert len(WORDS) == bigger.vocab_size


def test_models_that_a_folder_names_are_shown_before_they_are_loaded(
    run_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "prompter")
    Prompter.load(run_folder, device="cpu")
    assert "Loading the models that" in caplog.text and "base " in caplog.text and "writer " in caplog.text
    caplog.clear()
    lm = str(run_folder.parent / "lm")
    Prompter.load(run_folder, device="cpu", base=lm)
    assert "Loading the models that" not in caplog.text


def test_pickle_files_are_read_only_for_a_model_that_the_user_named(run_folder: Path, tmp_path: Path) -> None:
    copy, lm = tmp_path / "run", tmp_path / "lm"
    shutil.copytree(run_folder, copy)
    shutil.copytree(run_folder.parent / "lm", lm)
    torch.save(load_file(lm / "model.safetensors"), lm / "pytorch_model.bin")
    (lm / "model.safetensors").unlink()
    file = copy / "prompter" / "prompter.json"
    file.write_text(file.read_text().replace(str(run_folder.parent / "lm"), str(lm)))
    with pytest.raises(InputError, match="pickle file, and you did not: give --base"):
        Prompter.load(copy, device="cpu")
    Prompter.load(copy, device="cpu", base=str(lm))


@pytest.mark.parametrize("key, changes", [("writer", {"writes": "text"}), ("base", {"lora_rank": 0})])
def test_a_model_that_is_not_needed_is_neither_shown_nor_refused(
    key: str, changes: dict, lm_folder: Path, teacher_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = write_prompter(tmp_path / "run", lm_folder, teacher_folder, **changes)
    lm = Path(shutil.copytree(lm_folder, tmp_path / "lm"))
    torch.save(load_file(lm / "model.safetensors"), lm / "pytorch_model.bin")
    (lm / "model.safetensors").unlink()
    edit(run / "prompter", **{key: str(lm)})
    caplog.set_level("INFO", "prompter")
    assert len(Prompter.load(run, device="cpu").texts("good", 2)) == 2
    assert str(lm) not in caplog.text and "Loading the models that" in caplog.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target_modules": "(a+)+$"}, "matches no module"),
        ({"target_modules": "(.*.*)*(.*.*)*(.*.*)*x"}, "target_modules"),
        ({"target_modules": "a" * 1000}, "is a pattern that cannot be used"),
        ({"target_modules": ["(a+)+$"]}, "no list of names"),
        ({"modules_to_save": ["(a+)+$"]}, "modules_to_save is no list"),
        ({"rank_pattern": {"(a+)+$": 4}}, "rank_pattern is no list"),
        ({"r": 10**7}, "expected a whole number from 1 to 1024"),
        ({"layer_replication": [[0, 10**6]]}, "uses layer_replication"),
        ({"megatron_config": {"a": 1}, "megatron_core": "megatron.evil"}, "uses megatron_config"),
        ({"peft_type": "IA3"}, "expected 'LORA'"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is not supported"),
        ({"modules_to_save": ["lm_head"]}, "the adapter does not fit"),
    ],
)
def test_an_adapter_is_read_as_data(run_folder: Path, tmp_path: Path, change: dict, said: str) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run_folder, copy)
    file = copy / "prompter" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(InputError, match=said):
        Prompter.load(copy, device="cpu")


def test_values_that_loading_needs_are_checked(copied: Path) -> None:
    (copied / "checksums.json").unlink(missing_ok=True)
    edit(copied, base_parameters="x")
    with pytest.raises(InputError, match="prompter.json: 'base_parameters' is no whole number"):
        Prompter.load(copied, device="cpu")


def test_a_special_token_that_the_model_lacks_is_named(copied: Path) -> None:
    (copied / "checksums.json").unlink(missing_ok=True)
    file = copied / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pad_token": "zzz"}))
    with pytest.raises(InputError, match=r"its tokenizer has \d+ tokens \(such as 'zzz'\)"):
        Prompter.load(copied, device="cpu")


def test_a_prompter_of_an_older_version_writes_after_bare_openings(copied: Path) -> None:
    stored = json.loads((copied / "prompter.json").read_text())
    new = {"task_description", "label_descriptions", "request", "chat_template"}
    policy = {key: value for key, value in stored["policy"].items() if key not in new}
    writer = {key: value for key, value in stored["writer_settings"].items() if key != "in_context"}
    edit(copied, policy=policy, writer_settings=writer)
    old = Prompter.load(copied, device="cpu")
    assert old.writer is not None and old.writer.contexts is None
    assert Prompter.load(copied, device="cpu", in_context=True).writer.contexts is not None


def test_it_edits_the_texts_of_some_classes_as_in_its_run(lm_folder: Path, teacher_folder: Path, tmp_path: Path) -> None:
    run = write_prompter(tmp_path / "edited", lm_folder, teacher_folder, edit_labels="bad", edits="swap", edits_max="1")
    edited, plain = (Prompter.load(run, device="cpu", **changes) for changes in ({}, {"edit_labels": []}))
    assert edited.texts("good", 5) == plain.texts("good", 5)
    pairs = list(zip(edited.texts("bad", 5), plain.texts("bad", 5), strict=True))
    assert all(new != old and sorted(new.lower()) == sorted(old.lower()) for new, old in pairs)
    assert edited.topics("bad", 5) == plain.topics("bad", 5)
    assert (
        edited.write(torch.tensor([0, 1]), 0, 3).texts
        == Prompter.load(run, device="cpu").write(torch.tensor([0, 1]), 0, 3).texts
    )
    with pytest.raises(InputError, match="edit_labels: there is no class 'worse'"):
        Prompter.load(run, device="cpu", edit_labels=["worse"])
    # A folder of before there were edits.
    settings = json.loads((run / "prompter" / "prompter.json").read_text())["writer_settings"]
    older = {name: value for name, value in settings.items() if "edit" not in name}
    edit(run / "prompter", writer_settings=older)
    (run / "prompter" / "checksums.json").unlink(missing_ok=True)
    assert Prompter.load(run, device="cpu").texts("bad", 5) == plain.texts("bad", 5)


def test_edits_need_a_writer(lm_folder: Path, teacher_folder: Path, tmp_path: Path) -> None:
    run = write_prompter(tmp_path / "texts", lm_folder, teacher_folder, writes="text")
    with pytest.raises(InputError, match="edit_labels names classes, but with 'writes: text' there is no writer"):
        Prompter.load(run, device="cpu", edit_labels=["bad"])
