"""Metrics that compare a student with its teacher, whether or not the teacher is right.

`Agreement` compares predicted classes, `KLToTeacher` probabilities, and `Retention` divides a metric of the student by the
teacher's. Rows without a usable prediction of the teacher are skipped.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import rel_entr

from eval.classifiers.metrics.base import ROW, ClassificationMetric


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


class Retention(ClassificationMetric):
    """The student's metric divided by the teacher's: the share of the teacher's score that the student keeps.

    It is above 1 if the student is better, and NaN if the teacher's score is 0 or less.

    Args:
        metric: The metric to divide; it compares predictions with labels.

    Examples:
        >>> from eval.classifiers.metrics.classes import Accuracy
        >>> Retention(Accuracy()).compute(predictions=[0, 0, 0], references=[0, 0, 1], teacher_predictions=[0, 0, 1])
        {'retention': 0.6666666666666666}
    """

    description = "A metric of the student over the same metric of the teacher."

    def __init__(self, metric: ClassificationMetric) -> None:
        self.metric = metric
        self.inputs = metric.inputs + "    teacher_predictions: What the teacher predicted, as above.\n"
        self.columns = metric.columns | {"teacher_predictions": metric.columns["predictions"]}
        super().__init__()

    def _compute(self, predictions: Any, references: Any, teacher_predictions: Any) -> dict[str, float]:
        (student,) = self.metric.compute(predictions=predictions, references=references).values()
        (teacher,) = self.metric.compute(predictions=teacher_predictions, references=references).values()
        return {"retention": student / teacher if teacher > 0 else float("nan")}


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
