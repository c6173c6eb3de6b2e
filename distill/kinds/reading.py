"""Read what a black box says, (N, C) float64, into answers; what cannot be used becomes a row of NaN.

A row of probabilities of classes is usable if it is finite, non-negative and sums to 1 within 1e-3, or within what the
rounding of its numbers explains: services round, and models that compute in bfloat16 do. Of a number that float32 has computed
as 1 - p, a millionth below zero is zero.
"""

import numpy as np
import torch
from torch import Tensor

# Services round to this many decimals at most; a larger rounding error than this is an error of another kind.
MOST_DECIMALS = 6
MAX_ROUNDING = 0.25

BFLOAT16_BITS = 8
"""Binary digits of a number in bfloat16: rounding moves it by one part in 2^8 at most."""

# An answer may hold exact zeros and ones. Their logarithm would make every KL term infinite.
SMALLEST_PROBABILITY = 1e-7

# How far beyond 0 and 1 a probability may lie: the surest answers do, where one number is 1 less the other in float32.
BEYOND = 1e-6


def rounding_error(rows: np.ndarray) -> np.ndarray:
    """Return for each row (N, K) how far rounding may have moved its sum, given the digits that its numbers have.

    Examples:
        >>> rounding_error(np.array([[0.33, 0.33, 0.33], [0.5, 0.25, 0.251]]))
        array([0.015 , 0.0015])
        >>> rounding_error(np.array([[0.9375, 0.061279296875]]))  # in bfloat16
        array([0.00390625])
    """
    allowed = np.zeros(len(rows))
    with np.errstate(invalid="ignore", over="ignore"):
        short = (np.frexp(rows)[0] * 2**BFLOAT16_BITS % 1 == 0).all(axis=1)
        allowed[short] = 2.0**-BFLOAT16_BITS
        for decimals in range(MOST_DECIMALS, 0, -1):
            rounded = (np.abs(rows - rows.round(decimals)) < 1e-7).all(axis=1)  # float32 holds seven digits
            allowed[rounded] = np.maximum(allowed[rounded], min(MAX_ROUNDING, rows.shape[1] * 0.5 * 10.0**-decimals))
    return allowed


def add_up(rows: np.ndarray) -> np.ndarray:
    """Return which rows (N, K) are probabilities of classes, (N,) bool."""
    with np.errstate(invalid="ignore", over="ignore"):
        tolerance = np.maximum(rounding_error(rows), 1e-3) + 1e-6
        return np.asarray((rows >= -BEYOND).all(axis=1) & (np.abs(rows.sum(axis=1) - 1.0) <= tolerance))


def log_probabilities(rows: np.ndarray) -> tuple[Tensor, str]:
    """Return (N, K) float32 log-probabilities of (N, K) float64 probabilities, and what was wrong with unusable rows.

    An unusable row becomes a row of NaN.
    """
    valid = add_up(rows)
    problem = ""
    if not valid.all():
        first = np.array2string(rows[~valid][0], precision=4, threshold=8)
        problem = f"rows that are not finite, non-negative and of sum 1, such as {first}"
    clamped = np.maximum(rows, SMALLEST_PROBABILITY)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):  # of unusable rows
        predictions = np.log(clamped / clamped.sum(axis=1, keepdims=True)).astype(np.float32)
    predictions[~valid] = np.nan
    return torch.from_numpy(predictions), problem


def log_odds(rows: np.ndarray) -> tuple[Tensor, str]:
    """Return (N, K) float32 log-odds of (N, K) float64 independent probabilities, and what was wrong with unusable rows."""
    with np.errstate(invalid="ignore"):
        valid = np.asarray(((rows >= -BEYOND) & (rows <= 1 + BEYOND)).all(axis=1))
    clamped = rows.clip(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return _usable(np.log(clamped) - np.log1p(-clamped), rows, valid, "are not probabilities between 0 and 1")


def numbers(rows: np.ndarray) -> tuple[Tensor, str]:
    """Return (N, C) float32 numbers, and what was wrong with unusable rows. Numbers beyond float32 are not finite."""
    with np.errstate(over="ignore"):
        answers = rows.astype(np.float32)
    return _usable(answers, rows, np.asarray(np.isfinite(answers).all(axis=1)), "are not finite numbers")


def _usable(answers: np.ndarray, rows: np.ndarray, valid: np.ndarray, wrong: str) -> tuple[Tensor, str]:
    answers = answers.astype(np.float32)
    answers[~valid] = np.nan
    first = "" if valid.all() else np.array2string(rows[~valid][0], precision=4, threshold=8)
    return torch.from_numpy(answers), f"rows that {wrong}, such as {first}" if first else ""
