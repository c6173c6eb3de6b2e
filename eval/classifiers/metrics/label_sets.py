"""Metrics of sets of labels: each label of a text is given or not.

Predictions and references are rows of K numbers, 1 for a label that is given and 0 for one that is not. A row of -1 means "no
usable prediction": it gives no label, and is no right set.
"""

from collections.abc import Sequence

import numpy as np
from sklearn import metrics as sklearn_metrics

from eval.classifiers.metrics.base import INDICES, ClassificationMetric

INPUTS = """
Args:
    predictions: (N, K) of 0 and 1; a row of -1 for no usable prediction.
    references: (N, K) of 0 and 1 to compare with.
"""

Rows = Sequence[Sequence[int]]


class LabelSetMetric(ClassificationMetric):
    """A metric over sets of labels, as rows of 0 and 1."""

    inputs = INPUTS
    columns = {"predictions": INDICES, "references": INDICES}


class MicroF1(LabelSetMetric):
    """F1 score of all (text, label) pairs together, in [0, 1]: frequent labels weigh more. 0 where no label is given at all.

    Examples:
        >>> MicroF1().compute(predictions=[[1, 0], [1, 1]], references=[[1, 0], [0, 1]])
        {'micro_f1': 0.8}
    """

    description = "F1 score of all pairs of text and label together."

    def _compute(self, predictions: Rows, references: Rows) -> dict[str, float]:
        given, true = _sets(predictions), _sets(references)
        labels = range(given.shape[1] - 1)
        return {"micro_f1": float(sklearn_metrics.f1_score(true, given, labels=labels, average="micro", zero_division=0))}


class LabelMacroF1(LabelSetMetric):
    """Unweighted mean of the labels' F1 scores, in [0, 1], over those that occur among references or predictions.

    Examples:
        >>> LabelMacroF1().compute(predictions=[[1, 0], [1, 1]], references=[[1, 0], [0, 1]])
        {'macro_f1': 0.8333333333333333}
    """

    description = "Unweighted mean of the F1 scores of all labels that occur."

    def _compute(self, predictions: Rows, references: Rows) -> dict[str, float]:
        given, true = _sets(predictions), _sets(references)
        occur = np.flatnonzero(given.any(axis=0) | true.any(axis=0))
        if not len(occur):
            return {"macro_f1": 0.0}
        return {"macro_f1": float(sklearn_metrics.f1_score(true, given, labels=occur, average="macro", zero_division=0))}


class SubsetAccuracy(LabelSetMetric):
    """Share of rows whose whole set of labels is right, in [0, 1].

    Examples:
        >>> SubsetAccuracy().compute(predictions=[[1, 0], [1, 1]], references=[[1, 0], [0, 1]])
        {'subset_accuracy': 0.5}
    """

    description = "Share of rows whose whole set of labels is right."

    def _compute(self, predictions: Rows, references: Rows) -> dict[str, float]:
        return {"subset_accuracy": float((np.asarray(predictions) == np.asarray(references)).all(axis=1).mean())}


def _sets(rows: Rows) -> np.ndarray:
    """Return rows of 0 and 1 with a label more that no text has: of one label alone, scikit-learn would score its absence."""
    return np.pad(np.maximum(rows, 0), ((0, 0), (0, 1)))
