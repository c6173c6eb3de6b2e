"""What teachers behind HTTP have in common: texts are asked at the same time, and each answer counts when it arrives."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import torch
from torch import Tensor

from distill.teachers.probabilities import count
from distill.teachers.services.connection import Connection

# How often to ask where the answer cannot be read (cut off, not JSON, a wrong count).
READINGS = 3

Part = tuple[list[int], Tensor]
"""Numbers of texts, and their (N, K) log-probabilities."""


class Service(ABC):
    """A teacher behind HTTP.

    Args:
        path: Its name without the query of its address.
        line: The connection.
        concurrency: Requests at the same time.

    Attributes:
        labels: The K class names, in the order of the columns.
        queries: Number of texts asked so far.
        invalid: Number of these texts with an unusable answer.
    """

    labels: list[str]

    def __init__(self, path: str, line: Connection, concurrency: int) -> None:
        self.path = path
        self.concurrency = concurrency
        self.queries = 0
        self.invalid = 0
        self._line = line
        self._problem = ""  # of the first unusable answer of a call

    def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
        """Return (N, K) float32 log-probabilities on the CPU; an unusable answer is a row of NaN.

        Each text is one query, however often it is sent.

        Raises:
            InputError: See `answers`; or too many answers are unusable.
        """
        predictions = torch.empty(len(texts), len(self.labels))
        for rows, answered in self.answers(texts, text_pairs):
            predictions[rows] = answered
        return self.counted(predictions)

    @abstractmethod
    def answers(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Iterator[Part]:
        """Yield the answers to texts as they arrive, so that none is lost if a later one fails. Count nothing.

        Raises:
            InputError: The service cannot be reached or keeps failing, another model answers, or pairs were asked of one that
                takes none. All answers that had been paid for were yielded before.
        """

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return what the answers depend on, beside the labels."""

    def counted(self, predictions: Tensor) -> Tensor:
        """Count the queries of one call and its unusable answers.

        Raises:
            InputError: Too many answers are unusable.
        """
        problem, self._problem = self._problem, ""
        return count(self, predictions, problem)

    def together(self, parts: Sequence[tuple[list[int], Any]], ask: Callable[[Any], Tensor], most: int = 0) -> Iterator[Part]:
        """Ask parts at the same time, and yield each answer when it arrives.

        A failure ends all waiting and starts no further request. The answers to requests that were already sent are still
        yielded, because they are paid for; then the failure is raised.

        Args:
            parts: Numbers of texts, and what `ask` gets for them.
            ask: Returns the (N, K) log-probabilities of a part.
            most: Requests at the same time; 0 for the service's.

        Raises:
            InputError: What `ask` raised first.
        """
        concurrency = most or self.concurrency
        self._line.pace.start()
        failure: BaseException | None = None
        with ThreadPoolExecutor(concurrency) as pool:
            running: dict[Future, list[int]] = {}
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
                            self._line.pace.stop()
            finally:
                self._line.pace.stop()  # an interruption, too, must not wait for pauses
        if failure is not None:
            raise failure
