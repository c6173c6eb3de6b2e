"""`prompter distill`: students from datasets and text of one's own; kills, selection, bad input."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Sequence, Value
from safetensors.torch import load_file
from transformers import pipeline

from distill.common.seeding import random_generator
from distill.held_out import is_held_out
from distill.student import load_student
from distill.teachers.loading import load_teacher
from prompter.cli import main
from prompter.runtime.markdown import cell
from prompter.runtime.run_folder import RunFolder
from prompter.students.inputs import folder_names
from prompter.students.work import Distillation

STUDENT = "bert:layers=1,hidden=16,heads=1"
FEATURES = Features(
    {
        "text": Value("string"),
        "label": ClassLabel(names=["good", "bad"]),
        "teacher_probs": Sequence(Value("float32")),
        "wanted_label": ClassLabel(names=["good", "bad"]),
        "topic": Value("string"),
        "keep": Value("bool"),
    }
)


def texts(count: int, counter: int = 0) -> list[str]:
    words = [f"w{i}" for i in range(25)] + ["good", "bad"]
    random = random_generator(5, "texts", counter)
    lengths = torch.randint(3, 12, (count,), generator=random)
    return [" ".join(words[i] for i in torch.randint(27, (int(n),), generator=random)) for n in lengths]


@pytest.fixture
def exported(tmp_path: Path, teacher_folder: Path) -> Path:
    """A dataset as `prompter export` writes it: 600 rows in two files, every tenth row marked."""
    rows = texts(600)
    probabilities = load_teacher(str(teacher_folder), "cpu")(rows).exp()
    table = {
        "text": rows,
        "label": probabilities.argmax(1).tolist(),
        "teacher_probs": probabilities.tolist(),
        "wanted_label": [i % 2 for i in range(600)],
        "topic": [row.split()[0] for row in rows],
        "keep": [i % 10 != 0 for i in range(600)],
    }
    folder = tmp_path / "exported"
    (folder / "data").mkdir(parents=True)
    data = Dataset.from_dict(table, features=FEATURES)
    data.select(range(400)).to_parquet(folder / "data" / "train-00000.parquet")
    data.select(range(400, 600)).to_parquet(folder / "data" / "train-00001.parquet")
    (folder / "recipe.yaml").write_text(f"export:\n  teacher: {teacher_folder}\n")
    return folder


@pytest.fixture
def own_text(tmp_path: Path) -> Path:
    file = tmp_path / "own.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts(300, 1)))
    return file


def run(*arguments: object) -> int:
    fixed = ["--student_updates", "40", "--student_batch_size", "16", "--measure_every", "10", "--device", "cpu", "--quiet"]
    return main(["distill", *map(str, arguments), *fixed])


def outcome(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The summary without what depends on the clock, and every other file."""
    summary = json.loads((folder / "summary.json").read_text())
    del summary["seconds"], summary["teacher_calls"]  # the clock, and what the cache knew
    for figures in summary["students"].values():
        del figures["texts_per_second"], figures["milliseconds_per_call"]
    for key in ("to", "resume", "save_seconds"):
        del summary["config"][key]
    files = {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}
    del files["summary.json"]
    return summary, {name: content for name, content in files.items() if not name.endswith("README.md")}


def test_a_student_from_a_dataset_needs_no_teacher(
    exported: Path, teacher_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*arguments: object) -> None:
        raise AssertionError("the teacher was asked")

    monkeypatch.setattr("distill.teachers.loading.TransformersTeacher.__call__", ask)
    to = tmp_path / "students" / "tiny"
    assert run("--from", exported, "--student", STUDENT, "--to", to) == 0
    summary = json.loads((to / "summary.json").read_text())
    assert (summary["texts"], summary["teacher_queries"]) == (540, 0)
    kept = {text for i, text in enumerate(texts(600)) if i % 10}
    assert summary["held_out_texts"] == sum(is_held_out(text, None, 0.05) for text in kept)
    answer = pipeline("text-classification", str(to))("good w3 w4")
    assert answer[0]["label"] in ("good", "bad")
    log = [json.loads(line) for line in (to / "training_log.jsonl").read_text().splitlines()]
    assert [row["update"] for row in log if "update" in row][-1] == 40
    card = (to / "README.md").read_text()
    assert "What it learnt from" not in card and not (to / "samples.jsonl").exists()  # one's own texts are not copied
    assert "pipeline_tag: text-classification" in card and cell(exported) in card and "not trained on" in card
    assert not list(to.parent.glob(".*"))


