"""What teachers behind HTTP have in common: texts are asked at the same time, and each answer counts when it arrives."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from distill.kinds.classes import SINGLE
from distill.kinds.kind import Kind
from distill.teachers.probabilities import count
from distill.teachers.services.connection import Connection
from distill.teachers.services.together import Pieces, together

# How often to ask where the answer cannot be read (cut off, not JSON, a wrong count).
READINGS = 3

Part = tuple[list[int], Tensor]
"""Numbers of texts, and their answers, (N, C)."""

Arrived = Callable[[list[int], Tensor], None]
"""Gets such a part when it arrives, in the thread that asked for it; one call at a time."""


class Service(ABC):
    """A teacher behind HTTP.

    Args:
        path: Its name without the query of its address.
        line: The connection.
        concurrency: Requests at the same time.

    Attributes:
        kind: What its answers are.
        labels: The K class names, in the order of the columns.
        queries: Number of texts asked so far.
        invalid: Number of these texts with an unusable answer.
        unreached: Whether it is down; then `identity` is that of a service that does not say which model it serves.
    """

    labels: list[str]
    kind: Kind = SINGLE

    def __init__(self, path: str, line: Connection, concurrency: int) -> None:
        self.path = path
        self.concurrency = concurrency
        self.queries = 0
        self.invalid = 0
        self.unreached = False
        self._line = line
        self._problem = ""  # of the first unusable answer of a call

    def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
        """Return (N, C) float32 answers on the CPU, see `kind`; an unusable answer is a row of NaN.

        Each text is one query, however often it is sent.

        Raises:
            InputError: See `answers`; or too many answers are unusable.
        """
        predictions = torch.empty(len(texts), len(self.labels))
        for rows, answered in self.answers(texts, text_pairs):
            predictions[rows] = answered
        return self.counted(predictions)

    @abstractmethod
    def answers(
        self, texts: Sequence[str], text_pairs: Sequence[str] | None = None, arrived: Arrived | None = None
    ) -> Iterator[Part]:
        """Yield the answers to texts as they arrive, so that none is lost if a later one fails. Count nothing.

        Args:
            texts: N texts.
            text_pairs: Their second texts, for pairs.
            arrived: Gets each part too, also those that arrive after an interruption, when nothing is yielded any more.

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

    def together(
        self,
        parts: Sequence[tuple[list[int], Any]],
        ask: Callable[[Any], Tensor | Pieces[Any]],
        arrived: Arrived | None,
        most: int = 0,
    ) -> Iterator[Part]:
        """Ask parts at the same time, and yield each answer when it arrives; see `together`.

        Args:
            parts: Numbers of texts, and what `ask` gets for them.
            ask: Returns the answers to a part, (N, C), or the pieces in which it has to be asked.
            arrived: See `answers`.
            most: Requests at the same time; 0 for the service's.
        """
        return together(parts, ask, most or self.concurrency, self._line.pace, arrived)
