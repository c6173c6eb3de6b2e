"""Scores, size and speed of students and teachers: the metrics of one result row.

Students and teachers give answers of the same form, so one function scores both. The teacher is asked
once about the evaluation data, and `EvaluationData` keeps its predictions. Agreement with them measures how well a student
imitates its teacher, whether or not the teacher is right.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from distill.kinds.kind import Kind
from distill.portable.exported import ExportedClassifier
from distill.student import Student
from distill.teachers.base import Teacher
from distill.teachers.transformers_teacher import TransformersTeacher
from eval.classifiers.kinds.words import of_given_words
from eval.data.labelled import EvaluationData


def predict(model: Student | Teacher, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
    """Return the answers of a student or a teacher to N texts, or pairs of texts, in the shape of its kind."""
    return model.answers(texts, text_pairs) if isinstance(model, Student) else model(texts, text_pairs)


def answer(model: Student | Teacher, data: EvaluationData) -> Tensor:
    """Return the answers of a student or a teacher for evaluation data; those of taggers for the words of the data."""
    answers = predict(model, data.texts, data.text_pairs)
    return answers if data.words is None else of_given_words(answers, data.words)


def score(model: Student | Teacher | None, data: EvaluationData) -> dict[str, Any]:
    """Score a student or a teacher on labelled texts.

    Args:
        model: Student or teacher to ask; a teacher counts these texts in its `queries`. None scores the predictions
            in `data.teacher_log_probs`.
        data: The texts, their labels, and the teacher's predictions if it was asked.

    Returns:
        The headline metrics of the kind (of classes `accuracy` and `macro_f1`), the metric of the data, and `n`; also
        `agreement` for a model if the teacher's predictions are known.

    Raises:
        ValueError: `model` is None and the teacher was not asked, or there are no rows.
    """
    if model is None:
        if data.teacher_log_probs is None:
            raise ValueError("score(None, data) needs data.teacher_log_probs")
        return score_predictions(data.teacher_log_probs, data)
    return score_predictions(answer(model, data), data, data.teacher_log_probs, model.kind)


def score_predictions(
    answers: Tensor, data: EvaluationData, teacher: Tensor | None = None, kind: Kind | None = None
) -> dict[str, Any]:
    """Score answers that were already given.

    Args:
        answers: The answers for the N rows; a row with NaN counts as wrong.
        data: The rows.
        teacher: The teacher's answers for the same rows, or None.
        kind: What the answers of both are; None where the range of scores is not known.

    Returns:
        As `score`.

    Raises:
        ValueError: There are no rows, or the lengths differ.
    """
    from eval.classifiers.kinds.table import MEASURING  # here, since the library of metrics takes a while to import
    from eval.classifiers.metrics.table import METRICS

    if not len(data) or len(data) != len(answers):
        raise ValueError(f"{len(answers)} predictions for {len(data)} labels")
    measuring = MEASURING[data.kind]
    metrics: dict[str, Any] = {}
    given, references = measuring.predictions(answers, data), measuring.references(data)
    for name in dict.fromkeys((*measuring.headline, main_metric(data))):
        metrics |= METRICS[data.kind][name]().compute(predictions=given, references=references)
    if teacher is not None:
        metrics["agreement"] = measuring.compared(answers, teacher, data, kind)["agreement"][0]
    return metrics | {"n": len(data)}


def main_metric(data: EvaluationData) -> str:
    """Return the name of the metric that results on the data are compared by."""
    from eval.classifiers.kinds.table import MEASURING  # here, since the library of metrics takes a while to import

    return data.metric or MEASURING[data.kind].headline[0]


def size_and_speed(
    models: Mapping[str, Student | Teacher],
    texts: Sequence[str],
    batch: int = 32,
    *,
    text_pairs: Sequence[str] | None = None,
    rounds: int = 3,
    limit: int = 256,
    after_pass: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, Any]]:
    """Measure size and speed of several models side by side.

    All models take turns within one run, in alternating order, after one pass that is not counted. Other work on the machine
    then slows all of them alike, and the median removes single disturbances. Teachers count these texts in their
    `queries`, (rounds + 1) times each.

    Args:
        models: Students and teachers by name.
        texts: Texts to time them on, in this order.
        batch: Texts per call.
        text_pairs: Second texts for pair tasks.
        rounds: Timed passes per model.
        limit: Texts used at most; the first ones.
        after_pass: Called after each pass of a model, (rounds + 1) times per model.

    Returns:
        For each name `parameters`; `bytes`, the size of the weights in a safetensors file, in the precision they ran in;
        and the medians of `texts_per_second` and `milliseconds_per_call`. The first two are None where the weights are not
        at hand (a callable teacher); a program has no `parameters`.

    Raises:
        ValueError: There are no texts.
    """
    used = list(texts[:limit])
    pairs = None if text_pairs is None else list(text_pairs[:limit])
    if not used:
        raise ValueError("size_and_speed needs at least one text")
    passes: dict[str, list[float]] = {name: [] for name in models}
    calls: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(rounds + 1):
        for name in list(models) if turn % 2 == 0 else reversed(list(models)):
            seconds = _timed_calls(models[name], used, pairs, batch)
            if turn > 0:
                passes[name].append(sum(seconds))
                calls[name] += seconds
            after_pass()
    return {
        name: _size(model)
        | {
            "texts_per_second": len(used) / statistics.median(passes[name]),
            "milliseconds_per_call": 1000 * statistics.median(calls[name]),
        }
        for name, model in models.items()
    }


def _timed_calls(model: Student | Teacher, texts: list[str], pairs: list[str] | None, batch: int) -> list[float]:
    """Return the seconds of each call of a model, for one pass over the texts."""
    seconds = []
    for first in range(0, len(texts), batch):
        part = slice(first, first + batch)
        start = time.perf_counter()
        predict(model, texts[part], None if pairs is None else pairs[part])
        seconds.append(time.perf_counter() - start)
    return seconds


def _size(model: Student | Teacher) -> dict[str, int | None]:
    if isinstance(model, ExportedClassifier):
        return {"parameters": None, "bytes": model.bytes}
    if not isinstance(model, Student | TransformersTeacher):
        return {"parameters": None, "bytes": None}
    weights: nn.Module = model.model
    # Tied weights share their storage and are saved once.
    stored = {tensor.data_ptr(): tensor.numel() * tensor.element_size() for tensor in weights.state_dict().values()}
    return {"parameters": sum(p.numel() for p in weights.parameters()), "bytes": sum(stored.values())}
