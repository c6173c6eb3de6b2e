"""Answers of texts together: rows of numbers, (N, C), or of words, (N, W, C) with rows of zeros after the last word."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad


def below(parts: Sequence[Tensor]) -> Tensor:
    """Return answers below each other, those of words as wide as the widest part; at least one part."""
    if parts[0].dim() < 3:
        return torch.cat(list(parts))
    words = max(part.shape[1] for part in parts)
    return torch.cat([widened(part, words) for part in parts])


def widened(answers: Tensor, words: int) -> Tensor:
    """Return answers (N, W, C) with room for more words, (N, `words`, C); others unchanged."""
    missing = words - answers.shape[1] if answers.dim() > 2 else 0
    return pad(answers, (0, 0, 0, missing)) if missing > 0 else answers


def even(one: Tensor, other: Tensor, fill: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return two tensors of answers to the same texts (N, W, C) for as many words; `fill` stands where `one` has none."""
    words = max(one.shape[1], other.shape[1])
    return pad(one, (0, 0, 0, words - one.shape[1]), value=fill), widened(other, words)


def of_each(answers: Tensor) -> list[np.ndarray]:
    """Return the answer to each text alone, (C,), or (W, C) of its own words."""
    rows = list(answers.numpy())
    if answers.dim() < 3:
        return rows
    return [row[: int(np.flatnonzero((row != 0).any(axis=1))[-1]) + 1 if row.any() else 0] for row in rows]


def stacked(rows: Sequence[np.ndarray]) -> Tensor:
    """Return the answers of `of_each` as one tensor; at least one row."""
    if rows[0].ndim < 2:
        return torch.from_numpy(np.stack(rows))
    result = np.zeros((len(rows), max(1, *(len(row) for row in rows)), rows[0].shape[1]), np.float32)
    for place, row in zip(result, rows, strict=True):
        place[: len(row)] = row
    return torch.from_numpy(result)


def outputs_below(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return raw outputs below each other, those of words (n, W, C) with rows of -inf after the last word."""
    if parts[0].ndim < 3:
        return np.concatenate(parts)
    words = max(part.shape[1] for part in parts)
    widths = [((0, 0), (0, words - part.shape[1]), (0, 0)) for part in parts]
    return np.concatenate([np.pad(part, width, constant_values=-np.inf) for part, width in zip(parts, widths, strict=True)])


def none(columns: int, of_words: bool) -> Tensor:
    """Return the answers to no text."""
    return torch.empty((0, 1, columns) if of_words else (0, columns))


def answers_in(answers: Tensor) -> int:
    """Return how many answers there are: N, or of words those of all texts."""
    return len(answers) if answers.dim() < 3 else int((answers != 0).any(dim=-1).sum())


def finite(answers: Tensor) -> Tensor:
    """Return which texts have a usable answer, (N,) bool."""
    return torch.isfinite(answers).flatten(1).all(dim=1)
