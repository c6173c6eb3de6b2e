"""From predictions to metrics: every metric of a model with its interval, and which of two students is better.

Each model predicts once, as log-probabilities; everything here is arithmetic on them. The values come from
`eval.classifiers.metrics` and the intervals from `eval.classifiers.resampling`, which uses the same draws for all models.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from eval.classifiers.metrics import METRICS, Agreement, KLToTeacher, Retention, hub_metric_values, kl_rows
from eval.classifiers.resampling import Tally, calibration_tally, intervals, label_tallies, mcnemar, mean_tally
from eval.classifiers.scoring import choices
from eval.data.labelled import EvaluationData

CALIBRATION = "expected_calibration_error"


def measure(
    log_probs: Tensor,
    data: EvaluationData,
    metrics: Sequence[str],
    teacher: Tensor | None = None,
    hub: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Measure one model.

    Args:
        log_probs: (N, K) its predictions; a row with NaN has no usable prediction.
        data: The N rows.
        metrics: Names from `METRIC_NAMES`; retention is computed for the first one.
        teacher: (N, K) the teacher's predictions for the same rows; adds `agreement`, `kl` and `retention`.
        hub: Metrics of the hub by name (`eval.classifiers.metrics.hub_metric`); they get no interval.
        seed: Seed of the bootstrap.

    Returns:
        For each metric its `value`, and `low` and `high`, the ends of its 95 % interval; NaN if there is no interval.

    Raises:
        InputError: A metric of the hub cannot be computed.
    """
    chosen, probabilities = choices(log_probs), log_probs.double().exp().numpy()
    labels, classes = np.asarray(data.labels), log_probs.shape[1]
    tallies = label_tallies(np.asarray(chosen), labels, classes)
    tallies = {name: tallies[name] for name in metrics if name in tallies}
    values: dict[str, float] = {}
    for name in metrics:
        rows = probabilities if name == CALIBRATION else chosen
        (values[name],) = METRICS[name]().compute(predictions=rows, references=data.labels).values()
    if CALIBRATION in metrics:
        tallies[CALIBRATION] = calibration_tally(probabilities, labels)
    ratios = {}
    if teacher is not None:
        taught, beliefs, primary = choices(teacher), teacher.double().exp().numpy(), metrics[0]
        retention = Retention(METRICS[primary]())
        values |= Agreement().compute(predictions=chosen, references=taught)
        values |= KLToTeacher().compute(predictions=probabilities, references=beliefs)
        values |= retention.compute(predictions=chosen, references=data.labels, teacher_predictions=taught)
        tallies |= _teacher_tallies(np.asarray(chosen), np.asarray(taught), probabilities, beliefs)
        tallies["teacher"] = label_tallies(np.asarray(taught), labels, classes)[primary]
        ratios["retention"] = (primary, "teacher")
    ends = intervals(tallies, ratios, seed)
    for name, metric in (hub or {}).items():
        values |= hub_metric_values(name, metric, chosen, data.labels)
    return {name: _with_interval(value, ends.get(name)) for name, value in values.items()}


def _teacher_tallies(chosen: np.ndarray, taught: np.ndarray, student: np.ndarray, teacher: np.ndarray) -> dict[str, Tally]:
    """Return agreement and KL as tallies, from classes (N,) and probabilities (N, K) of student and teacher."""
    same = np.where(taught < 0, np.nan, np.equal(chosen, taught))
    return {"agreement": mean_tally(same), "kl": mean_tally(kl_rows(student, teacher))}


def _with_interval(value: float, ends: tuple[float, float] | None) -> dict[str, float]:
    low, high = ends or (float("nan"), float("nan"))
    return {"value": value, "low": low, "high": high}


def pairs(log_probs: Mapping[str, Tensor], labels: Sequence[int]) -> list[dict[str, Any]]:
    """Run McNemar's test for each pair of models on the same rows.

    Args:
        log_probs: (N, K) predictions of each model, by its name.
        labels: N class indices.

    Returns:
        For each pair `first`, `second`, `first_only` and `second_only` (rows that only this one has right), and `p`. The
        p-values are not corrected for the number of pairs.
    """
    chosen = {name: np.asarray(choices(rows)) for name, rows in log_probs.items()}
    tests = []
    for first, second in itertools.combinations(chosen, 2):
        test = mcnemar(chosen[first], chosen[second], np.asarray(labels))
        tests.append(
            {
                "first": first,
                "second": second,
                "first_only": test.first_only,
                "second_only": test.second_only,
                "p": test.p,
            }
        )
    return tests
