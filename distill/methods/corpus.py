"""Draw rows from a corpus, and make second sentences for pairs.

A corpus is a list of texts without labels, whatever file or dataset it came from.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import torch

from distill.common.seeding import random_generator

PAIR_KINDS = 3
REPLACED_WORDS = 3


def digest_of(corpus: Sequence[str]) -> str:
    """Return a hash of a corpus in hexadecimal digits, by which a checkpoint knows its own again."""
    return hashlib.sha256("\n".join(corpus).encode()).hexdigest()


@lru_cache(maxsize=4)
def _order(size: int, seed: int, *purpose: str | int) -> list[int]:
    """Return the rows of a corpus in the random order of one pass."""
    return torch.randperm(size, generator=random_generator(seed, *purpose)).tolist()


def rows_at(size: int, start: int, count: int, seed: int, *purpose: str) -> list[int]:
    """Return the next rows of an endless reading of a corpus. Each pass holds every row once, in an order of its own.

    Args:
        size: Number of rows of the corpus, at least 1.
        start: Number of rows read before.
        count: Number of rows to return.
        seed: Decides the orders.
        *purpose: Separates the orders of callers that share a seed.

    Examples:
        >>> sorted(rows_at(3, 0, 6, seed=0)), rows_at(3, 2, 2, seed=0) == rows_at(3, 0, 4, seed=0)[2:]
        ([0, 0, 1, 1, 2, 2], True)
    """
    return [_order(size, seed, *purpose, position // size)[position % size] for position in range(start, start + count)]


def second_sentences(corpus: Sequence[str], rows: Sequence[int], seed: int, number: int) -> list[str]:
    """Return a second text for each row, for tasks on pairs.

    It is, with equal chance, the row's own text with three words replaced by words of another text, the text after it in the
    corpus, or any text of the corpus. So a teacher of pairs sees texts that are close, related and unrelated. The construction
    is ours: the parts of the zero-shot paper (arXiv 2012.15495) that we know do not describe theirs.

    Args:
        corpus: At least one text.
        rows: Row numbers in the corpus.
        seed: Decides every random act.
        number: Number of this draw.
    """
    random = random_generator(seed, "second sentences", number)
    kinds = torch.randint(PAIR_KINDS, (len(rows),), generator=random).tolist()
    strangers = torch.randint(len(corpus), (len(rows),), generator=random).tolist()
    seconds = []
    for row, kind, stranger in zip(rows, kinds, strangers, strict=True):
        if kind == 0:
            seconds.append(replaced_words(corpus[row], corpus[stranger], random))
        else:
            seconds.append(corpus[(row + 1) % len(corpus)] if kind == 1 else corpus[stranger])
    return seconds


def replaced_words(text: str, other: str, random: torch.Generator) -> str:
    """Return a text with three of its words, or all if it has fewer, replaced by words of another text."""
    words, donors = text.split(), other.split() or [""]
    places = torch.randperm(len(words), generator=random)[:REPLACED_WORDS].tolist()
    for place in places:
        words[place] = donors[int(torch.randint(len(donors), (1,), generator=random))]
    return " ".join(words)
