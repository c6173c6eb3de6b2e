"""The interface of a teacher: anything that answers texts with class probabilities."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Teacher(Protocol):
    """A classifier that answers texts.

    Attributes:
        labels: The K class names, in the order of the columns.
        path: Folder, hub id, URL or "module:function" of the teacher, for messages.
        queries: Number of texts asked so far.
        invalid: Number of these texts with an unusable answer.
    """

    labels: list[str]
    path: str
    queries: int
    invalid: int

    def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
        """Return (N, K) float32 log-probabilities on the CPU; an unusable answer is a row of NaN."""
        ...
