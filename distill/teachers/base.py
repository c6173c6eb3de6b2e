"""What a teacher is: anything that answers texts with class probabilities."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Teacher(Protocol):
    """What the rest of the project asks of a teacher.

    Attributes:
        labels: the K class names, in the order of the columns.
        path: the folder, hub id, URL or "module:function" it was loaded from, for messages.
        max_invalid_share: stop when more than this share of the answers, of at least 64, is unusable.
        queries: texts asked so far; a run that resumes sets it to the stored count.
        invalid: how many of them had an unusable answer.
    """

    labels: list[str]
    path: str
    max_invalid_share: float
    queries: int
    invalid: int

    def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
        """Return (N, K) float32 log-probabilities on the CPU; an unusable answer is a row of NaN."""
        ...
