"""Metrics of classes: one for each text, or pair of texts.

A predicted class of -1 means "no usable prediction" (a model may fail on a text) and counts as wrong. In probabilities a row
with NaN means the same; it is skipped, because it has no confidence that could be right or wrong.
"""

from collections.abc import Sequence

import numpy as np
from sklearn import metrics as sklearn_metrics

from eval.classifiers.metrics.base import INDEX, INPUTS, ROW, ClassificationMetric

CALIBRATION_BINS = 15


class Accuracy(ClassificationMetric):
    """Share of rows whose predicted class is the labelled one, in [0, 1].

    Examples:
        >>> Accuracy().compute(predictions=[0, 1, 1, 0], references=[0, 1, 0, 0])
        {'accuracy': 0.75}
    """

    description = "Share of rows whose predicted class is the labelled one."

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return {"accuracy": float(sklearn_metrics.accuracy_score(references, predictions))}


class MacroF1(ClassificationMetric):
    """Unweighted mean of the classes' F1 scores, in [0, 1].

    The mean is over the classes that occur among references or predictions; a class that is predicted but never correct
    counts as 0. Unlike accuracy, it falls when a student forgets a rare class.

    Examples:
        >>> MacroF1().compute(predictions=[0, 1, 1, 1], references=[0, 1, 1, 0])
        {'macro_f1': 0.7333333333333334}
    """

    description = "Unweighted mean of the F1 scores of all classes that occur."

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        classes = sorted({*predictions, *references} - {-1})
        score = sklearn_metrics.f1_score(references, predictions, labels=classes, average="macro", zero_division=0)
        return {"macro_f1": float(score)}


class MatthewsCorrelation(ClassificationMetric):
    """Matthews' correlation coefficient for any number of classes, in [-1, 1]; 0 is chance (the metric of CoLA).

    It is also 0 if all predictions or all references are one class. Source: Gorodkin 2004, "Comparing two K-category
    assignments by a K-category correlation coefficient".

    Examples:
        >>> MatthewsCorrelation().compute(predictions=[0, 1, 1, 0], references=[0, 1, 1, 0])
        {'matthews_correlation': 1.0}
    """

    description = "Matthews' correlation coefficient for any number of classes."
    citation = "Gorodkin 2004, Comparing two K-category assignments by a K-category correlation coefficient"

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        if len({*predictions, *references}) < 2:
            return {"matthews_correlation": 0.0}  # scikit-learn returns the same, with a warning
        return {"matthews_correlation": float(sklearn_metrics.matthews_corrcoef(references, predictions))}


class ExpectedCalibrationError(ClassificationMetric):
    """The mean distance of a model's confidence from its accuracy, in [0, 1]; 0 is calibrated.

    Confidence is the largest probability of a row. It sorts the rows into 15 bins of equal width, (0, 1/15], (1/15, 2/15] and
    so on. The result is the mean of |accuracy - mean confidence| over the bins, weighted by their rows. Errors that cancel
    within a bin stay hidden, and the value depends on the number of bins: compare only values with the same number. NaN if
    no row is usable. Source: Naeini et al. 2015; 15 bins as in Guo et al. 2017, arXiv 1706.04599.

    Examples:
        >>> metric = ExpectedCalibrationError()
        >>> round(metric.compute(predictions=[[0.9, 0.1], [0.1, 0.9]], references=[0, 1])["expected_calibration_error"], 6)
        0.1
    """

    description = f"Mean distance of confidence from accuracy over {CALIBRATION_BINS} bins of equal width."
    citation = "Naeini et al. 2015, Obtaining Well Calibrated Probabilities Using Bayesian Binning"
    inputs = INPUTS.replace(
        "(N,) predicted class indices; -1 for no usable prediction",
        "(N, K) probabilities; a row with NaN for no usable prediction",
    )
    columns = {"predictions": ROW, "references": INDEX}

    def _compute(self, predictions: Sequence[Sequence[float]], references: Sequence[int]) -> dict[str, float]:
        bins, gaps = calibration_gaps(np.asarray(predictions), np.asarray(references))
        usable = len(gaps) - int(np.isnan(gaps).sum())
        sums = np.bincount(bins, weights=np.nan_to_num(gaps), minlength=CALIBRATION_BINS)
        return {"expected_calibration_error": float(np.abs(sums).sum() / usable) if usable else float("nan")}


def calibration_gaps(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the contribution of each row to the calibration error: its bin, and its gap (correct or not - confidence).

    The error is the sum over the bins of |sum of the gaps|, divided by the number of rows.

    Args:
        probabilities: (N, K) float64.
        labels: (N,) class indices.

    Returns:
        (N,) int64 in 0 to `CALIBRATION_BINS` - 1 and (N,) float64 in [-1, 1]; 0 and NaN for a row with NaN.
    """
    unusable = np.isnan(probabilities).any(axis=1)
    filled = np.where(unusable[:, None], 1.0, probabilities)
    confidence = filled.max(axis=1)
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    gaps = (filled.argmax(axis=1) == labels) - confidence
    return np.where(unusable, 0, bins), np.where(unusable, np.nan, gaps)
