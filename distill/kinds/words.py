"""The words of a text, and the tokens that stand for them.

A text is divided in one way only: runs of letters and digits, and every other visible character by itself. Vowel signs,
accents that are characters of their own, and joiners belong to the character before them. So a teacher, its student and a
writer speak of the same words, whatever their tokenizers are. A word takes the answer of the first token that shares a
character with it, as taggers by word pieces do.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np

WORD = re.compile(r"\w+|[^\w\s]")
"""A word of a text without combining characters."""

MARKED_WORDS = "a word holds its combining characters"
"""What stored answers about words depend on: they belong to the words as they are divided here."""

Span = tuple[int, int]
"""First character and the one after the last."""


def words_of(text: str) -> list[Span]:
    """Return where the words of a text are, in their order.

    Examples:
        >>> words_of("It's 5 km.")
        [(0, 2), (2, 3), (3, 4), (5, 6), (7, 9), (9, 10)]
        >>> words_of("राम दिल्ली")
        [(0, 3), (4, 10)]
    """
    word = WORD if text.isascii() else _marked_word()
    return [match.span() for match in word.finditer(text)]


@cache
def _marked_word() -> re.Pattern[str]:
    marks = combining() + "\ufe00-\ufe0f"  # the variants of a character too
    return re.compile(rf"\w[\w{marks}]*|[^\w\s][{marks}]*")


@cache
def combining() -> str:
    """Return the characters that belong to the one before them, but for variation selectors, as part of a set of `re`."""
    marks = "".join(f"{chr(a)}-{chr(b)}" for a, b in ranges(("Mn", "Mc", "Me")) if not 0xFE00 <= a <= 0xFE0F)
    return marks + "\u200c\u200d"  # joiners inside words of Persian and Indic scripts


def ranges(categories: tuple[str, ...]) -> list[tuple[int, int]]:
    """Return the ranges of the characters of some categories of Unicode, the first and the last one of each."""
    found: list[tuple[int, int]] = []
    for code in range(0x20000):  # ideographs and private characters follow
        if unicodedata.category(chr(code)) in categories:
            if found and found[-1][1] == code - 1:
                found[-1] = (found[-1][0], code)
            else:
                found.append((code, code))
    return found


def first_within(spans: Sequence[Span], parts: Sequence[Span]) -> list[int]:
    """Return for each span the number of the first part that shares a character with it; -1 for none.

    Args:
        spans: Spans that do not overlap, in their order.
        parts: Other spans of the same text, such as tokens, in their order; empty ones are passed over.

    Examples:
        >>> first_within([(0, 2), (3, 5), (7, 8)], [(0, 0), (0, 2), (2, 4), (4, 5)])
        [1, 2, -1]
    """
    if not spans:
        return []
    edges = np.asarray(parts, dtype=np.int64).reshape(-1, 2)
    numbers = np.flatnonzero(edges[:, 1] > edges[:, 0])
    if not len(numbers):
        return [-1] * len(spans)
    wanted = np.asarray(spans, dtype=np.int64)
    # A tokenizer that moves characters may go back a little; the search needs ends that only grow.
    starts, ends = edges[numbers, 0], np.maximum.accumulate(edges[numbers, 1])
    places = np.searchsorted(ends, wanted[:, 0], side="right")
    found = places < len(numbers)
    places = places.clip(max=len(numbers) - 1)
    found &= starts[places] < wanted[:, 1]
    return np.where(found, numbers[places], -1).tolist()


def read_places(words: Sequence[Span], tokens: Sequence[Span]) -> list[int]:
    """Return the token of each word, -1 for none, up to the last word that has one: a long text has more than are read."""
    places = first_within(words, tokens)
    while places and places[-1] < 0:
        places.pop()
    return places
