"""Requests at the same time, each of which counts when its answer arrives.

Each request has a thread of its own that the end of the process does not wait for, as it would for those of an executor: a
service that does not answer must not keep a command from ending.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from distill.teachers.services.pace import Pace

LOGGER = logging.getLogger("prompter")

SILENT = 1.0
"""After so many seconds of waiting for answers at the end a line says so."""

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Pieces(Generic[Asked]):
    """What stands for an answer where a part has to be asked in pieces, each of which counts by itself.

    Attributes:
        pieces: Places of the texts within the part, and what is asked for them.
    """

    pieces: list[tuple[slice, Asked]]


def together(
    parts: Sequence[tuple[list[int], Asked]],
    ask: Callable[[Asked], Answer | Pieces[Asked]],
    concurrency: int,
    pace: Pace,
    arrived: Callable[[list[int], Answer], None] | None = None,
) -> Iterator[tuple[list[int], Answer]]:
    """Ask parts at the same time, and yield each answer when it arrives.

    A failure ends all waiting and starts no further request. The answers to requests that were already sent are still
    yielded, because they are paid for; then the failure is raised. Nothing more is yielded after an interruption (Ctrl-C,
    SIGTERM). If there is `arrived`, it still gets these answers, unless the waiting for them is interrupted, too; without it
    nobody would, and they are not waited for.

    Args:
        parts: Numbers of texts, and what `ask` gets for them.
        ask: Returns the answer to a part, or the pieces in which it has to be asked.
        concurrency: Requests at the same time.
        pace: The gate that the requests pass.
        arrived: Gets the numbers of texts and their answer, in the thread that asked, one call at a time.

    Raises:
        InputError: What `ask` raised first.
    """
    pace.start()
    failure: BaseException | None = None
    lock = threading.Lock()

    def answer(answers: Future[Any], rows: list[int], asked: Asked) -> None:
        if not answers.set_running_or_notify_cancel():
            return
        try:
            answered = ask(asked)
            if arrived is not None and not isinstance(answered, Pieces):
                with lock:
                    arrived(rows, answered)
            answers.set_result(answered)
        except BaseException as error:
            answers.set_exception(error)

    running: dict[Future[Any], list[int]] = {}
    todo = list(reversed(parts))
    try:
        while True:
            while failure is None and len(running) < concurrency and todo:
                rows, asked = todo.pop()
                future: Future[Any] = Future()
                running[future] = rows
                threading.Thread(target=answer, args=(future, rows, asked), daemon=True).start()
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                rows = running.pop(future)
                error = future.exception()
                if error is not None:
                    if failure is None:
                        failure = error
                        pace.stop()
                elif isinstance(answered := future.result(), Pieces):
                    todo += [(rows[places], asked) for places, asked in reversed(answered.pieces)]
                else:
                    yield rows, answered
    finally:
        pace.stop()  # an interruption, too, must not wait for pauses
        sent = [future for future in running if not future.cancel()]
        if arrived is not None:
            _wait_for(sent)
    if failure is not None:
        raise failure


def _wait_for(sent: list[Future[Any]]) -> None:
    """Wait for the answers to requests that were sent, and say so if it takes long."""
    if left := wait(sent, SILENT).not_done:
        LOGGER.warning(
            "teacher: waiting for the answers to %d requests that were sent already, because they are paid for. Press Ctrl-C "
            "to end without them.", len(left),
        )  # fmt: skip
        wait(left)
