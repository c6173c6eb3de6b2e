"""Turn what a black box answers into log-probabilities, and count what cannot be used.

A Python function or an HTTP service may answer anything. A row is usable if it is finite, non-negative and sums to 1 within
1e-3, or within what the rounding of its numbers explains: services round. Every other row becomes NaN, is counted, and named
at once. When most answers are unusable, the run stops.
"""

import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.common.errors import InputError
from distill.teachers.base import Teacher

# A run stops when more than this share of the answers is unusable.
MAX_INVALID_SHARE = 0.5

# Services round to this many decimals at most; a larger rounding error than this is an error of another kind.
MOST_DECIMALS = 6
MAX_ROUNDING = 0.25

LOGGER = logging.getLogger("prompter")

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


def rounding_error(rows: np.ndarray) -> np.ndarray:
    """Return for each row (N, K) how far rounding may have moved its sum, given the decimals that its numbers have.

    Examples:
        >>> rounding_error(np.array([[0.33, 0.33, 0.33], [0.5, 0.25, 0.251]]))
        array([0.015 , 0.0015])
    """
    allowed = np.zeros(len(rows))
    with np.errstate(invalid="ignore"):
        for decimals in range(MOST_DECIMALS, 0, -1):
            rounded = (np.abs(rows - rows.round(decimals)) < 1e-7).all(axis=1)  # float32 holds seven digits
            allowed[rounded] = min(MAX_ROUNDING, rows.shape[1] * 0.5 * 10.0**-decimals)
    return allowed


def log_probabilities(rows: np.ndarray) -> tuple[Tensor, str]:
    """Return (N, K) float32 log-probabilities of (N, K) float64 probabilities, and what was wrong with unusable rows.

    An unusable row becomes a row of NaN.
    """
    with np.errstate(invalid="ignore"):
        tolerance = np.maximum(rounding_error(rows), 1e-3) + 1e-6
        valid = (rows >= 0).all(axis=1) & (np.abs(rows.sum(axis=1) - 1.0) <= tolerance)
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
    dropped = int(unusable.sum())
    if dropped and not teacher.invalid:
        LOGGER.warning(
            "%s: %d of %d answers cannot be used and are dropped: %s. More of them are counted as unusable_answers.",
            teacher.path, dropped, len(predictions), problem or "no answer",
        )  # fmt: skip
    teacher.invalid += dropped
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
