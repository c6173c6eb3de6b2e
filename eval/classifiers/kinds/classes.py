"""Measuring classifiers that give one class for each text, or pair of texts. Answers are log-probabilities (N, K)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.kinds.kind import Kind
from eval.classifiers.kinds.measuring import Compared
from eval.classifiers.metrics.teacher import Agreement, KLToTeacher, kl_rows
from eval.classifiers.resampling import Tally, calibration_tally, label_tallies, mean_tally
from eval.data.labelled import EvaluationData

CALIBRATION = "expected_calibration_error"


def choices(log_probs: Tensor) -> list[int]:
    """Return the most probable class of each row of (N, K) log-probabilities; -1 for a row with NaN."""
    usable = ~log_probs.isnan().any(dim=1)
    return torch.where(usable, log_probs.nan_to_num(nan=0.0).argmax(dim=1), -1).tolist()


class Classes:
    """One of K classes; see `Measuring`."""

    headline = ("accuracy", "macro_f1")

    def references(self, data: EvaluationData) -> list[Any]:
        """Return the class indices."""
        return data.labels

    def predictions(self, answers: Tensor, data: EvaluationData, metric: str = "") -> Any:
        """Return the most probable classes; for the calibration error the probabilities."""
        return _probabilities(answers) if metric == CALIBRATION else choices(answers)

    def tallies(self, answers: Tensor, data: EvaluationData, metrics: Sequence[str]) -> dict[str, Tally]:
        """Return counts of label and predicted class."""
        labels = np.asarray(data.labels)
        counted = label_tallies(np.asarray(choices(answers)), labels, answers.shape[1])
        tallies = {name: counted[name] for name in metrics if name in counted}
        if CALIBRATION in metrics:
            tallies[CALIBRATION] = calibration_tally(_probabilities(answers), labels)
        return tallies

    def compared(self, student: Tensor, teacher: Tensor, data: EvaluationData, kind: Kind | None = None) -> Compared:
        """Return how often both choose the same class, and the mean KL divergence."""
        chosen, taught = choices(student), choices(teacher)
        p, q = _probabilities(student), _probabilities(teacher)
        (agreement,) = Agreement().compute(predictions=chosen, references=taught).values()
        (kl,) = KLToTeacher().compute(predictions=p, references=q).values()
        same = np.where(np.asarray(taught) < 0, np.nan, np.equal(chosen, taught))
        return {"agreement": (agreement, mean_tally(same)), "kl": (kl, mean_tally(kl_rows(p, q)))}

    def right(self, answers: Tensor, data: EvaluationData) -> np.ndarray:
        """Return whether each class is the labelled one."""
        return np.asarray(choices(answers)) == np.asarray(data.labels)

    def constant(self, data: EvaluationData) -> tuple[str, list[Any]]:
        """Return the most frequent class, the first of several."""
        most = int(np.bincount(data.labels).argmax())
        return f"always '{data.names[most]}'" if data.names else "always the most frequent class", [most] * len(data)


def _probabilities(answers: Tensor) -> np.ndarray:
    return answers.double().exp().numpy()
