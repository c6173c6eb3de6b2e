"""The interface of a kind of classifier, as far as measuring goes.

Answers are what teachers and students give for N rows: float32 on the CPU, NaN in rows without a usable answer. What their
numbers mean is the kind's business.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from distill.kinds.kind import Kind
from eval.classifiers.resampling import Tally
from eval.data.labelled import EvaluationData

Compared = dict[str, tuple[float, Tally]]
"""Figures by name: the value, and the tally that gives its interval."""


class Measuring(Protocol):
    """How classifiers of one kind are measured. All that metrics need is in the form that `eval.classifiers.metrics` takes."""

    @property
    def headline(self) -> tuple[str, ...]:
        """The metrics that every run reports, the most telling first."""
        ...

    def references(self, data: EvaluationData) -> list[Any]:
        """Return the N labels."""
        ...

    def predictions(self, answers: Tensor, data: EvaluationData, metric: str = "") -> list[Any]:
        """Return what N answers decide, or what the metric of this name takes instead."""
        ...

    def tallies(self, answers: Tensor, data: EvaluationData, metrics: Sequence[str]) -> dict[str, Tally]:
        """Return the metrics as functions of sums over the N rows, by name."""
        ...

    def compared(self, student: Tensor, teacher: Tensor, data: EvaluationData, kind: Kind | None = None) -> Compared:
        """Return the `agreement` of student and teacher, in [0, 1], and the distance of their answers, at least 0.

        What the answers decide is for the teacher's kind to say, never for the labels, which may be on another scale.

        Args:
            student: The student's answers.
            teacher: The teacher's.
            data: The rows.
            kind: What the teacher's answers are; None where the range of its scores is not known.
        """
        ...

    def right(self, answers: Tensor, data: EvaluationData) -> np.ndarray | None:
        """Return whether each row is right, (N,) bool; None where rows are more or less right."""
        ...

    def constant(self, data: EvaluationData) -> tuple[str, list[Any]]:
        """Return the best that can be said of every row without reading it, in words and as N predictions."""
        ...
