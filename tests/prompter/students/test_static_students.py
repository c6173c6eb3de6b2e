"""`prompter distill` with students without attention: they resume exactly, and `prompter evaluate` takes them."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from distill.common.seeding import random_generator
from distill.student import load_student
from prompter.cli import main
from prompter.students import evaluation
from tests.prompter.students.distilling import STUDENT, kill_at, outcome, run, texts
from tests.prompter.tiny import word_tokenizer

STATIC = "static:from-teacher"

DONE = (0, 3)
"""Texts of random words for a random teacher teach little in 40 updates; the student is written all the same."""


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    """A folder as model2vec writes it."""
    folder = tmp_path / "vectors"
    folder.mkdir()
    tokenizer = word_tokenizer().backend_tokenizer
    tokenizer.save(str(folder / "tokenizer.json"))
    table = torch.randn(tokenizer.get_vocab_size(), 8, generator=random_generator(0, "vectors"))
    save_file({"embeddings": table}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "model2vec", "hidden_dim": 8, "normalize": false}')
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("online", [pytest.param([], marks=pytest.mark.slow), ["--student_restart", "true"]])
def test_a_killed_call_ends_as_one_never_killed(exported: Path, vectors: Path, tmp_path: Path, online: list[str]) -> None:
    call = ["--from", exported, "--student", STATIC, "--student", f"static:{vectors}", *online, "--save_seconds", 0]
    assert run(*call, "--to", tmp_path / "whole") in DONE
    to = tmp_path / "killed"
    for kill in (2, 3, 1):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
            kill_at(kill, patch)
            run(*call, "--to", to, "--resume")
        assert not to.exists()
    assert run(*call, "--to", to, "--resume") in DONE
    assert outcome(to) == outcome(tmp_path / "whole")


def test_vectors_of_a_folder_need_no_teacher_and_stand_beside_others(exported: Path, vectors: Path, tmp_path: Path) -> None:
    students = ["--student", f"static:{vectors}", "--student", STUDENT]
    assert run("--from", exported, *students, "--to", tmp_path / "pair") in DONE
    summary = json.loads((tmp_path / "pair" / "summary.json").read_text())
    assert summary["teacher_queries"] == 0 and len(summary["students"]) == 2


def test_evaluate_takes_it_beside_the_teacher(
    exported: Path,
    teacher_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluation, "TIMED_TEXTS", {1: 2, 32: 4})
    monkeypatch.setattr(evaluation, "ROUNDS", 1)
    to = tmp_path / "s"
    assert run("--from", exported, "--student", STATIC, "--to", to) in DONE
    rows = [{"text": text, "label": i % 2} for i, text in enumerate(texts(40, 3))]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.yaml").write_text(
        "kind: single\nlabels: [good, bad]\ndata: rows.jsonl\ntext_columns: [text]\nlabel_column: label\n"
        "metrics: [accuracy]\nversion: 1\n"
    )
    capsys.readouterr()
    line = ["evaluate", str(to), "--teacher", str(teacher_folder), "--task", str(tmp_path / "task.yaml"), "--json"]
    assert main([*line, "--device", "cpu"]) == 0
    row = json.loads(capsys.readouterr().out)["models"][-1]
    student = load_student(str(to), device="cpu")
    teacher = load_student(str(teacher_folder), device="cpu")
    chosen = [text["text"] for text in rows]
    same = (student.answers(chosen).argmax(1) == teacher.answers(chosen).argmax(1)).float().mean()
    assert row["metrics"]["agreement"]["value"] == pytest.approx(float(same))
    assert row["parameters"] == student.num_parameters()


def test_a_folder_that_is_none_is_one_line(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert run("--from", exported, "--student", f"static:{tmp_path / 'empty'}", "--to", tmp_path / "s") == 2
    assert f"student: static:{tmp_path / 'empty'} has no model.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_a_black_box_has_no_layers_to_ask(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "box.py").write_text("LABELS = ['good', 'bad']\ndef ask(texts):\n    return [[1.0, 0.0]] * len(texts)\n")
    teacher = f"{tmp_path / 'box.py'}:ask"
    line = ["--from", exported, "--student", STATIC, "--teacher", teacher, "--teacher_labels", "good", "bad"]
    assert run(*line, "--to", tmp_path / "s") == 2
    assert "student: static:from-teacher asks the teacher's layers" in capsys.readouterr().err
