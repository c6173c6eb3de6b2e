"""How good, how big, how fast: the figures of one result row.

Teachers and students answer alike, with log-probabilities (N, K) on the CPU, so one function scores both. What the
teacher says of the evaluation data is kept in `EvaluationData` and asked for once; agreement with it tells how well
the student imitates, whether or not the teacher is right.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from distill.student import Student
from distill.teachers.base import Teacher
from distill.teachers.transformers_teacher import TransformersTeacher
from eval.classifiers.metrics import Accuracy, Agreement, MacroF1
from eval.data.labelled import EvaluationData, load_labelled, load_texts

__all__ = [
    "EvaluationData", "answers", "choices", "load_labelled", "load_texts", "score", "score_answers", "size_and_speed",
]  # fmt: skip


def choices(log_probs: Tensor) -> list[int]:
    """Return the most probable class of each row of (N, K) log-probabilities; -1 where the row holds NaN."""
    usable = ~log_probs.isnan().any(dim=1)
    return torch.where(usable, log_probs.nan_to_num(nan=0.0).argmax(dim=1), -1).tolist()


def answers(model: Student | Teacher, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
    """Return the (N, K) log-probabilities of a student or a teacher for N texts, or pairs of texts."""
    return model.log_probs(texts, text_pairs) if isinstance(model, Student) else model(texts, text_pairs)


def score(model: Student | Teacher | None, data: EvaluationData) -> dict[str, Any]:
    """Score a student or a teacher on labelled texts.

    Args:
        model: Student or teacher to ask; a teacher counts these questions in its `queries`. None scores the answers
            that `data.teacher_log_probs` already holds.
        data: The texts, their labels, and where it was asked the teacher's answers.

    Returns:
        `accuracy`, `macro_f1`, `n`, and for a model beside known teacher answers `agreement`; all but `n` in [0, 1].

    Raises:
        ValueError: `model` is None and the teacher was not asked, or there are no rows.
    """
    if model is None:
        if data.teacher_log_probs is None:
            raise ValueError("score(None, data) needs data.teacher_log_probs")
        return score_answers(data.teacher_log_probs, data.labels)
    return score_answers(answers(model, data.texts, data.text_pairs), data.labels, data.teacher_log_probs)


def score_answers(log_probs: Tensor, labels: Sequence[int], teacher_log_probs: Tensor | None = None) -> dict[str, Any]:
    """Score answers already given.

    Args:
        log_probs: (N, K) answers; a row with NaN is wrong.
        labels: N class indices.
        teacher_log_probs: (N, K) the teacher's answers to the same texts, or None.

    Returns:
        As `score`.

    Raises:
        ValueError: There are no rows, or the lengths differ.
    """
    if not len(labels) or len(labels) != len(log_probs):
        raise ValueError(f"{len(log_probs)} answers for {len(labels)} labels")
    chosen = choices(log_probs)
    figures = Accuracy().compute(predictions=chosen, references=labels)
    figures |= MacroF1().compute(predictions=chosen, references=labels)
    if teacher_log_probs is not None:
        figures |= Agreement().compute(predictions=chosen, references=choices(teacher_log_probs))
    return figures | {"n": len(labels)}


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
    """Measure models beside each other.

    All models take turns within one run, in alternating order, after a pass that is not counted: whatever else
    slows the machine meanwhile slows them alike, and the median drops a single disturbance. Teachers count these
    questions in their `queries`, (rounds + 1) times the texts.

    Args:
        models: Students and teachers by name.
        texts: What to time them on, in this order.
        batch: Texts per call.
        text_pairs: Second texts for pair tasks.
        rounds: Timed passes per model.
        limit: Texts used at most, the first ones.
        after_pass: Called after each pass of a model, (rounds + 1) times for each.

    Returns:
        For each name `parameters` and `bytes` (as many as the weights take in a safetensors file in the precision
        they were run in), both None where the weights are not at hand (a callable teacher), the median
        `texts_per_second`, and the median `milliseconds_per_call`.

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
            seconds = []
            for first in range(0, len(used), batch):
                part = slice(first, first + batch)
                start = time.perf_counter()
                answers(models[name], used[part], None if pairs is None else pairs[part])
                seconds.append(time.perf_counter() - start)
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


def _size(model: Student | Teacher) -> dict[str, int | None]:
    if not isinstance(model, Student | TransformersTeacher):
        return {"parameters": None, "bytes": None}
    weights: nn.Module = model.model
    # Tied weights share their storage and are stored once.
    stored = {tensor.data_ptr(): tensor.numel() * tensor.element_size() for tensor in weights.state_dict().values()}
    return {"parameters": sum(p.numel() for p in weights.parameters()), "bytes": sum(stored.values())}
