"""Teachers that language models get only one answer from, as functions."""

import zlib

LABELS = ["unacceptable", "acceptable"]


def acceptability(texts: list[str]) -> list[list[float]]:
    """As a teacher of grammar answers for what a language model writes: 95 % acceptable, and sure of it."""
    return [[0.97, 0.03] if zlib.crc32(text.encode()) % 20 == 0 else [0.015, 0.985] for text in texts]


def untrained(texts: list[str]) -> list[list[float]]:
    """As a head without training answers: both classes, but nearly the same probabilities for every text."""
    shift = [zlib.crc32(text.encode()) % 100 / 5000 for text in texts]
    return [[0.49 + each, 0.51 - each] for each in shift]


def coin(texts: list[str]) -> list[list[float]]:
    """Answer what nothing in the text tells: no student can learn it."""
    return [[0.9, 0.1] if zlib.crc32(text.encode()) % 2 else [0.1, 0.9] for text in texts]


def first_letter(texts: list[str]) -> list[list[float]]:
    """Answer what the first word tells, so that a small student learns it."""
    return [[0.95, 0.05] if text.split()[0] < "w18" else [0.05, 0.95] for text in texts]