def test_the_best_state_by_held_out_agreement_is_kept(exported: Path, tmp_path: Path) -> None:
    to = tmp_path / "tiny"
    assert run("--from", exported, "--student", STUDENT, "--to", to, "--held_out", 0.2, "--student_learning_rate", 0.02) == 0
    log = [json.loads(line) for line in (to / "training_log.jsonl").read_text().splitlines()]
    rows = [row for row in log if "agreement" in row]
    best = max(rows, key=lambda row: (row["agreement"], -row["kl"]))
    figures = json.loads((to / "summary.json").read_text())["students"]["bert-layers1-hidden16-heads1"]
    assert (figures["selected_update"], figures["held_out_agreement"]) == (best["update"], best["agreement"])
    held = [text for text in {text for i, text in enumerate(texts(600)) if i % 10} if is_held_out(text, None, 0.2)]
    data = Dataset.from_parquet([str(file) for file in sorted((exported / "data").iterdir())])
    teacher = {row["text"]: row["label"] for row in data}
    student = load_student(str(to), labels=["good", "bad"], device="cpu")
    chosen = student.log_probs(held).argmax(1).tolist()
    agreement = sum(a == teacher[text] for a, text in zip(chosen, held, strict=True)) / len(held)
    assert agreement == pytest.approx(best["agreement"])


