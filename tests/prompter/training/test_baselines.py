"""Baselines within a run and alone."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from prompter.training import baseline_names, baselines
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


@pytest.mark.slow
def test_a_baseline_that_was_killed_at_its_end_keeps_its_texts_once(
    arguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = arguments(budget=32, compare=["unprompted"])

    def killed(*unused: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(baselines, "write_json", killed)
        train(parse_settings(flags))
    train(parse_settings([*flags, "--resume"]))
    assert len((tmp_path / "run" / "control_samples.jsonl").read_text().splitlines()) == baselines.BASELINE_SAMPLES


def test_a_baseline_alone_costs_what_the_run_costs(arguments, labelled: Path) -> None:
    settings = parse_settings(arguments(budget=32, eval_data=labelled, compare=["selected-topics"]))
    row = train_baseline("selected-topics", settings)
    assert row["queries"] == 32 and row["texts"] < 16 and row["updates"] == 24
    assert {"accuracy", "agreement", "teacher_accuracy"} <= row.keys() and row["metric"] == "accuracy"
    again = train_baseline("selected-topics", settings)
    assert again == row


def test_a_baseline_gets_the_texts_that_the_table_names(
    arguments, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who adds a baseline writes its source into `BASELINE_SOURCES`, and nothing else loads it."""
    (tmp_path / "corpus.txt").write_text("Five words stand in here. Six other words stand in here.")
    seen = {}

    def texts(name: str, count: int, **given: Any) -> Any:
        seen[name] = given["corpus"], given["real"]
        return ["w1 w2"] * count, [""] * count, torch.full((count,), -1)

    monkeypatch.setitem(baseline_names.BASELINE_SOURCES, "unprompted", "corpus")
    monkeypatch.setitem(baseline_names.BASELINE_SOURCES, "class-names", "real_data")
    monkeypatch.setattr(baselines, "baseline_texts", texts)
    flags = {"budget": 32, "eval_data": labelled, "real_data": labelled, "corpus": tmp_path / "corpus.txt"}
    for name in ("unprompted", "class-names"):
        train_baseline(name, parse_settings(arguments(**flags, compare=[name])))
    assert len(seen["unprompted"][0]) == 2 and not seen["unprompted"][1]
    assert not seen["class-names"][0] and len(seen["class-names"][1]) > 2
