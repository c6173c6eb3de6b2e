"""Requests at the same time, each of which counts when its answer arrives."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from distill.teachers.services.pace import Pace

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
    SIGTERM), but `arrived` still gets these answers.

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

    def answer(rows: list[int], asked: Asked) -> Answer | Pieces[Asked]:
        answered = ask(asked)
        if arrived is not None and not isinstance(answered, Pieces):
            with lock:
                arrived(rows, answered)
        return answered

    with ThreadPoolExecutor(concurrency) as pool:
        running: dict[Future[Any], list[int]] = {}
        todo = list(reversed(parts))
        try:
            while True:
                while failure is None and len(running) < concurrency and todo:
                    rows, asked = todo.pop()
                    running[pool.submit(answer, rows, asked)] = rows
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
    if failure is not None:
        raise failure
