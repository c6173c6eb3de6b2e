"""Metrics of scores: one number for each text, or pair of texts.

A predicted NaN means "no usable prediction". Such rows are left out, because no number would stand for them; NaN if none
is left.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats
from sklearn import metrics as sklearn_metrics

from eval.classifiers.metrics.base import NUMBER, ClassificationMetric

INPUTS = """
Args:
    predictions: (N,) predicted numbers; NaN for no usable prediction.
    references: (N,) numbers to compare with.
"""


class ScoreMetric(ClassificationMetric):
    """A metric over numbers."""

    inputs = INPUTS
    columns = {"predictions": NUMBER, "references": NUMBER}


class Pearson(ScoreMetric):
    """Pearson's correlation, in [-1, 1]: 1 where predictions are the references up to scale and shift.

    It is 0 if all predictions or all references are equal.

    Examples:
        >>> round(Pearson().compute(predictions=[1, 2, 4], references=[1, 2, 3])["pearson"], 6)
        0.981981
    """

    description = "Pearson's correlation of predictions and references."

    def _compute(self, predictions: Sequence[float], references: Sequence[float]) -> dict[str, float]:
        given, true = usable(predictions, references)
        return {"pearson": float(stats.pearsonr(given, true).statistic) if _varied(given, true) else _without(given)}


class Spearman(ScoreMetric):
    """Spearman's correlation of ranks, in [-1, 1]: 1 where predictions order the rows as the references do.

    It is 0 if all predictions or all references are equal. Equal numbers share their mean rank.

    Examples:
        >>> round(Spearman().compute(predictions=[1, 2, 9], references=[1, 2, 3])["spearman"], 6)
        1.0
    """

    description = "Spearman's rank correlation of predictions and references."

    def _compute(self, predictions: Sequence[float], references: Sequence[float]) -> dict[str, float]:
        given, true = usable(predictions, references)
        return {"spearman": float(stats.spearmanr(given, true).statistic) if _varied(given, true) else _without(given)}


class MeanSquaredError(ScoreMetric):
    """Mean squared difference, at least 0; lower is better.

    Examples:
        >>> MeanSquaredError().compute(predictions=[1, 2, 4], references=[1, 2, 2])
        {'mse': 1.3333333333333333}
    """

    description = "Mean squared difference of predictions and references."

    def _compute(self, predictions: Sequence[float], references: Sequence[float]) -> dict[str, float]:
        given, true = usable(predictions, references)
        return {"mse": float(sklearn_metrics.mean_squared_error(true, given)) if len(given) else float("nan")}


def usable(predictions: Sequence[float], references: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows, (n,) float64 each, whose two numbers are finite."""
    given, true = np.asarray(predictions, dtype=np.float64), np.asarray(references, dtype=np.float64)
    rows = np.isfinite(given) & np.isfinite(true)
    return given[rows], true[rows]


def _varied(given: np.ndarray, true: np.ndarray) -> bool:
    return len(given) > 1 and bool(np.ptp(given) > 0) and bool(np.ptp(true) > 0)


def _without(given: np.ndarray) -> float:
    """Return the correlation of numbers that are all equal: 0, or NaN for fewer than two."""
    return 0.0 if len(given) > 1 else float("nan")
