"""Several cells at a time."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas
import pytest

from tests.prompter.bench.suites import SMALL, bench


@pytest.mark.slow
def test_workers_find_what_one_process_finds(suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = suite(methods=["prompted", "corpus", "real"])
    (tmp_path / "blank.txt").write_text("\n")
    unread = ["--set", f"tiny.corpus={tmp_path / 'blank.txt'}"]
    frames = []
    for jobs in ("1", "2"):
        assert bench(file, tmp_path / jobs, *unread, "--jobs", jobs) == 1
        frames.append(pandas.read_parquet(tmp_path / jobs / "results.parquet").drop(columns="seconds"))
    pandas.testing.assert_frame_equal(*frames)
    assert list(frames[0].error.isna()) == [True, False, True]
    assert bench(file, tmp_path / "out", "--jobs", "-1") == 2 and "jobs is -1" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_end_with_their_suite(suite, tmp_path: Path, how: signal.Signals) -> None:
    file = suite(budgets=[4000], settings=SMALL | {"save_every": 5})
    command = ["-m", "prompter.cli", "bench", "--suite", str(file), "--to", str(tmp_path / "out"), "--quiet", "--jobs", "2"]
    process = subprocess.Popen([sys.executable, *command], start_new_session=True, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("out/cells/*/checkpoints/*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    (os.killpg if how == signal.SIGINT else os.kill)(process.pid, how)
    assert process.wait(60) == (-how if how == signal.SIGKILL else 128 + how)
    if how == signal.SIGKILL:
        deadline = time.monotonic() + 2
    assert "Traceback" not in process.communicate()[1]  # and every process has closed its end of the pipe
    while time.monotonic() < deadline:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 0)
            time.sleep(0.1)
            continue
        break
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
