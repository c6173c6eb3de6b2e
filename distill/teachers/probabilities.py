"""Check the form of what a black box answers, and count what cannot be used.

A Python function or an HTTP service may answer anything. `distill.kinds` says which rows are usable. Every other row becomes
NaN, is counted, and named at once. When most answers are unusable, the run stops.
"""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from distill.common.errors import InputError
from distill.kinds.classes import SINGLE
from distill.kinds.kind import Kind
from distill.kinds.names import IOB, fault_of_tags
from distill.kinds.rows import finite
from distill.teachers.base import Teacher

# A run stops when more than this share of the answers is unusable.
MAX_INVALID_SHARE = 0.5

LOGGER = logging.getLogger("prompter")

# With fewer queries than this, a share of unusable answers says little.
QUERIES_BEFORE_STOP = 64


def check_labels(labels: list[str], kind: Kind = SINGLE) -> None:
    """Refuse labels that no classifier of a kind can have.

    Raises:
        InputError: Too few labels, or one name twice.
    """
    if len(labels) < kind.fewest or len(set(labels)) < len(labels):
        expected = "two or more different names" if kind.fewest > 1 else "different names"
        raise InputError(f"teacher_labels: {labels}; expected {expected}.")
    if kind.of_words and (fault := fault_of_tags(labels)):
        raise InputError(f"teacher_labels: {labels}, but {fault}; expected {IOB}.")


def matrix(answer: Any) -> np.ndarray | None:
    """Return the answer as a float64 array, or None where it is ragged or not numeric."""
    try:
        if isinstance(answer, Tensor):
            answer = answer.detach().cpu().double().numpy()
        if isinstance(answer, np.ma.MaskedArray):
            answer = np.ma.filled(answer.astype(np.float64), np.nan)
        return np.asarray(answer, dtype=np.float64)
    except Exception:  # the user's object may raise anything: rows with a gradient, a tensor without values, a huge integer
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


def count(teacher: Teacher, predictions: Tensor, problem: str) -> Tensor:
    """Count queries and unusable answers, and make each unusable answer a whole row of NaN.

    Args:
        teacher: The teacher that answered; its counters grow.
        predictions: (N, C) answers, changed in place.
        problem: What was wrong with the unusable answers, for the message.

    Returns:
        The predictions.

    Raises:
        InputError: See `stop_if_mostly_unusable`.
    """
    unusable = ~finite(predictions)
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


@dataclass
class Doubts:
    """What all answers of a run so far say about the kind that their teacher is taken for.

    One call may hold a few odd answers only, so calls are not judged by themselves.

    Attributes:
        odd: Answers that look like those of another kind.
        telling: Answers that tell the kinds apart.
    """

    odd: int = 0
    telling: int = 0

    def add(self, teacher: Teacher, predictions: Tensor) -> None:
        """Count the answers (N, C) of one call.

        Raises:
            InputError: The answers so far are those of another kind.
        """
        usable = predictions[finite(predictions)]
        odd, telling = teacher.kind.doubts(usable)
        self.odd, self.telling = self.odd + odd, self.telling + telling
        if odd and (fault := teacher.kind.fault(self.odd, self.telling, usable)):
            raise InputError(f"teacher: {teacher.path} is taken for the kind {teacher.kind.name}, but {fault}.")


def stop_if_mostly_unusable(teacher: Teacher, problem: str = "") -> None:
    """Stop before more money is spent on answers that cannot be used.

    Raises:
        InputError: Of at least 64 answers, more than half were unusable.
    """
    if teacher.queries >= QUERIES_BEFORE_STOP and teacher.invalid > MAX_INVALID_SHARE * teacher.queries:
        raise InputError(
            f"teacher: {teacher.invalid} of {teacher.queries} answers of {teacher.path} were unusable "
            f"({problem or 'most of them earlier'}); expected (N, {len(teacher.labels)}) finite numbers."
        )
