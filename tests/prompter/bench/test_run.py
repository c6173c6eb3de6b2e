"""`prompter bench` as a whole: results, stops, failures."""

from pathlib import Path
from typing import Any

import pandas
import pytest

from prompter.bench import cells
from prompter.runtime.run_folder import locked
from tests.prompter.bench.suites import SMALL, bench


def test_a_suite_ends_with_a_table_a_frame_and_a_page(suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = suite(budgets=[32, 48])
    assert bench(file, tmp_path / "out") == 0
    frame = pandas.read_parquet(tmp_path / "out" / "results.parquet")
    assert len(frame) == 6 and frame.error.isna().all()
    assert (frame.texts == frame.budget).all() and (frame.updates == 6).all()
    assert (frame.queries == frame.budget.where(frame.method != "supervised", 0)).all()
    assert set(frame.initialisation) == {"random"}
    assert dict(zip(frame.method, frame.grade, strict=True)) == {
        "prompted": "language model", "unprompted": "language model", "supervised": "real text and labels",
    }  # fmt: skip
    table = (tmp_path / "out" / "results.md").read_text()
    assert table in capsys.readouterr().out
    assert "| 32 queries | 48 queries |" in table and "failed" not in table
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<svg") == 2 and "<script" not in page and "teacher queries" in page
    assert not list((tmp_path / "out" / "cells").glob("*/checkpoints"))


def test_what_is_done_is_not_done_again(suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = suite(methods=["unprompted", "real"])
    assert bench(file, tmp_path / "out") == 0
    table = (tmp_path / "out" / "results.md").read_text()

    def compute(*arguments: object) -> None:
        raise AssertionError("a cell was computed")

    monkeypatch.setattr(cells, "train_baseline", compute)
    assert bench(file, tmp_path / "out") == 0
    assert (tmp_path / "out" / "results.md").read_text() == table
    other = suite(methods=["unprompted", "real"], settings=SMALL | {"writer_temperature": 0.9})
    assert bench(other, tmp_path / "out") == 1  # other settings are other cells


@pytest.mark.slow
def test_a_suite_that_was_stopped_ends_with_the_same_table(suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = suite()
    assert bench(file, tmp_path / "whole") == 0
    original, calls = cells.run_cell, []

    def stopped(cell: Any, folder: Path) -> dict[str, Any]:
        calls.append(cell.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(cell, folder)

    monkeypatch.setattr(cells, "run_cell", stopped)
    assert bench(file, tmp_path / "stopped") == 130
    assert not (tmp_path / "stopped" / "results.md").exists()
    assert bench(file, tmp_path / "stopped") == 0
    assert len(calls) == 4 and calls[1] == calls[2]
    frames = [
        pandas.read_parquet(tmp_path / name / "results.parquet").drop(columns="seconds") for name in ("whole", "stopped")
    ]
    pandas.testing.assert_frame_equal(*frames)


def test_a_table_of_what_is_finished(suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = suite(methods=["unprompted", "supervised"]), tmp_path / "out"
    assert bench(file, out, "--finished_only") == 2
    assert "none of 2 cells is finished" in capsys.readouterr().err
    assert bench(file, out, "--only", "supervised") == 0
    with locked(out / ".lock", "to:", out):  # as if the suite went on elsewhere
        assert bench(file, out, "--finished_only") == 0
    assert list(pandas.read_parquet(out / "results.parquet").method) == ["supervised"]
    assert len(list((out / "cells").iterdir())) == 1


def test_a_cell_that_fails_does_not_end_the_suite(suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = suite(methods=["corpus", "unprompted"])
    (tmp_path / "blank.txt").write_text("\n")
    assert bench(file, tmp_path / "out", "--set", f"tiny.corpus={tmp_path / 'blank.txt'}") == 1
    said = capsys.readouterr()
    assert "1 of 2 cells failed" in said.err
    table = (tmp_path / "out" / "results.md").read_text()
    assert "## What failed" in table and "blank.txt" in table
    assert "blank.txt" in (tmp_path / "out" / "report.html").read_text()
    frame = pandas.read_parquet(tmp_path / "out" / "results.parquet").set_index("method")
    assert "blank.txt" in frame.error["corpus"] and frame.accuracy["unprompted"] >= 0
    assert bench(file, tmp_path / "out") == 0  # tried again with what was wrong


@pytest.mark.parametrize(("key", "name"), [("corpus", "nowhere.txt"), ("teacher", "path/to/teacher"), ("eval_data", "./gone")])
def test_a_missing_file_is_said_before_any_cell_runs(
    suite, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, name: str
) -> None:
    file = suite(methods=["unprompted", "corpus"])
    for flags in ([], ["--dry_run"]):
        assert bench(file, tmp_path / "out", *flags, "--set", f"tiny.{key}={name}") == 2
        said = capsys.readouterr()
        assert f"{key} is '{name}'" in said.err and f"--set tiny.{key}=" in said.err
        assert ("unprompted" in said.out) == bool(flags)  # a dry run lists the cells first
    assert not (tmp_path / "out").exists()


def test_what_a_cell_does_not_read_may_be_missing(suite, tmp_path: Path) -> None:
    file = suite(methods=["unprompted", "as-dfd", "corpus"])
    missing = [f"tiny.corpus={tmp_path / 'nowhere.txt'}", f"tiny.real_data={tmp_path / 'gone.csv'}"]
    assert bench(file, tmp_path / "out", "--dry_run", "--only", "unprompted", "--set", *missing) == 0
    generator = f"tiny.generator={tmp_path / 'none'}"
    assert bench(file, tmp_path / "out", "--dry_run", "--only", "as-dfd", "--set", *missing, generator) == 0