def test_several_students_share_texts_and_answers(
    exported: Path, own_text: Path, teacher_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "counting.py").write_text(
        "asked = []\ndef answer(texts):\n    asked.extend(texts)\n"
        "    return [[.9, .1] if len(t) % 2 else [.2, .8] for t in texts]\n"
        "answer.labels = ['good', 'bad']\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    both = ["--student", STUDENT, "--student", "bert:layers=1,hidden=32,heads=2"]
    mixed = ["--from", exported, "--from", own_text, "--weights", 1, "--weights", 3]
    tokenizer = ["--student_tokenizer", teacher_folder]
    assert run(*mixed, *both, *tokenizer, "--teacher", "counting:answer", "--to", "pair") == 0
    import counting  # type: ignore[import-not-found]

    assert sorted(counting.asked) == sorted(texts(300, 1))
    summary = json.loads(Path("pair/summary.json").read_text())
    assert (summary["texts"], summary["teacher_queries"]) == (840, 300)
    assert set(summary["students"]) == {"bert-layers1-hidden16-heads1", "bert-layers1-hidden32-heads2"}
    for name in summary["students"]:
        assert pipeline("text-classification", f"pair/{name}")("good w3")[0]["label"] in ("good", "bad")


def test_weights_are_the_shares_of_what_is_drawn(
    exported: Path, own_text: Path, teacher_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    original = Distillation.summary

    def note(self: Distillation) -> dict[str, Any]:
        (distiller,) = self.distillers.values()
        for counter in range(40):
            drawn.extend(distiller.replay.sources[i] for i in distiller.replay.sample(16, 1000 + counter).tolist())
        return original(self)

    monkeypatch.setattr(Distillation, "summary", note)
    mixed = ["--from", exported, "--from", own_text, "--weights", 1, 3, "--teacher", teacher_folder]
    assert run(*mixed, "--student", STUDENT, "--to", tmp_path / "tiny") == 0
    assert drawn.count(str(own_text)) / len(drawn) == pytest.approx(0.75, abs=0.06)


def kill_at(call: int, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """End the work in the middle of step `call`, as if the power had failed: before or after the log was written."""
    calls = 0
    original = RunFolder.append

    def append(self: RunFolder, log: str, rows: list[dict]) -> None:
        nonlocal calls
        calls += 1
        if calls == call and call % 2:
            raise SystemExit
        original(self, log, rows)
        if calls == call:
            raise SystemExit

    monkeypatch.setattr(RunFolder, "append", append)
    return monkeypatch


@pytest.mark.parametrize("online", [[], ["--student_restart", "true"]])
def test_a_killed_call_ends_as_one_never_killed(
    exported: Path, own_text: Path, teacher_folder: Path, tmp_path: Path, online: list[str]
) -> None:
    students = ["--student", STUDENT, "--student", "bert:layers=1,hidden=32,heads=2"]
    call = ["--from", exported, "--from", own_text, "--teacher", teacher_folder, *students, *online, "--save_seconds", 0]
    assert run(*call, "--to", tmp_path / "whole") == 0
    expected = outcome(tmp_path / "whole")
    steps = len(expected[1]["training_log.jsonl"].splitlines())
    assert steps > 10
    to = tmp_path / "killed"
    for kill in torch.randint(1, 4, (5,), generator=random_generator(0, "kills")).tolist():  # each gets a step or two further
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
            kill_at(kill, patch)
            run(*call, "--to", to, "--resume")
        assert not to.exists()
    assert run(*call, "--to", to, "--resume") == 0
    assert outcome(to) == expected


def test_ctrl_c_saves_and_tells_how_to_go_on(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["--from", exported, "--student", STUDENT, "--to", tmp_path / "tiny"]
    original = RunFolder.append
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "append", lambda *a: (original(*a), os.kill(os.getpid(), signal.SIGINT))[0])
        assert run(*call) == 130
    assert "--resume" in capsys.readouterr().err
    assert not (tmp_path / "tiny").exists()
    assert run(*call, "--resume") == 0
    assert run("--from", exported, "--student", STUDENT, "--to", tmp_path / "other") == 0
    assert outcome(tmp_path / "tiny") == outcome(tmp_path / "other")


def test_a_finished_call_does_nothing_and_refuses_other_settings(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "tiny"
    assert run("--from", exported, "--student", STUDENT, "--to", to) == 0
    before = (to / "model.safetensors").stat().st_mtime_ns
    assert run("--from", exported, "--student", STUDENT, "--to", to) == 0
    assert (to / "model.safetensors").stat().st_mtime_ns == before
    assert run("--from", exported, "--student", STUDENT, "--to", to, "--seed", 1) == 2
    assert "seed" in capsys.readouterr().err


def test_epochs_set_the_number_of_updates(exported: Path, tmp_path: Path) -> None:
    assert run("--from", exported, "--student", STUDENT, "--to", tmp_path / "tiny", "--epochs", 2) == 0
    log = [json.loads(line) for line in (tmp_path / "tiny" / "training_log.jsonl").read_text().splitlines()]
    assert log[-1]["update"] == -(-2 * round(540 * 0.95) // 16)


def test_evaluation_data_is_reported_on(exported: Path, teacher_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "labelled.jsonl"
    file.write_text("".join(json.dumps({"text": text, "label": i % 2}) + "\n" for i, text in enumerate(texts(30, 2))))
    to = tmp_path / "tiny"
    assert run("--from", exported, "--student", STUDENT, "--to", to, "--eval_data", file, "--teacher", teacher_folder) == 0
    (figures,) = json.loads((to / "summary.json").read_text())["students"].values()
    assert 0 <= figures["accuracy"] <= 1 and figures["n"] == 30
    assert "accuracy" in (to / "README.md").read_text()
    fewer = tmp_path / "fewer"
    assert run("--from", exported, "--student", STUDENT, "--to", fewer, "--eval_data", file, "--eval_limit", 12) == 0
    (figures,) = json.loads((fewer / "summary.json").read_text())["students"].values()
    assert figures["n"] == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "from is missing"),
        (["--from", "{exported}"], "output_dir is missing"),
        (["--from", "{exported}", "{exported}", "--to", "x"], "twice"),
        (["--from", "{exported}", "--to", "x", "--weights", "1", "2"], "one for each --from"),
        (["--from", "{exported}", "--to", "x", "--select", "bst"], "best-agreement, last"),
        (["--from", "{exported}", "--to", "x", "--held_out", "1"], "held_out"),
        (["--from", "{exported}", "--to", "x", "--held_out", "0"], "--select last"),
        (["--from", "{own}", "--to", "x"], "teacher is missing"),
        (["--from", "{tmp}/missing.jsonl", "--to", "x", "--teacher", "{teacher}"], "no such file"),
        (["--from", "{exported}", "--to", "{tmp}"], "something else"),
        (["--from", "{exported}", "--to", "x", "--eval_limit", "-1"], "eval_limit is -1"),
        (["--from", "{exported}", "--to", "x", "--studnt", "a"], "student"),
        (["--from", "{exported}", "--to", "x", "--report_to", "tensorbord"], "tensorboard"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_left(
    arguments: list[str],
    message: str,
    exported: Path,
    own_text: Path,
    teacher_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    places = {"exported": exported, "own": own_text, "teacher": teacher_folder, "tmp": tmp_path}
    assert run(*(argument.format(**places) for argument in arguments)) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_teacher_of_other_classes_is_refused(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "others.py").write_text(
        "def answer(texts):\n    return [[.5, .5]] * len(texts)\nanswer.labels = ['yes', 'no']\n"
    )
    monkeypatch.chdir(tmp_path)
    assert run("--from", exported, "--to", "x", "--teacher", "others:answer", "--student", STUDENT) == 2
    error = capsys.readouterr().err
    assert "['yes', 'no']" in error and "['good', 'bad']" in error


def test_a_run_that_is_not_finished_is_no_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "config.yaml").write_text("teacher: x\n")
    assert run("--from", tmp_path / "run", "--to", tmp_path / "tiny", "--budget", 100) == 2
    assert "holds no prompter yet" in capsys.readouterr().err


def test_trackers_get_the_figures(exported: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    to = tmp_path / "tiny"
    assert run("--from", exported, "--student", STUDENT, "--to", to, "--report_to", "tensorboard") == 0
    assert any(file.stat().st_size > 500 for file in (to / "trackers").rglob("events.*"))


def test_folder_names_are_distinct() -> None:
    specs = ["bert:layers=2", "bert:layers=3", "a/tiny", "b/tiny", "c/tiny", "teacher-layers:0,2"]
    assert len(set(folder_names(specs))) == len(specs)


def test_the_saved_student_is_the_one_that_was_measured(exported: Path, tmp_path: Path) -> None:
    call = ["--from", exported, "--student", STUDENT]
    assert run(*call, "--to", tmp_path / "best") == 0
    assert run(*call, "--to", tmp_path / "last", "--select", "last") == 0
    (best,) = json.loads((tmp_path / "best" / "summary.json").read_text())["students"].values()
    (last,) = json.loads((tmp_path / "last" / "summary.json").read_text())["students"].values()
    assert best["held_out_agreement"] >= last["held_out_agreement"] and last["selected_update"] == 40
    same = all(
        torch.equal(a, b)
        for a, b in zip(
            load_file(tmp_path / "best" / "model.safetensors").values(),
            load_file(tmp_path / "last" / "model.safetensors").values(),
            strict=True,
        )
    )
    assert same == (best["selected_update"] == 40)


def test_fresh_texts_of_a_prompter_cost_exactly_the_budget(run_folder: Path, tmp_path: Path) -> None:
    to = tmp_path / "tiny"
    assert run("--from", run_folder, "--student", STUDENT, "--to", to, "--budget", 700) == 0
    summary = json.loads((to / "summary.json").read_text())
    assert (summary["texts"], summary["teacher_queries"]) == (700, 700)
    assert summary["teacher_calls"] <= 700 and summary["labels"] == ["good", "bad"]
    log = [json.loads(line) for line in (to / "training_log.jsonl").read_text().splitlines()]
    assert any("/student_loss" in key for row in log for key in row), "the student learns while texts are written"
    again = tmp_path / "again"
    assert run("--from", run_folder, "--student", STUDENT, "--to", again, "--budget", 700) == 0
    assert json.loads((again / "summary.json").read_text())["teacher_calls"] == 0, "no text is paid for twice"
    assert outcome(to) == outcome(again)


def test_a_killed_call_goes_on_with_the_prompter_where_it_stood(run_folder: Path, tmp_path: Path) -> None:
    call = ["--from", run_folder, "--student", STUDENT, "--budget", 1300, "--save_seconds", 0]
    assert run(*call, "--to", tmp_path / "whole") == 0
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        kill_at(4, patch)
        run(*call, "--to", tmp_path / "killed")
    assert run(*call, "--to", tmp_path / "killed", "--resume") == 0
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")


def test_a_prompter_without_a_budget_is_refused(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--from", run_folder, "--to", tmp_path / "tiny") == 2
    assert "budget is missing" in capsys.readouterr().err


def test_no_text_is_forgotten_however_the_held_out_share_falls(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    original = Distillation.summary

    def note(self: Distillation) -> dict[str, Any]:
        (distiller,) = self.distillers.values()
        held.append(len(distiller.replay) + len(self.held_out))
        return original(self)

    monkeypatch.setattr(Distillation, "summary", note)
    for share in ("0.003", "0.5"):
        to = tmp_path / share
        assert run("--from", exported, "--student", STUDENT, "--to", to, "--held_out", share, "--select", "last") == 0
    distinct = len({text for i, text in enumerate(texts(600)) if i % 10})
    assert held == [distinct, distinct]


def test_a_dataset_of_a_black_box_asks_for_a_tokenizer(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (exported / "recipe.yaml").write_text("export:\n  teacher: module:function\n")
    assert run("--from", exported, "--student", STUDENT, "--to", tmp_path / "tiny") == 2
    assert "student_tokenizer" in capsys.readouterr().err
