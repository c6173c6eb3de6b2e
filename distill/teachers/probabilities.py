"""Turn what a black box answers into log-probabilities, and count what cannot be used.

A Python function or an HTTP service may answer anything. A row is usable if it is finite, non-negative and sums to 1 within
1e-3. Every other row becomes NaN and is counted. When most answers are unusable, the run stops.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.common.errors import InputError
from distill.teachers.base import Teacher

# A run stops when more than this share of the answers is unusable.
MAX_INVALID_SHARE = 0.5

# With fewer queries than this, a share of unusable answers says little.
QUERIES_BEFORE_STOP = 64

# An answer may hold exact zeros. Their logarithm would make every KL term infinite.
SMALLEST_PROBABILITY = 1e-7


def check_labels(labels: list[str]) -> None:
    """Refuse labels that no classifier can have.

    Raises:
        InputError: Fewer than two labels, or one name twice.
    """
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise InputError(f"teacher_labels: {labels}; expected two or more different names.")


def matrix(answer: Any) -> np.ndarray | None:
    """Return the answer as a float64 array, or None where it is ragged or not numeric."""
    if isinstance(answer, Tensor):
        answer = answer.detach().cpu().double().numpy()
    try:
        return np.asarray(answer, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: rows that still carry a gradient
        return None


def rows_of(answer: Any, rows: int, columns: int) -> tuple[np.ndarray, str]:
    """Return (rows, columns) float64 probabilities, NaN where the answer has another form, and what was wrong with it."""
    whole = matrix(answer)
    if whole is not None and whole.shape == (rows, columns):
        return whole, ""
    result = np.full((rows, columns), np.nan)
    if whole is not None:
        return result, f"an answer of shape {whole.shape} instead of ({rows}, {columns})"
    if not isinstance(answer, (list, tuple)) or len(answer) != rows:
        return result, f"an answer of type {type(answer).__name__} that is not {rows} rows"
    for index, row in enumerate(answer):  # ragged: keep the rows that have the right form
        values = matrix(row)
        if values is not None and values.shape == (columns,):
            result[index] = values
    return result, f"rows that are not {columns} numbers"


def log_probabilities(rows: np.ndarray) -> tuple[Tensor, str]:
    """Return (N, K) float32 log-probabilities of (N, K) float64 probabilities, and what was wrong with unusable rows.

    An unusable row becomes a row of NaN.
    """
    with np.errstate(invalid="ignore"):
        valid = (rows >= 0).all(axis=1) & (np.abs(rows.sum(axis=1) - 1.0) <= 1e-3)
    problem = ""
    if not valid.all():
        first = np.array2string(rows[~valid][0], precision=4, threshold=8)
        problem = f"rows that are not finite, non-negative and of sum 1, such as {first}"
    clamped = np.maximum(rows, SMALLEST_PROBABILITY)
    predictions = np.log(clamped / clamped.sum(axis=1, keepdims=True)).astype(np.float32)
    predictions[~valid] = np.nan
    return torch.from_numpy(predictions), problem


def count(teacher: Teacher, predictions: Tensor, problem: str) -> Tensor:
    """Count queries and unusable answers, and make each unusable answer a whole row of NaN.

    Args:
        teacher: The teacher that answered; its counters grow.
        predictions: (N, K) log-probabilities, changed in place.
        problem: What was wrong with the unusable answers, for the message.

    Returns:
        The predictions.

    Raises:
        InputError: See `stop_if_mostly_unusable`.
    """
    unusable = ~torch.isfinite(predictions).all(dim=1)
    predictions[unusable] = float("nan")
    teacher.queries += len(predictions)
    teacher.invalid += int(unusable.sum())
    stop_if_mostly_unusable(teacher, problem)
    return predictions


def stop_if_mostly_unusable(teacher: Teacher, problem: str = "") -> None:
    """Stop before more money is spent on answers that cannot be used.

    Raises:
        InputError: Of at least 64 answers, more than half were unusable.
    """
    if teacher.queries >= QUERIES_BEFORE_STOP and teacher.invalid > MAX_INVALID_SHARE * teacher.queries:
        raise InputError(
            f"teacher: {teacher.invalid} of {teacher.queries} answers of {teacher.path} were unusable "
            f"({problem or 'most of them earlier'}); expected (N, {len(teacher.labels)}) finite probabilities."
        )
