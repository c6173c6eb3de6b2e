"""What `prompter distill` says about the health of its students."""

import json
from pathlib import Path

import pytest

from tests.prompter.students.distilling import STUDENT, run, texts
from tests.prompter.training.acceptability import LABELS

TEACHERS = "tests.prompter.training.acceptability"


@pytest.fixture
def many(tmp_path: Path) -> Path:
    file = tmp_path / "many.txt"
    file.write_text("\n".join(dict.fromkeys(texts(700, 3))))
    return file


def call(source: Path, teacher: str, tokenizer: Path, *more: object) -> list[object]:
    named = ["--teacher", f"{TEACHERS}:{teacher}", "--teacher_labels", *LABELS, "--student_tokenizer", tokenizer]
    return ["--from", source, *named, "--student", STUDENT, "--held_out", "0.2", *more]


def test_the_pilot_stops_before_the_budget_is_spent_and_loses_nothing(
    many: Path, lm_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags, to = call(many, "acceptability", lm_folder, "--to", tmp_path / "out"), tmp_path / "out"
    assert run(*flags) == 3
    said = capsys.readouterr().err
    assert "pilot of 256 queries" in said and "H01" in said and "'acceptable'" in said and not to.exists()
    assert run(*flags, "--resume") == 3
    assert run(*flags, "--resume", "--no_pilot") == 3  # worthless, and complete
    summary = json.loads((to / "summary.json").read_text())
    assert summary["health"]["codes"] == ["H01", "H02"]
    (figures,) = summary["students"].values()
    assert figures["held_out_kappa"] < 0.2 < 0.9 < figures["held_out_agreement"]
    assert "H02, no agreement" in (to / "README.md").read_text()
    assert run(*call(many, "acceptability", lm_folder, "--to", tmp_path / "whole"), "--no_pilot") == 3
    log = (to / "training_log.jsonl").read_bytes()
    assert log == (tmp_path / "whole" / "training_log.jsonl").read_bytes()
    assert log.count(b'"health"') == 3 and summary["teacher_queries"] == summary["texts"]


def test_a_student_that_cannot_learn_is_worthless(many: Path, lm_folder: Path, tmp_path: Path) -> None:
    assert run(*call(many, "coin", lm_folder, "--to", tmp_path / "out")) == 3
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["health"]["codes"] == ["H02"]


def test_answers_of_a_dataset_need_no_pilot(exported: Path, tmp_path: Path) -> None:
    assert run("--from", exported, "--student", STUDENT, "--to", tmp_path / "out") == 0
    log = [json.loads(line) for line in (tmp_path / "out" / "training_log.jsonl").read_text().splitlines()]
    assert [row["health"]["asked"] for row in log if "health" in row] == [0] * 3
