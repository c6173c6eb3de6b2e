"""Requests to stop, and workers that end with their parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from prompter.runtime.interrupt import StopRequest, exit_status, handled, stop_now


def test_the_first_ctrl_c_asks_and_the_second_one_stops() -> None:
    said: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    stop = StopRequest(said.append)
    with pytest.raises(KeyboardInterrupt), stop.listening():
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.made and len(said) == 1
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_than_the_main_one_does_not_listen() -> None:
    reached: list[bool] = []

    def work() -> None:
        stop = StopRequest(print)
        with stop.listening():
            reached.append(stop.made)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert reached == [False]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_scheduler_asks_as_ctrl_c_does(name: str) -> None:
    request = getattr(signal, name)
    stop = StopRequest(lambda line: None)
    inherited = signal.signal(request, signal.SIG_DFL)  # `nohup make test` ignores SIGHUP
    try:
        with stop.listening():
            for _ in range(2):  # to the job and to each of its processes
                os.kill(os.getpid(), request)
            assert stop.made and exit_status() == 128 + request
        assert signal.getsignal(request) is signal.SIG_DFL
    finally:
        signal.signal(request, inherited)


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_repeated_sigterm_does_not_break_off_what_the_first_request_lets_end(first: signal.Signals) -> None:
    ended = False
    with pytest.raises(KeyboardInterrupt), handled(stop_now):
        try:
            os.kill(os.getpid(), first)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # as `timeout` does: to the process, and to its group
            ended = True
    assert ended and exit_status() == 128 + first


def test_a_command_under_nohup_goes_on() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with handled(stop_now):
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


PARENT = """
import multiprocessing, sys, time
from prompter.runtime.interrupt import prepare_worker
def work(pipe):
    prepare_worker()
    pipe.send(None)
    time.sleep(60)
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    worker = context.Process(target=work, args=(there,))
    worker.start()
    here.recv()
    print(worker.pid, flush=True)
    worker.join()
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc")
def test_a_worker_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = Path("/proc") / parent.stdout.readline().strip()
    assert worker.is_dir()
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 2
    while alive := worker.is_dir() and "(zombie)" not in (worker / "status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not alive
