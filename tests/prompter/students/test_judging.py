"""Small calls of `prompter distill` are judged too: from an interval, or from all of their texts."""

import json
from pathlib import Path

import pytest
import torch

from eval.classifiers import agreement
from prompter.students import judging
from tests.prompter.students.distilling import STUDENT, run, texts
from tests.prompter.training.acceptability import LABELS

TEACHERS = "tests.prompter.training.acceptability"
LEARNS = ["--student_learning_rate", "0.02"]


def call(folder: Path, count: int, teacher: str, tokenizer: Path, *more: object) -> tuple[int, dict]:
    file = folder / "own.txt"
    file.write_text("\n".join(list(dict.fromkeys(texts(count * 2, 3)))[:count]))
    named = ["--teacher", f"{TEACHERS}:{teacher}", "--teacher_labels", *LABELS, "--student_tokenizer", tokenizer]
    status = run("--from", file, *named, "--student", STUDENT, "--no_pilot", *LEARNS, *more, "--to", folder / "out")
    return status, json.loads((folder / "out" / "summary.json").read_text())["health"]


@pytest.mark.parametrize("count", [100, 200, 500])
def test_a_small_call_with_a_worthless_student_ends_with_status_3(count: int, lm_folder: Path, tmp_path: Path) -> None:
    status, health = call(tmp_path, count, "coin", lm_folder)
    (found,) = health["agreement"].values()
    assert status == 3 and health["codes"] == ["H02"] and found["on"] == "texts that were left out"
    assert found["compared"] >= min(count, 100) and found["kappa"] < 0.2


def test_a_teacher_of_one_answer_in_a_small_call(lm_folder: Path, tmp_path: Path) -> None:
    status, health = call(tmp_path, 200, "acceptability", lm_folder)
    assert status == 3 and "H02" in health["codes"]


@pytest.mark.parametrize("count", [60, 100, 400])
def test_a_small_call_with_a_good_student_has_no_finding(count: int, lm_folder: Path, tmp_path: Path) -> None:
    status, health = call(tmp_path, count, "first_letter", lm_folder, "--student_batch_size", "8", "--student_updates", "150")
    (found,) = health["agreement"].values()
    assert status == 0 and health["codes"] == [] and found["kappa"] > 0.4


@pytest.mark.slow
def test_enough_held_out_texts_and_clear_ones_need_no_further_training(
    lm_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("a further training")

    monkeypatch.setattr("prompter.students.judging._predictions", never)
    (tmp_path / "few").mkdir()
    (tmp_path / "many").mkdir()
    status, health = call(
        tmp_path / "few", 200, "first_letter", lm_folder, "--held_out", "0.2", "--student_batch_size", "8", "--epochs", "60"
    )
    (found,) = health["agreement"].values()
    assert status == 0 and found["on"] == "held-out texts" and found["compared"] < 100
    status, health = call(tmp_path / "many", 400, "coin", lm_folder, "--held_out", "0.4")
    (found,) = health["agreement"].values()
    assert status == 3 and found["on"] == "held-out texts" and found["compared"] >= 100


def test_fewer_than_forty_texts_are_not_judged(lm_folder: Path, tmp_path: Path) -> None:
    status, health = call(tmp_path, 30, "coin", lm_folder)
    assert status == 0 and health["codes"] == []


@pytest.mark.parametrize(("count", "parts"), [(40, 4), (150, 3), (399, 2), (400, 1)])
def test_no_text_is_left_out_twice_and_enough_are(count: int, parts: int) -> None:
    texts = judging._Texts([str(i) for i in range(count)], [None] * count, ["x"] * count, torch.zeros(count, 2))
    rows = [row for part in judging._parts(texts) for row in part]
    assert len(judging._parts(texts)) == parts and len(set(rows)) == len(rows) >= min(count, agreement.MIN_TEXTS)
