"""Baselines within a run and alone."""

import json
from pathlib import Path

import pytest

from prompter.training.baselines import train_baseline
from prompter.training.run import train
from prompter.training.settings import parse_settings


@pytest.mark.slow
def test_a_finished_baseline_is_read_as_it_was_taught(arguments, labelled: Path, tmp_path: Path) -> None:
    flags = arguments(
        eval_data=labelled, eval_metric="matthews_correlation", eval_every=1, compare=["unprompted"], student_max_length=3
    )
    first = train(parse_settings(flags))
    (tmp_path / "run" / "summary.json").unlink()
    again = train(parse_settings([*flags, "--resume"]))
    assert first is not None and again is not None
    for name in ("accuracy", "macro_f1", "agreement"):
        assert again["students"]["unprompted"][name] == first["students"]["unprompted"][name]
    assert first["metric"] == "matthews_correlation" and -1 <= first["teacher"][first["metric"]] <= 1
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all("accuracy" in row and -1 <= row["matthews_correlation"] <= 1 for row in rows)
    assert "Matthews correlation on the evaluation data" in (tmp_path / "run" / "report.html").read_text()


def test_a_baseline_alone_costs_what_the_run_costs(arguments, labelled: Path) -> None:
    settings = parse_settings(arguments(budget=32, eval_data=labelled, compare=["selected-topics"]))
    row = train_baseline("selected-topics", settings)
    assert row["queries"] == 32 and row["texts"] < 16 and row["updates"] == 24
    assert {"accuracy", "agreement", "teacher_accuracy"} <= row.keys() and row["metric"] == "accuracy"
    again = train_baseline("selected-topics", settings)
    assert again == row
