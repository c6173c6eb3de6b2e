"""The methods by the command line and in the bench: from a configuration to a student, kills, and bad input."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pandas
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import pipeline

from distill.common.errors import InputError
from distill.methods.table import METHODS
from distill.methods.zero_shot import ZeroShot
from prompter.bench.suite import read_suite
from prompter.cli import main
from prompter.runtime.console import Console
from prompter.runtime.markdown import cell
from prompter.students.config import distill_settings
from prompter.students.methods import announce_method
from tests.distill.conftest import bert_folder  # noqa: F401 (fixture)
from tests.distill.rewriters import save_rewriter_base
from tests.distill.tiny import LABELS, random_texts, save_masked_lm
from tests.prompter.students.distilling import kill_at, outcome

TINY = "bert:layers=1,hidden=16,heads=1"
STUDENT = {"as-dfd": "teacher-layers:0", "zero-shot": TINY, "t3": TINY}

SMALL = {
    "as-dfd": {"embeddings_batch_size": 16, "embeddings_max_length": 8},
    "zero-shot": {"fill_batch_size": 8, "fill_steps": 2, "fill_learning_rate": 0.001},
    "t3": {"rewriter_batch_size": 16, "rewriter_updates": 1, "rewriter_max_length": 10, "rewriter_rank": 4},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A corpus, evaluation data, and the models of the methods."""
    root = tmp_path_factory.mktemp("methods")
    (root / "corpus.txt").write_text("".join(text + "\n" for text in random_texts(80, 1, shortest=6, longest=12)))
    rows = [{"text": text, "label": LABELS[i % 3]} for i, text in enumerate(random_texts(30, 2))]
    (root / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "corpus": str(root / "corpus.txt"),
        "eval_data": str(root / "labelled.jsonl"),
        "masked_lm": str(save_masked_lm(root / "masked-lm")),
        "rewriter": str(save_rewriter_base(root / "t5")),
    }


@pytest.fixture
def distil(bert_folder: Path, folders: dict[str, str], tmp_path: Path):  # noqa: F811
    """Run `prompter distill --method NAME --config FILE --to FOLDER`."""

    def run(name: str, to: str, *flags: str) -> int:
        own = {"zero-shot": {"masked_lm"}, "t3": {"rewriter"}}.get(name, set()) | ({"corpus"} if name != "as-dfd" else set())
        config = {
            "method": name, "teacher": str(bert_folder), "student": [STUDENT[name]], "budget": 150, "student_updates": 20,
            "student_batch_size": 8, "measure_every": 10, "device": "cpu", "eval_data": folders["eval_data"],
            **SMALL[name], **{key: folders[key] for key in own},
        }  # fmt: skip
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(config))
        arguments = ["--method", name, "--config", str(file), "--to", str(tmp_path / to), "--quiet", *flags]
        return main(["distill", *arguments])

    return run


DONE = (0, 3)
"""The call is complete; a student of 20 updates may be worth nothing."""


