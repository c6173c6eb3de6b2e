"""Suites: what they refuse, that every cell costs the same, that a kill or a failed cell loses nothing else."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import yaml

from distill.common.errors import InputError
from prompter.bench import cells
from prompter.bench.cells import cell_folder, cell_result, check_cost, code_hash, content_hash
from prompter.bench.page import leading_sentence
from prompter.bench.results import Summary, comparisons, markdown_tables
from prompter.bench.suite import PROMPTERS, read_suite
from prompter.cli import main
from prompter.runtime.run_folder import locked
from prompter.training.baseline_names import BASELINES
from tests.prompter.conftest import lm_folder, teacher_folder  # noqa: F401 (fixtures)

SMALL = {
    "student_updates": 6,
    "student_batch_size": 8,
    "rollout_size": 16,
    "minibatch_size": 8,
    "topic_max_tokens": 3,
    "writer_max_new_tokens": 6,
    "writer_min_new_tokens": 2,
    "device": "cpu",
}


@pytest.fixture
def suite(teacher_folder: Path, lm_folder: Path, tmp_path: Path):  # noqa: F811
    """Write a small suite; keyword arguments change its keys."""
    labelled = tmp_path / "labelled.jsonl"
    rows = [{"text": f"w{i % 20} w{i % 7} w{i % 3} good", "label": i % 2} for i in range(40)]
    labelled.write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("".join(f"w{i % 20} w{i % 5} w1 good bad w{i % 11}.\n" for i in range(40)))
    task = {
        "teacher": str(teacher_folder),
        "generator": str(lm_folder),
        "eval_data": str(labelled),
        "real_data": str(labelled),
        "corpus": str(corpus),
    }

    def make(**changes: Any) -> Path:
        content = {
            "tasks": {"tiny": task},
            "methods": ["prompted", "unprompted", "supervised"],
            "students": ["bert:layers=1,hidden=16,heads=1"],
            "budgets": [32],
            "seeds": [0],
            "settings": SMALL,
        } | changes
        file = tmp_path / "suite.yaml"
        file.write_text(yaml.safe_dump(content))
        return file

    return make


def bench(file: Path, to: Path, *flags: str) -> int:
    return main(["bench", "--suite", str(file), "--to", str(to), "--quiet", "--jobs", "1", *flags])


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


@pytest.mark.slow
def test_workers_find_what_one_process_finds(suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = suite(methods=["prompted", "corpus", "real"])
    missing = ["--set", f"tiny.corpus={tmp_path / 'nowhere.txt'}"]
    frames = []
    for jobs in ("1", "2"):
        assert bench(file, tmp_path / jobs, *missing, "--jobs", jobs) == 1
        frames.append(pandas.read_parquet(tmp_path / jobs / "results.parquet").drop(columns="seconds"))
    pandas.testing.assert_frame_equal(*frames)
    assert list(frames[0].error.isna()) == [True, False, True]
    assert bench(file, tmp_path / "out", "--jobs", "-1") == 2 and "jobs is -1" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_suite(suite, tmp_path: Path, how: signal.Signals) -> None:
    file = suite(budgets=[4000], settings=SMALL | {"save_every": 5})
    command = ["-m", "prompter.cli", "bench", "--suite", str(file), "--to", str(tmp_path / "out"), "--quiet", "--jobs", "2"]
    process = subprocess.Popen([sys.executable, *command], start_new_session=True, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("out/cells/*/checkpoints/*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    (os.kill if how == signal.SIGKILL else os.killpg)(process.pid, how)
    assert process.wait(60) == (-how if how == signal.SIGKILL else 130)
    assert "Traceback" not in process.communicate()[1]  # and every process has closed its end of the pipe
    while time.monotonic() < deadline:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 0)
            time.sleep(0.1)
            continue
        break
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_a_cell_that_fails_does_not_end_the_suite(suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = suite(methods=["corpus", "unprompted"])
    assert bench(file, tmp_path / "out", "--set", f"tiny.corpus={tmp_path / 'nowhere.txt'}") == 1
    said = capsys.readouterr()
    assert "1 of 2 cells failed" in said.err
    table = (tmp_path / "out" / "results.md").read_text()
    assert "## What failed" in table and "nowhere.txt" in table
    assert "nowhere.txt" in (tmp_path / "out" / "report.html").read_text()
    frame = pandas.read_parquet(tmp_path / "out" / "results.parquet").set_index("method")
    assert "nowhere.txt" in frame.error["corpus"] and frame.accuracy["unprompted"] >= 0
    assert bench(file, tmp_path / "out") == 0  # tried again with what was missing


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bugdets": [1]}, "unknown key 'bugdets'.*budgets"),
        ({"methods": ["promted"]}, "unknown method 'promted'.*prompted"),
        ({"methods": [{"real": {"budget": 3}}]}, "expected a known name, or a new one"),
        ({"tasks": {}}, "'tasks' is .*at least one"),
        ({"tasks": [1]}, "expected lines of the form"),
        ({"seeds": []}, "'seeds' is .*at least one"),
        ({"more": [{"tasks": ["tni"]}]}, "entry 1: unknown task 'tni'"),
        ({"settings": SMALL | {"student_update": 3}}, "student_update.*student_updates"),
        ({"methods": ["prompted", {"longer": {"student_updates": 9}}]}, "has to cost the same"),
        ({"budgets": ["many"]}, "budget"),
        ({"more": [{"settings": SMALL | {"student_learning_rate": 0.01}}]}, "entry 1: .*there already, with other settings"),
        ({"tasks": {"tiny": {"teacher": "t", "generator": "g"}}, "methods": ["prompted"]}, "eval_data is missing"),
    ],
)
def test_a_wrong_suite_is_refused_before_anything_runs(
    suite, tmp_path: Path, changes: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=message):
        read_suite(suite(**changes))
    assert bench(tmp_path / "suite.yaml", tmp_path / "out") == 2
    assert "Traceback" not in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("change", ["tiny", "tniy.corpus=x", "tiny.corpsu=x"])
def test_a_wrong_change_is_refused(suite, change: str) -> None:
    with pytest.raises(InputError, match="set is|set names|corpsu"):
        read_suite(suite(), [change])


def test_own_methods_and_further_combinations(suite) -> None:
    file = suite(
        methods=["prompted", {"hotter": {"writer_temperature": 1.3}}],
        more=[
            {"seeds": [1], "methods": ["real"]},
            {"seeds": [0], "methods": ["prompted"]},
            {"budgets": [64], "methods": ["real"], "settings": {"student_updates": 9}},
        ],
    )
    found = read_suite(file).cells
    assert [(cell.method, cell.seed, cell.settings["student_updates"]) for cell in found] == [
        ("prompted", 0, 6), ("hotter", 0, 6), ("real", 1, 6), ("real", 0, 9)
    ]  # fmt: skip
    assert found[1].parsed("x").writer.writer_temperature == 1.3 and found[2].text == "real"


def test_the_shipped_suites_are_sound() -> None:
    toy, real = read_suite("configs/bench/toy.yaml"), read_suite("configs/bench/real.yaml")
    assert {cell.method for cell in toy.cells} >= {*PROMPTERS}
    assert {cell.text for cell in real.cells} >= {*BASELINES}
    assert {cell.task for cell in real.cells} == {"ag_news", "sst2"}


def test_other_content_is_another_cell(suite, tmp_path: Path) -> None:
    (cell, *_) = read_suite(suite()).cells
    before = cell_folder(cell, tmp_path)
    assert cell_folder(cell, tmp_path) == before
    with Path(cell.settings["eval_data"]).open("a") as file:
        file.write('{"text": "w1", "label": 0}\n')
    content_hash.cache_clear()
    assert cell_folder(cell, tmp_path) != before


def test_a_function_that_was_changed_is_another_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = []
    for body in ("1", "2"):
        (tmp_path / "teacher_of_the_bench.py").write_text(f"def answer(texts):\n    return {body}\n")
        content_hash.cache_clear()
        found.append(content_hash("teacher_of_the_bench:answer"))
    assert found[0] != found[1]
    assert content_hash("no_such_module:answer") == "no_such_module:answer"


def test_an_edit_anywhere_in_the_packages_is_another_cell(tmp_path: Path) -> None:
    package = tmp_path / "prompter"
    (package / "rl" / "deep").mkdir(parents=True)
    (package / "commands").mkdir()
    files = [package / "__init__.py", package / "rl" / "rewards.py", package / "rl" / "deep" / "terms.py"]
    shown = package / "commands" / "train.py"
    for file in (*files, shown):
        file.write_text("x = 1\n")
    found = [code_hash((package,))]
    for file in files:
        file.write_text("x = 2\n")
        code_hash.cache_clear()
        found.append(code_hash((package,)))
    assert len(set(found)) == len(files) + 1
    shown.write_text("x = 2\n")  # decides what is printed, not what is measured
    code_hash.cache_clear()
    assert code_hash((package,)) == found[-1]


def test_every_module_counts(tmp_path: Path) -> None:
    assert {package.name for package in cells.PACKAGES} == {"distill", "eval", "prompter"}
    assert all((package / "__init__.py").is_file() for package in cells.PACKAGES)


def test_a_cell_of_another_cost_is_no_result(suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = read_suite(suite()).cells[1]
    figures = {"texts": 32, "queries": 32, "updates": 6}
    check_cost(figures, cell)
    for name in figures:
        with pytest.raises(InputError, match=f"{name} 31, expected"):
            check_cost(figures | {name: 31}, cell)
    monkeypatch.setattr(cells, "run_cell", lambda *arguments: figures | {"queries": 33})
    assert "queries 33, expected 32" in cell_result(cell, tmp_path / "cell")["error"]
    assert not (tmp_path / "cell" / "result.json").exists()


def test_means_and_deviations_are_numpys() -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"task": "t", "student": "s", "method": method, "budget": budget, "seed": seed, "text": "real", "n": 5, "updates": 1,
         "teacher_accuracy": 0.9, "seconds": 1.0, **dict.fromkeys(("accuracy", "agreement", "macro_f1"), float(rng.random()))}
        for method in ("real", "corpus") for budget in (1, 2) for seed in range(3)
    ]  # fmt: skip
    found = comparisons(rows)["t", "s"]
    for method, of in found.items():
        for budget, summary in of.items():
            values = [row["accuracy"] for row in rows if (row["method"], row["budget"]) == (method, budget)]
            assert summary.mean == pytest.approx(np.mean(values)) and summary.std == pytest.approx(np.std(values, ddof=1))
    assert list(found) == sorted(found, key=lambda name: -found[name][2].mean)
    assert markdown_tables("x", rows).count("\n| real |") == 1


def test_the_verdict_names_the_best_baseline() -> None:
    def at(accuracy: float) -> dict[int, Summary]:
        return {9: Summary([accuracy], [1.0], [1.0])}

    methods = {"prompted": at(0.8), "prompted-grpo": at(0.9), "corpus": at(0.82), "unprompted": at(0.7), "real": at(0.95)}
    assert leading_sentence(methods) == (
        "With 9 teacher queries the prompted student reaches 80.0 %, 2.0 points below the best baseline (corpus, 82.0 %); "
        "real text gives 95.0 %."
    )
    assert leading_sentence({"real": at(1.0)}) == ""
