"""Measuring classifiers that give a number for each text, or pair of texts. Answers are values (N, 1)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from distill.kinds.kind import Kind
from distill.kinds.scores import Score
from eval.classifiers.kinds.measuring import Compared
from eval.classifiers.resampling import Tally, mean_of, mean_tally, quotients, row_tally
from eval.data.labelled import EvaluationData


class Scores:
    """A number for each text; see `Measuring`."""

    headline = ("pearson", "spearman", "mse")

    def references(self, data: EvaluationData) -> list[Any]:
        """Return the numbers."""
        return data.labels

    def predictions(self, answers: Tensor, data: EvaluationData, metric: str = "") -> list[Any]:
        """Return the values; NaN for an unusable answer."""
        return answers[:, 0].double().tolist()

    def tallies(self, answers: Tensor, data: EvaluationData, metrics: Sequence[str]) -> dict[str, Tally]:
        """Return correlations and mean squares over the rows that are usable."""
        given, true = answers[:, 0].double().numpy(), np.asarray(data.labels, dtype=np.float64)
        usable = np.isfinite(given)
        if usable.sum() < 2:
            return {name: mean_tally(np.full(len(usable), np.nan)) for name in metrics}
        given, true = given[usable], true[usable]
        squares = (given - true) ** 2

        def pearson(drawn: np.ndarray) -> np.ndarray:
            return correlations(drawn[:, usable], given - given.mean(), true - true.mean())

        def spearman(drawn: np.ndarray) -> np.ndarray:
            return correlations(drawn[:, usable], ranks(drawn[:, usable], given), ranks(drawn[:, usable], true))

        def mse(drawn: np.ndarray) -> np.ndarray:
            return quotients(drawn[:, usable] @ squares, drawn[:, usable].sum(axis=1))

        finishes = {"pearson": pearson, "spearman": spearman, "mse": mse}
        return {name: row_tally(len(usable), finishes[name]) for name in metrics}

    def compared(self, student: Tensor, teacher: Tensor, data: EvaluationData, kind: Kind | None = None) -> Compared:
        """Return how often both lie in the same fifth of the range, and the mean squared difference.

        Without a kind the range is that of the teacher's answers.
        """
        kind = kind or spanned(teacher)
        p, q = student[:, 0].double().numpy(), teacher[:, 0].double().numpy()
        steps = [kind.decisions(answers)[:, 0].numpy() for answers in (student, teacher)]
        same = np.where(np.isnan(q), np.nan, (steps[0] == steps[1]) & ~np.isnan(p))
        found = {"agreement": same, "squared_distance": (p - q) ** 2}
        return {name: (mean_of(rows), mean_tally(rows)) for name, rows in found.items()}

    def right(self, answers: Tensor, data: EvaluationData) -> None:
        """Return nothing: an answer is more or less right."""

    def constant(self, data: EvaluationData) -> tuple[str, list[Any]]:
        """Return the mean."""
        mean = float(np.mean(data.labels))
        return f"always {mean:.3g}", [mean] * len(data)


def spanned(answers: Tensor) -> Score:
    """Return the kind of scores whose range is that of these answers (N, 1)."""
    values = answers[answers.isfinite()]
    if not len(values):
        return Score()
    low, high = float(values.min()), float(values.max())
    return Score(low, high if high > low else low + 1.0)


def ranks(drawn: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the rank of each value within each draw, from 1; equal values share their mean rank.

    Args:
        drawn: (B, N) how often each row is in each of B draws.
        values: (N,) the rows' values.

    Returns:
        (B, N) float64; without meaning for a row that was not drawn.
    """
    _, position = np.unique(values, return_inverse=True)
    order = np.argsort(position, kind="stable")
    starts = np.flatnonzero(np.diff(position[order], prepend=-1))
    alike = np.add.reduceat(drawn[:, order], starts, axis=1)
    return (np.cumsum(alike, axis=1) - (alike - 1) / 2)[:, position]


def correlations(drawn: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation in each of B draws, (B,); 0 where all numbers of one side are equal.

    Args:
        drawn: (B, N) how often each row is in each draw.
        first: Numbers, (N,) or (B, N).
        second: Numbers to compare with.
    """
    rows = drawn.sum(axis=1, keepdims=True)
    sides = []
    for numbers in (first, second):
        centred = numbers - quotients((drawn * numbers).sum(axis=1, keepdims=True), rows)
        squares = (drawn * centred**2).sum(axis=1)
        # What is left of equal numbers is rounding error.
        sides.append((centred, np.where(squares > 1e-24 * rows[:, 0] * np.square(numbers).max(), squares, 0.0)))
    (x, xx), (y, yy) = sides
    spread = np.sqrt(xx * yy)
    return np.divide((drawn * x * y).sum(axis=1), spread, out=np.zeros_like(spread), where=spread > 0)