@pytest.mark.parametrize("name", METHODS)
def test_a_method_makes_a_student_at_its_budget(name: str, distil, tmp_path: Path) -> None:
    assert distil(name, "student") in DONE
    summary = json.loads((tmp_path / "student" / "summary.json").read_text())
    (figures,) = summary["students"].values()
    assert summary["teacher_queries"] == 150 and 100 < summary["texts"] <= 150
    assert summary["held_out_texts"] > 0 and figures["updates"] == 20 and 0 <= figures["accuracy"] <= 1
    assert summary["sources"][0].startswith(f"method {name}")
    assert f"method {name}" in (tmp_path / "student" / "README.md").read_text().replace("\\", "")
    answer = pipeline("text-classification", str(tmp_path / "student"))("boat wave")
    assert answer[0]["label"] in LABELS
    log = [json.loads(line) for line in (tmp_path / "student" / "training_log.jsonl").read_text().splitlines()]
    assert [row["queries"] for row in log if "queries" in row][-1] == 150
    rows = [json.loads(line) for line in (tmp_path / "student" / "samples.jsonl").read_text().splitlines()]
    assert rows[-1]["queries"] == 150 and {row["wanted"] is None for row in rows} == {name != "as-dfd"}
    assert all(row["predicted"] in LABELS and 1 / 3 <= row["probability"] <= 1 for row in rows)
    assert cell(rows[-1]["text"]) in (tmp_path / "student" / "README.md").read_text()
    assert not list(tmp_path.glob(".*"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """With several, sums may be taken in another order, and the last bits differ."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", [name if name != "t3" else pytest.param(name, marks=pytest.mark.slow) for name in METHODS])
def test_a_killed_method_ends_as_one_never_killed(name: str, distil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prompter.students import work as distillation

    always = ("--save_seconds", "0")
    assert distil(name, "whole", *always) in DONE
    made, save = [], distillation.Distillation._save

    def killed(self: distillation.Distillation) -> None:
        save(self)
        made.append(self.queries)
        if len(made) == 2:
            raise RuntimeError("killed")

    monkeypatch.setattr(distillation.Distillation, "_save", killed)
    with pytest.raises(RuntimeError, match="killed"):
        distil(name, "stopped", *always)
    assert 0 < made[1] < 150  # in the midst of the method's work
    monkeypatch.undo()
    assert distil(name, "stopped", *always, "--resume") in DONE
    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "whole")


def test_a_rewriter_whose_base_was_trained_again_is_not_gone_on_with(
    distil, folders: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        kill_at(4, patch)
        distil("t3", "killed", "--save_seconds", "0")
    weights = Path(folders["rewriter"]) / "model.safetensors"
    former = weights.read_bytes()
    save_file({name: value * 1.3 for name, value in load_file(weights).items()}, weights, {"format": "pt"})
    assert distil("t3", "killed", "--save_seconds", "0", "--resume") == 2
    assert "was made with other settings: rewriter_weights" in capsys.readouterr().err
    weights.write_bytes(former)


def test_a_rewriter_exports_its_corpus_rewritten(distil, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert distil("t3", "student") in DONE
    data = tmp_path / "data"
    export = ["export", str(tmp_path / "student"), "--rows", "40", "--device", "cpu", "--quiet", "--near_duplicates", "0"]
    assert main([*export, "--to", str(data)]) == 0
    rows = [row for row in datasets.load_dataset(str(data), split="train") if row["keep"]]
    assert len(rows) == 40 and {row["wanted_label"] for row in rows} == {-1}
    sentences = set(random_texts(80, 1, shortest=6, longest=12))
    assert {row["topic"] for row in rows} <= sentences and any(row["text"] != row["topic"] for row in rows)
    page = (data / "README.md").read_text()
    assert "was rewritten" in page
    samples = page.split("## Samples")[1].split("##")[0].strip().splitlines()[2:]
    assert samples and all(line.split("|")[3].strip() == "" for line in samples)  # no class was asked for
    tables = [pandas.read_parquet(data / "data")]
    assert main([*export, "--to", str(tmp_path / "again"), "--batch_size", "256"]) == 0
    tables.append(pandas.read_parquet(tmp_path / "again" / "data"))
    pandas.testing.assert_frame_equal(*tables)
    assert main(["distill", "--from", str(data), "--to", str(tmp_path / "second"), "--student_updates", "5", "--quiet",
                 "--device", "cpu", "--held_out", "0.2", "--student", TINY]) == 0  # fmt: skip
    assert main([*export, "--to", str(tmp_path / "bare"), "--teacher", "none"]) == 0
    capsys.readouterr()
    assert main([*export, "--to", str(tmp_path / "v"), "--writer", "vllm"]) == 2
    assert "is a rewriter" in capsys.readouterr().err and not (tmp_path / "v").exists()
    manifest = tmp_path / "student" / "rewriter" / "rewriter.json"
    base = Path(json.loads(manifest.read_text())["base"]) / "model.safetensors"
    before = base.read_bytes()
    save_file({name: value + 0.01 for name, value in load_file(base).items()}, base, {"format": "pt"})
    assert main([*export, "--to", str(tmp_path / "other")]) == 2
    assert "has other weights than in the run" in capsys.readouterr().err
    base.write_bytes(before)
    for labels in ([], ["a"], [1, 2]):
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"labels": labels}))
        assert main([*export, "--to", str(tmp_path / "damaged"), "--teacher", "none", "--trust_teacher"]) == 2
        assert f"rewriter.json: 'labels' is {labels!r}, expected two or more names" in capsys.readouterr().err
    manifest.write_text("{}")
    assert main([*export, "--to", str(tmp_path / "damaged")]) == 2
    assert "rewriter.json: 'base' is missing" in capsys.readouterr().err


def predictions(texts: list[str]) -> list[list[float]]:
    return [[0.2, 0.3, 0.5] for _ in texts]


predictions.labels = LABELS  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("t3", ["--method", "t4"], "method is 't4'.*as-dfd, zero-shot, t3"),
        ("t3", ["--from", "somewhere"], "makes its own"),
        ("t3", ["--budget", "0"], "budget is missing"),
        ("t3", ["--epochs", "2"], "epochs is given"),
        ("t3", ["--rewriter_rnak", "3"], "rewriter_rank"),
        ("zero-shot", ["--rewriter_rank", "3"], "belongs to the method t3"),
        ("zero-shot", ["--corpus", ""], "corpus is missing"),
        ("zero-shot", ["--corpus", "nowhere.txt"], "nowhere.txt"),
        ("zero-shot", ["--student", "bert:layers=1,hidden=8", "bert:layers=1,hidden=16"], "works against one"),
        ("as-dfd", ["--student", "bert:layers=1,hidden=32"], "teacher-layers"),
        ("as-dfd", ["--embeddings_max_length", "8000"], "embeddings_max_length"),
        *(
            (name, ["--teacher", "tests.prompter.students.test_methods:predictions"], "only answers texts.*prompter train")
            for name in METHODS
        ),
    ],
)
def test_bad_input_ends_in_one_line(
    name: str,
    flags: list[str],
    message: str,
    distil,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert distil(name, "student", *flags) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "Traceback" not in said
    with pytest.raises(InputError, match=message):
        raise InputError(said)
    assert not list(tmp_path.glob("*student*"))  # nor the work folder, which would want --resume of a call put right


def test_a_corpus_below_the_budget_is_read_again_and_said_so(distil, capsys: pytest.CaptureFixture[str]) -> None:
    assert distil("zero-shot", "student", "--quiet", "false") in DONE
    said = " ".join(capsys.readouterr().out.split())
    assert "80 sentences for up to 150 texts; it is read 1.9 times" in said
    assert "of the corpus's tokens 100% to the teacher's vocabulary, 100% to the student's vocabulary cross" in said


@pytest.mark.parametrize(("rows", "warns"), [(40, True), (60, False)])
def test_queries_that_give_no_text_are_announced(rows: int, warns: bool, capsys: pytest.CaptureFixture[str]) -> None:
    synthesizer: Any = SimpleNamespace(name="t3", coverage={"teacher": 0.9})
    with Console(quiet=False) as show:
        announce_method(synthesizer, 100, rows, [], show)
    said = " ".join(capsys.readouterr().out.split())
    assert ("of 100 queries only about 40 give the student a text" in said) == warns


def test_the_method_decides_which_settings_there_are(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("method: t3\nrewriter: toy\ncorpus: toy\nbudget: 10\nto: x\n")
    config, training, method = distill_settings({"config": str(file)})
    assert (config.method, type(method), training.student_restart) == ("t3", METHODS["t3"].settings, True)
    with pytest.raises(InputError, match="rewriter belongs to the method t3, but method is 'as-dfd'"):
        distill_settings({"config": str(file), "method": "as-dfd"})
    for unknown in ("t4", ["t3"]):
        with pytest.raises(InputError, match="expected one of: as-dfd, zero-shot, t3"):
            distill_settings({"method": unknown})


@pytest.mark.slow
def test_methods_stand_in_a_suite_beside_the_others(
    folders: dict[str, str],
    tmp_path: Path,
    lm_folder: Path,
    bert_folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = {key: value for settings in SMALL.values() for key, value in settings.items()}
    content = {
        "tasks": {"tiny": {"teacher": str(bert_folder), "generator": str(lm_folder), **folders}},
        "methods": ["zero-shot", "t3", "corpus", {"plain": {"method": "zero-shot", "fill_steps": 0}}],
        "students": [TINY],
        "budgets": [60],
        "seeds": [0],
        "settings": {"student_updates": 6, "student_batch_size": 8, "device": "cpu", **small},
        "more": [{"methods": ["as-dfd"], "students": ["teacher-layers:0"]}],
    }
    file = tmp_path / "suite.yaml"
    file.write_text(yaml.safe_dump(content))
    updates = []

    def update(self: ZeroShot, *parts: list) -> dict[str, float]:
        updates.append(self.config.fill_steps)
        return original(self, *parts)

    original = ZeroShot._update
    monkeypatch.setattr(ZeroShot, "_update", update)
    assert main(["bench", "--suite", str(file), "--to", str(tmp_path / "out"), "--quiet", "--jobs", "1"]) == 0
    frame = pandas.read_parquet(tmp_path / "out" / "results.parquet").set_index("method")
    assert frame.error.isna().all() and (frame.queries == 60).all() and (frame.updates == 6).all()
    assert frame.grade.to_dict() == {
        "zero-shot": "corpus", "t3": "corpus", "corpus": "corpus", "plain": "corpus", "as-dfd": "nothing"
    }  # fmt: skip
    assert frame.text["plain"] == "zero-shot" and set(updates) == {2}
    with pytest.raises(InputError, match="of method 't5'"):
        file.write_text(yaml.safe_dump(content | {"methods": [{"mine": {"method": "t5"}}]}))
        read_suite(file)
    with pytest.raises(InputError, match="fill_setps"):
        file.write_text(yaml.safe_dump(content | {"settings": {"fill_setps": 1}}))
        read_suite(file)


def test_a_run_whose_texts_were_all_held_out_says_so(distil: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert distil("zero-shot", "out", "--budget", "2", "--held_out", "0.999") == 2
    error = capsys.readouterr().err
    assert "held_out: chance held out all texts with an answer" in error and "unusable" not in error
