"""Requests at the same time: what is asked in pieces, and what survives a failure or Ctrl-C."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from distill.teachers.services.pace import Pace
from distill.teachers.services.together import Pieces, together


def halves_of(asked: list[int]) -> Pieces[list[int]]:
    half = len(asked) // 2
    return Pieces([(slice(None, half), asked[:half]), (slice(half, None), asked[half:])])


@pytest.mark.parametrize("concurrency", [1, 3])
def test_pieces_keep_their_places(concurrency: int) -> None:
    def squares(asked: list[int]) -> list[int] | Pieces[list[int]]:
        return halves_of(asked) if len(asked) > 2 else [number**2 for number in asked]

    parts = [(list(range(start, start + 7)), list(range(start, start + 7))) for start in (0, 7, 14)]
    found = dict(
        pair for rows, answer in together(parts, squares, concurrency, Pace()) for pair in zip(rows, answer, strict=True)
    )
    assert found == {number: number**2 for number in range(21)}


def test_pieces_that_were_answered_survive_the_failure_of_a_later_one() -> None:
    asked_singly: list[int] = []

    def one_by_one(asked: list[int]) -> int | Pieces[list[int]]:
        if len(asked) > 1:
            return halves_of(asked)
        if len(asked_singly) == 5:
            raise ValueError("no more")
        asked_singly.append(asked[0])
        return asked[0]

    seen: list[int] = []
    with pytest.raises(ValueError, match="no more"):
        for _, answer in together([(list(range(16)), list(range(16)))], one_by_one, 1, Pace()):
            seen.append(answer)
    assert seen == asked_singly == [0, 1, 2, 3, 4]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals to a thread are POSIX")
def test_answers_that_arrive_after_an_interruption_still_count() -> None:
    begun, arrived = [], []
    both = threading.Barrier(2)

    def slowly(asked: int) -> int:
        begun.append(asked)
        if both.wait(10) == 0:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        time.sleep(0.2)  # the answer is under way while the main thread leaves
        return -asked

    with pytest.raises(KeyboardInterrupt):
        list(
            together(
                [([row], row) for row in range(50)], slowly, 2, Pace(), lambda rows, answer: arrived.append((rows, answer))
            )
        )
    assert sorted(begun) == [0, 1]  # no further request is sent
    assert sorted(arrived) == [([0], 0), ([1], -1)]


ENDLESS = """
import logging, os, signal, sys, threading, time
from distill.teachers.services.pace import Pace
from distill.teachers.services import together
together.SILENT = 0.1
signals = int(sys.argv[1])
def interrupt():
    for _ in range(signals):
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)
def ask(asked):
    if asked == 1:
        threading.Thread(target=interrupt, daemon=True).start()
    time.sleep(600)
arrived = (lambda rows, answer: None) if signals == 2 else None
try:
    list(together.together([([0], 0), ([1], 1)], ask, 2, Pace(), arrived))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals to a process are POSIX")
@pytest.mark.parametrize("signals", [1, 2])
def test_a_service_that_does_not_answer_cannot_keep_a_process(signals: int) -> None:
    """What is paid for is waited for until Ctrl-C is pressed again; a text of a writer, which nobody would get, is not."""
    done = subprocess.run([sys.executable, "-c", ENDLESS, str(signals)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
    assert ("waiting for the answers to 2 requests" in done.stderr) == (signals == 2)
