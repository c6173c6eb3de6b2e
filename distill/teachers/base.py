"""The interface of a teacher: anything that answers texts."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from distill.kinds.kind import Kind


class Teacher(Protocol):
    """A classifier that answers texts.

    Attributes:
        kind: What its answers are.
        labels: The K class names, in the order of the columns.
        path: Folder, hub id, URL or "module:function" of the teacher, for messages.
        queries: Number of texts asked so far.
        invalid: Number of these texts with an unusable answer.
    """

    kind: Kind
    labels: list[str]
    path: str
    queries: int
    invalid: int

    def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
        """Return (N, C) float32 answers on the CPU, see `kind`; an unusable answer is a row of NaN."""
        ...
