"""The metrics of classifiers, as `evaluate.Metric` classes.

They are instantiated directly and never loaded by name: `evaluate.load("f1")` would fetch code from the hub, and a
measurement must work offline. The arithmetic is scikit-learn's. Each metric keeps its rows in memory. It therefore leaves
no cache file behind, needs no writable home folder, and any number of processes can measure at once.

`Accuracy`, `MacroF1` and `MatthewsCorrelation` compare predicted classes with labels; `Retention` divides such a metric of the
student by the teacher's. `Agreement` compares predicted classes with the teacher's. `ExpectedCalibrationError` compares
probabilities with labels, and `KLToTeacher` compares them with the teacher's.

A predicted class of -1 means "no usable prediction" (a teacher may fail on a text) and counts as wrong. In probabilities a row
with NaN means the same; it is skipped, because it has no confidence that could be right or wrong.
"""

import math
import tempfile
from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
from scipy.special import rel_entr
from sklearn import metrics as sklearn_metrics

from distill.checkpoints.network import heed_network
from distill.common.errors import InputError
from eval.data.config import HUB

CALIBRATION_BINS = 15

INDEX = datasets.Value("int64")
ROW = datasets.Sequence(datasets.Value("float64"))

INPUTS = """
Args:
    predictions: (N,) predicted class indices; -1 for no usable prediction.
    references: (N,) class indices to compare with.
"""


class ClassificationMetric(evaluate.Metric):
    """A metric over predicted and reference class indices; the constructor takes no arguments.

    Use `metric.compute(predictions=..., references=...)`, or `metric.add_batch(...)` per batch and `metric.compute()`.
    """

    description = ""
    citation = ""
    inputs = INPUTS
    columns = {"predictions": INDEX, "references": INDEX}

    def __init__(self) -> None:
        # `evaluate` makes a cache folder even if it keeps everything in memory; this one is removed at once.
        with tempfile.TemporaryDirectory() as scratch:
            super().__init__(keep_in_memory=True, cache_dir=scratch)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.description,
            citation=self.citation,
            inputs_description=self.inputs,
            features=datasets.Features(self.columns),
        )


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


class Agreement(ClassificationMetric):
    """Share of rows for which student and teacher predict the same class, in [0, 1].

    `references` are the teacher's classes. Rows without a usable prediction of the teacher (-1) are skipped; if no row is
    left, the result is NaN. Also called top-1 agreement or fidelity: Stanton et al. 2021,
    "Does Knowledge Distillation Really Work?", arXiv 2106.05945.

    Examples:
        >>> Agreement().compute(predictions=[0, 1, 1], references=[0, 1, -1])
        {'agreement': 1.0}
    """

    description = "Share of rows for which student and teacher predict the same class."
    citation = "Stanton et al. 2021, Does Knowledge Distillation Really Work?, arXiv 2106.05945"

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        answered = [(p, r) for p, r in zip(predictions, references, strict=True) if r != -1]
        if not answered:
            return {"agreement": float("nan")}
        return {"agreement": sum(p == r for p, r in answered) / len(answered)}


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


class Retention(ClassificationMetric):
    """The student's metric divided by the teacher's: the share of the teacher's score that the student keeps.

    It is above 1 if the student is better, and NaN if the teacher's score is 0 or less.

    Args:
        metric: The metric to divide; it compares predicted classes with labels.

    Examples:
        >>> Retention(Accuracy()).compute(predictions=[0, 0, 0], references=[0, 0, 1], teacher_predictions=[0, 0, 1])
        {'retention': 0.6666666666666666}
    """

    description = "A metric of the student over the same metric of the teacher."
    inputs = INPUTS + "    teacher_predictions: (N,) class indices that the teacher predicted; -1 as above.\n"
    columns = ClassificationMetric.columns | {"teacher_predictions": INDEX}

    def __init__(self, metric: ClassificationMetric) -> None:
        super().__init__()
        self.metric = metric

    def _compute(
        self, predictions: Sequence[int], references: Sequence[int], teacher_predictions: Sequence[int]
    ) -> dict[str, float]:
        (student,) = self.metric.compute(predictions=predictions, references=references).values()
        (teacher,) = self.metric.compute(predictions=teacher_predictions, references=references).values()
        return {"retention": student / teacher if teacher > 0 else float("nan")}


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


class KLToTeacher(ClassificationMetric):
    """The mean of KL(p_teacher || p_student) in nats, at least 0.

    Rows without a usable prediction of both (NaN) are skipped; NaN if none is left. It is infinite if the student gives
    probability 0 to a class that the teacher does not rule out. Distillation minimises this divergence (Hinton et al. 2015,
    arXiv 1503.02531). Unlike agreement it shows whether the student is as sure as its teacher.

    Examples:
        >>> metric = KLToTeacher()
        >>> round(metric.compute(predictions=[[0.5, 0.5]], references=[[1.0, 0.0]])["kl"], 6)
        0.693147
    """

    description = "Mean Kullback-Leibler divergence of the student's predictions from the teacher's, in nats."
    citation = "Hinton et al. 2015, Distilling the Knowledge in a Neural Network, arXiv 1503.02531"
    inputs = """
Args:
    predictions: (N, K) probabilities of the student.
    references: (N, K) probabilities of the teacher.
"""
    columns = {"predictions": ROW, "references": ROW}

    def _compute(self, predictions: Sequence[Sequence[float]], references: Sequence[Sequence[float]]) -> dict[str, float]:
        rows = kl_rows(np.asarray(predictions), np.asarray(references))
        usable = rows[~np.isnan(rows)]
        return {"kl": float(usable.mean()) if len(usable) else float("nan")}


def kl_rows(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """Return KL(teacher || student) of each row of two (N, K) float64 matrices of probabilities, (N,) in nats."""
    return rel_entr(teacher, student).sum(axis=1)


METRICS: dict[str, type[ClassificationMetric]] = {
    "accuracy": Accuracy,
    "macro_f1": MacroF1,
    "matthews_correlation": MatthewsCorrelation,
    "expected_calibration_error": ExpectedCalibrationError,
}
"""The metrics that a task may name; they compare predictions with labels. A teacher adds agreement, KL and retention."""


def hub_metric(name: str) -> Any:
    """Fetch a metric `hub:NAME` from the hub. This runs code from the hub, so use it only for names you trust.

    Raises:
        InputError: The metric does not exist, the hub cannot be reached, or a package that the metric needs is missing.
    """
    heed_network()
    try:
        return evaluate.load(name.removeprefix(HUB))
    except (OSError, ImportError, ValueError) as error:
        raise InputError(
            f"metric: '{name}' could not be fetched from the hub ({_first_line(error)}); check the name and the network, "
            f"or use a built-in one: {', '.join(METRICS)}."
        ) from error


def hub_metric_values(name: str, metric: Any, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
    """Compute a metric of the hub from predicted classes and labels.

    Returns:
        Each number in its result, as `hub:KEY`.

    Raises:
        InputError: The metric cannot be computed from these inputs (it may need arguments or probabilities), or its result
            holds no number.
    """
    try:
        answer = metric.compute(predictions=predictions, references=references)
    except Exception as error:  # code from the hub may raise anything
        raise InputError(
            f"metric: '{name}' cannot be computed from predicted classes and labels ({_first_line(error)}); leave it out."
        ) from error
    values = {
        f"{HUB}{key}": float(value)
        for key, value in dict(answer or {}).items()
        if isinstance(value, int | float | np.number) and not math.isnan(value)
    }
    if not values:
        raise InputError(f"metric: '{name}' returns no number ({answer}); leave it out.")
    return values


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
