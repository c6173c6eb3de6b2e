"""From answers to metrics: every metric of a model with its interval, and which of two students is better.

Each model answers once; everything here is arithmetic on its answers. The values come from `eval.classifiers.metrics` and the
intervals from `eval.classifiers.resampling`, which uses the same draws for all models. What an answer is depends on the kind
of classifier (`eval.classifiers.kinds`).
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from distill.kinds.kind import Kind
from eval.classifiers.kinds.table import MEASURING
from eval.classifiers.metrics.hub import hub_metric_values
from eval.classifiers.metrics.table import METRICS
from eval.classifiers.metrics.teacher import Retention
from eval.classifiers.resampling import intervals, mcnemar
from eval.data.config import HUB
from eval.data.labelled import EvaluationData


def measure(
    answers: Tensor,
    data: EvaluationData,
    metrics: Sequence[str],
    teacher: Tensor | None = None,
    hub: Mapping[str, Any] | None = None,
    seed: int = 0,
    teacher_kind: Kind | None = None,
) -> dict[str, dict[str, float]]:
    """Measure one model.

    Args:
        answers: Its answers, N rows; a row with NaN is no usable answer.
        data: The N rows.
        metrics: Names from `METRICS_OF_KIND`; retention is computed for the first one.
        teacher: The teacher's answers for the same rows; adds `agreement`, the distance (`kl`, of scores `squared_distance`)
            and `retention`.
        hub: Metrics of the hub by name (`eval.classifiers.metrics.hub`); they get no interval.
        seed: Seed of the bootstrap.
        teacher_kind: What the teacher's answers are; None where the range of its scores is not known.

    Returns:
        For each metric its `value`, and `low` and `high`, the ends of its 95 % interval; NaN if there is no interval.

    Raises:
        InputError: A metric of the hub cannot be computed.
    """
    kind, known = MEASURING[data.kind], METRICS[data.kind]
    references = kind.references(data)
    values: dict[str, float] = {}
    for name in metrics:
        given = kind.predictions(answers, data, name)
        (values[name],) = known[name]().compute(predictions=given, references=references).values()
    tallies, ratios = kind.tallies(answers, data, metrics), {}
    if teacher is not None:
        primary, given = metrics[0], kind.predictions(answers, data)
        for name, (value, tally) in kind.compared(answers, teacher, data, teacher_kind).items():
            values[name], tallies[name] = value, tally
        values |= Retention(known[primary]()).compute(
            predictions=given, references=references, teacher_predictions=kind.predictions(teacher, data)
        )
        tallies["teacher"] = kind.tallies(teacher, data, [primary])[primary]
        ratios["retention"] = (primary, "teacher")
    ends = intervals(tallies, ratios, seed)
    for name, metric in (hub or {}).items():
        for key, value in hub_metric_values(name, metric, kind.predictions(answers, data), references).items():
            values[key if key not in values else f"{name} {key.removeprefix(HUB)}"] = value  # two may call theirs alike
    return {name: _with_interval(value, ends.get(name)) for name, value in values.items()}


def _with_interval(value: float, ends: tuple[float, float] | None) -> dict[str, float]:
    low, high = ends or (float("nan"), float("nan"))
    return {"value": value, "low": low, "high": high}


def constant_answer(data: EvaluationData, metrics: Sequence[str]) -> dict[str, Any]:
    """Measure what can be had without reading: the most frequent class or set of labels, the mean, or no entity.

    Args:
        data: The rows.
        metrics: Names from `METRICS_OF_KIND`; those that need probabilities are left out.

    Returns:
        `answer`, in words, and `metrics`, the values by name.
    """
    kind, values = MEASURING[data.kind], {}
    answer, given = kind.constant(data)
    for name in metrics:
        metric = METRICS[data.kind][name]()
        if "probabilities" not in metric.inputs:
            (values[name],) = metric.compute(predictions=given, references=kind.references(data)).values()
    return {"answer": answer, "metrics": values}


def pairs(answers: Mapping[str, Tensor], data: EvaluationData, metric: str, seed: int = 0) -> list[dict[str, Any]]:
    """Compare each pair of models on the same rows: by McNemar's test where an answer is a class, else by their difference.

    Args:
        answers: The answers of each model, by its name.
        data: The rows.
        metric: The metric whose difference is taken.
        seed: Seed of the bootstrap.

    Returns:
        For each pair `first` and `second`. Of classes also `first_only` and `second_only` (rows that only this one has right),
        and `p`; the p-values are not corrected for the number of pairs. Of other kinds `metric`, `difference` (first minus
        second), and `low` and `high`, the ends of its 95 % interval on the same draws of rows.
    """
    both = list(itertools.combinations(answers, 2))
    if not both:
        return []
    kind = MEASURING[data.kind]
    right = {name: kind.right(rows, data) for name, rows in answers.items()}
    if known_right := {name: rows for name, rows in right.items() if rows is not None}:
        tests = {(a, b): mcnemar(known_right[a], known_right[b]) for a, b in both}
        return [
            {"first": a, "second": b, "first_only": test.first_only, "second_only": test.second_only, "p": test.p}
            for (a, b), test in tests.items()
        ]
    tallies = {name: kind.tallies(rows, data, [metric])[metric] for name, rows in answers.items()}
    ends = intervals(tallies, seed=seed, differences={f"{a}\n{b}": (a, b) for a, b in both})
    known, references = METRICS[data.kind][metric](), kind.references(data)
    values = {
        name: known.compute(predictions=kind.predictions(rows, data), references=references)[metric]
        for name, rows in answers.items()
    }
    return [
        {"first": a, "second": b, "metric": metric, "difference": values[a] - values[b]}
        | dict(zip(("low", "high"), ends[f"{a}\n{b}"], strict=True))
        for a, b in both
    ]
