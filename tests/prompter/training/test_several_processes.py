"""Runs of two processes: what they spend and write, and that a killed one goes on to the same end."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from distill.common.errors import InputError
from prompter.cli import main
from prompter.training.run import check_processes, train
from prompter.training.settings import parse_settings
from tests.distill.processes.two import as_launched, free_port, in_two
from tests.prompter.training.runs import assert_same


def test_two_processes_make_one_run_and_spend_its_budget_exactly(arguments, tmp_path: Path, own_cache: Path) -> None:
    flags = arguments(budget=41, candidates=2, save_every=1)
    before = set(tmp_path.rglob("*"))

    made, nothing = in_two(lambda _: train(parse_settings(flags)))
    assert nothing == {}
    run = tmp_path / "run"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["queries"] for row in rows] == [16, 32, 41]
    assert made["teacher_queries"] == 41
    with sqlite3.connect(own_cache / "answers.sqlite") as database:
        stored = database.execute("SELECT count(*) FROM answers").fetchone()[0]
    assert made["teacher_calls"] == stored <= 41  # each text was asked by one of them, once
    assert made["students"]["prompted"]["updates"] == 24
    written = {path.relative_to(tmp_path).parts[0] for path in set(tmp_path.rglob("*")) - before}
    assert written == {"run", own_cache.name}
    counters = json.loads((run / "checkpoints" / "checkpoint-8" / "rounds.json").read_text())
    assert (counters["processes"], counters["queries"], counters["teacher_queries"]) == (2, 32, 32)
    with pytest.raises(InputError, match="holds a run of 2 processes, but this one has 1"):
        (run / "summary.json").unlink()
        train(parse_settings([*flags, "--resume"]))


def test_too_small_a_batch_is_refused(arguments) -> None:
    settings = parse_settings(arguments(student_batch_size=1))

    def refused(processes: object) -> str:
        with pytest.raises(InputError) as error:
            check_processes(settings, (), None, processes)
        return str(error.value)

    assert all("student_batch_size is 1, expected at least one text for each of the 2" in said for said in in_two(refused))


@pytest.mark.parametrize("verb", ["distill", "export", "compress", "bench", "demo"])
def test_other_verbs_refuse_a_launcher(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in as_launched(0, 29500).items():
        monkeypatch.setenv(name, value)
    assert main([verb, *(["x", "--to", "small"] if verb == "compress" else [])]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"prompter {verb} runs in one process" in said
    assert not list(tmp_path.iterdir())


def launch(flags: list[str]) -> subprocess.Popen:
    """Start two processes as a user does."""
    launcher = ["torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(free_port())]
    return subprocess.Popen(
        [sys.executable, "-m", *launcher, "-m", "prompter", "train", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def workers(launcher: subprocess.Popen) -> list[int]:
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text()
    return [int(child) for child in children.split()]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_run_whose_process_is_killed_goes_on_to_the_same_end(
    arguments: Callable[..., list[str]], tmp_path: Path, own_cache: Path, rank: int
) -> None:
    whole = launch(arguments("whole"))
    assert whole.wait(timeout=600) == 0, whole.stderr.read()
    (own_cache / "answers.sqlite").unlink()
    process, log = launch(arguments("killed")), tmp_path / "killed" / "metrics.jsonl"
    while not (log.exists() and log.read_text().count("\n") >= 3):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(workers(process)[rank], signal.SIGKILL)
    said = process.communicate(timeout=120)[1]
    assert process.returncode
    assert sum(line.startswith("prompter: ") for line in said.splitlines()) == 1, said
    assert "has lost the others" in said
    assert not (tmp_path / "killed" / "summary.json").exists()
    again = launch([*arguments("killed"), "--resume"])
    assert again.wait(timeout=600) == 0, again.stderr.read()
    assert_same(tmp_path / "whole", tmp_path / "killed")
