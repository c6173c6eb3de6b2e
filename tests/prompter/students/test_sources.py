"""Sources of texts."""

import json
from pathlib import Path

import pytest

from tests.prompter.students.distilling import STUDENT, kill_at, outcome, run


def test_a_run_that_is_not_finished_is_no_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "config.yaml").write_text("teacher: x\n")
    assert run("--from", tmp_path / "run", "--to", tmp_path / "tiny", "--budget", 100) == 2
    assert "holds no prompter yet" in capsys.readouterr().err


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
