"""Requests at the same time, each of which counts when its answer arrives."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from distill.teachers.services.pace import Pace

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


def together(
    parts: Sequence[tuple[list[int], Asked]], ask: Callable[[Asked], Answer], concurrency: int, pace: Pace
) -> Iterator[tuple[list[int], Answer]]:
    """Ask parts at the same time, and yield each answer when it arrives.

    A failure ends all waiting and starts no further request. The answers to requests that were already sent are still
    yielded, because they are paid for; then the failure is raised.

    Args:
        parts: Numbers of texts, and what `ask` gets for them.
        ask: Returns the answer to a part.
        concurrency: Requests at the same time.
        pace: The gate that the requests pass.

    Raises:
        InputError: What `ask` raised first.
    """
    pace.start()
    failure: BaseException | None = None
    with ThreadPoolExecutor(concurrency) as pool:
        running: dict[Future[Any], list[int]] = {}
        todo = iter(parts)
        try:
            while True:
                while failure is None and len(running) < concurrency and (part := next(todo, None)) is not None:
                    running[pool.submit(ask, part[1])] = part[0]
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    rows = running.pop(future)
                    error = future.exception()
                    if error is None:
                        yield rows, future.result()
                    elif failure is None:
                        failure = error
                        pace.stop()
        finally:
            pace.stop()  # an interruption, too, must not wait for pauses
    if failure is not None:
        raise failure
