"""The figures that result rows here are made of, as `evaluate.Metric` classes.

They are instantiated directly, never loaded by name: `evaluate.load("f1")` would fetch code from the hub, and a
measurement must work offline. The arithmetic is scikit-learn's. Each metric keeps its rows in memory, so that it
leaves no cache file behind, needs no writable home folder, and any number of processes can measure at once.

Three kinds of input occur: chosen classes against labels (`Accuracy`, `MacroF1`, `MatthewsCorrelation`), which
`Retention` sets in relation to the teacher's choices; choices against the teacher's (`Agreement`); and probability rows
against labels (`ExpectedCalibrationError`) or against the teacher's rows (`KLToTeacher`).

A prediction of -1 means "no usable answer" (a teacher may fail on a text) and counts as wrong. In probability rows a row
with NaN means the same; there it is left out, for it has no confidence that could be right or wrong.
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

from distill.common.errors import InputError
from eval.classifiers.metric_names import HUB

CALIBRATION_BINS = 15

INDEX = datasets.Value("int64")
ROW = datasets.Sequence(datasets.Value("float64"))

INPUTS = """
Args:
    predictions: (N,) class indices that the model chose; -1 where it gave no usable answer.
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
        # `evaluate` makes its cache folder even where it keeps everything in memory; this one is gone again at once.
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

    The mean is over the classes that occur among references or predictions; a class that is predicted but never right
    counts as 0. Unlike accuracy it falls when a student forgets a rare class.

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
    """Share of rows on which the student chooses the class its teacher chooses, in [0, 1].

    `references` are the teacher's choices. Rows where the teacher gave no usable answer (-1) are left out, since
    there is nothing to agree with; where none is left the result is NaN. Also called top-1 agreement or fidelity:
    Stanton et al. 2021, "Does Knowledge Distillation Really Work?", arXiv 2106.05945.

    Examples:
        >>> Agreement().compute(predictions=[0, 1, 1], references=[0, 1, -1])
        {'agreement': 1.0}
    """

    description = "Share of rows on which the student chooses the class its teacher chooses."
    citation = "Stanton et al. 2021, Does Knowledge Distillation Really Work?, arXiv 2106.05945"

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        answered = [(p, r) for p, r in zip(predictions, references, strict=True) if r != -1]
        if not answered:
            return {"agreement": float("nan")}
        return {"agreement": sum(p == r for p, r in answered) / len(answered)}


class MatthewsCorrelation(ClassificationMetric):
    """Matthews' correlation coefficient for any number of classes, in [-1, 1]; 0 is chance (the metric of CoLA).

    0 as well where all predictions or all references are one class. Source: Gorodkin 2004, "Comparing two K-category
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
    """What share of the teacher's score a student keeps: the student's metric over the teacher's, at least 0.

    Above 1 where the student is better. NaN where the teacher's score is 0 or less: there is nothing to keep.

    Args:
        metric: The metric meant; it compares choices with labels.

    Examples:
        >>> Retention(Accuracy()).compute(predictions=[0, 0, 0], references=[0, 0, 1], teacher_predictions=[0, 0, 1])
        {'retention': 0.6666666666666666}
    """

    description = "A metric of the student over the same metric of the teacher."
    inputs = INPUTS + "    teacher_predictions: (N,) class indices that the teacher chose; -1 as above.\n"
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
    """How far a model's confidence is from its accuracy, in [0, 1]; 0 is calibrated.

    Confidence is the largest probability of a row. Rows are put into 15 bins of equal width by it, (0, 1/15], (1/15, 2/15]
    and so on; the result is the mean over the bins of |accuracy - mean confidence|, weighted by their rows. The sum hides
    what cancels within a bin, and it depends on the number of bins: compare only figures with the same number. NaN where
    no row is usable. Source: Naeini et al. 2015; 15 bins as in Guo et al. 2017, arXiv 1706.04599.

    Examples:
        >>> metric = ExpectedCalibrationError()
        >>> round(metric.compute(predictions=[[0.9, 0.1], [0.1, 0.9]], references=[0, 1])["expected_calibration_error"], 6)
        0.1
    """

    description = f"Mean distance of confidence from accuracy over {CALIBRATION_BINS} bins of equal width."
    citation = "Naeini et al. 2015, Obtaining Well Calibrated Probabilities Using Bayesian Binning"
    inputs = INPUTS.replace(
        "(N,) class indices that the model chose; -1 where it gave no usable answer",
        "(N, K) probabilities; a row with NaN where the model gave no usable answer",
    )
    columns = {"predictions": ROW, "references": INDEX}

    def _compute(self, predictions: Sequence[Sequence[float]], references: Sequence[int]) -> dict[str, float]:
        bins, gaps = calibration_gaps(np.asarray(predictions), np.asarray(references))
        usable = len(gaps) - int(np.isnan(gaps).sum())
        sums = np.bincount(bins, weights=np.nan_to_num(gaps), minlength=CALIBRATION_BINS)
        return {"expected_calibration_error": float(np.abs(sums).sum() / usable) if usable else float("nan")}


def calibration_gaps(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each row adds to the calibration error: its bin, and how far its confidence is from having been right.

    The error is the sum over the bins of |sum of the gaps|, divided by the number of rows.

    Args:
        probabilities: (N, K) float64.
        labels: (N,) class indices.

    Returns:
        (N,) int64 in 0 to `CALIBRATION_BINS` - 1 and (N,) float64 in [-1, 1]; 0 and NaN where a row holds NaN.
    """
    unusable = np.isnan(probabilities).any(axis=1)
    filled = np.where(unusable[:, None], 1.0, probabilities)
    confidence = filled.max(axis=1)
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    gaps = (filled.argmax(axis=1) == labels) - confidence
    return np.where(unusable, 0, bins), np.where(unusable, np.nan, gaps)


class KLToTeacher(ClassificationMetric):
    """How much of the teacher's answer a student misses: the mean of KL(p_teacher || p_student) in nats, at least 0.

    Rows where either gave no usable answer (NaN) are left out; NaN where none is left. Infinite where the student rules a
    class out, with probability 0, that the teacher does not. It is what distillation minimises (Hinton et al. 2015,
    arXiv 1503.02531), and unlike agreement it sees whether the student is as sure as its teacher.

    Examples:
        >>> metric = KLToTeacher()
        >>> round(metric.compute(predictions=[[0.5, 0.5]], references=[[1.0, 0.0]])["kl"], 6)
        0.693147
    """

    description = "Mean Kullback-Leibler divergence of the student's answers from the teacher's, in nats."
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
"""What a task may name: metrics of a model's answers against labels. A teacher adds agreement, KL and retention."""


def hub_metric(name: str) -> Any:
    """Fetch a metric of the hub, `hub:NAME`. This runs code from the hub: only for names one trusts.

    Raises:
        InputError: There is no such metric, the hub cannot be reached, or a package that it needs is not installed.
    """
    try:
        return evaluate.load(name.removeprefix(HUB))
    except (OSError, ImportError, ValueError) as error:
        raise InputError(
            f"metric: '{name}' could not be fetched from the hub ({_first_line(error)}); check the name and the network, "
            f"or use one that is built in: {', '.join(METRICS)}."
        ) from error


def hub_figures(name: str, metric: Any, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
    """Compute a metric of the hub from choices and labels.

    Returns:
        Each number it answers with, as `hub:KEY`.

    Raises:
        InputError: It cannot be computed so (it may need arguments, or probabilities), or answers with no number.
    """
    try:
        answer = metric.compute(predictions=predictions, references=references)
    except Exception as error:  # not narrower: it is a stranger's code
        raise InputError(
            f"metric: '{name}' cannot be computed from chosen classes and labels ({_first_line(error)}); leave it out."
        ) from error
    figures = {
        f"{HUB}{key}": float(value)
        for key, value in dict(answer or {}).items()
        if isinstance(value, int | float | np.number) and not math.isnan(value)
    }
    if not figures:
        raise InputError(f"metric: '{name}' answers with no number ({answer}); leave it out.")
    return figures


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
