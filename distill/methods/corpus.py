"""General text as raw material: which of its rows come next, and second sentences for pairs.

A corpus is a list of texts without labels. Reading it is the business of `eval.data.sentences`; here is what does not depend on
where it came from.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch

from distill.common.seeding import random_generator

PAIR_KINDS = 3
REPLACED_WORDS = 3


@lru_cache(maxsize=4)
def _order(size: int, seed: int, *purpose: str | int) -> list[int]:
    """The rows of a corpus in the random order of one pass."""
    return torch.randperm(size, generator=random_generator(seed, *purpose)).tolist()


def rows_at(size: int, start: int, count: int, seed: int, *purpose: str) -> list[int]:
    """Rows `start` to `start + count` of an endless reading of a corpus: each pass holds every row once, in its own order.

    Args:
        size: Rows of the corpus, at least 1.
        start: Rows read before.
        count: Rows wanted.
        seed: Seed of the orders.
        *purpose: Tells apart what reads with one seed.

    Examples:
        >>> sorted(rows_at(3, 0, 6, seed=0)), rows_at(3, 2, 2, seed=0) == rows_at(3, 0, 4, seed=0)[2:]
        ([0, 0, 1, 1, 2, 2], True)
    """
    return [_order(size, seed, *purpose, position // size)[position % size] for position in range(start, start + count)]


def second_sentences(corpus: Sequence[str], rows: Sequence[int], seed: int, number: int) -> list[str]:
    """A second text for each row, as pair tasks need one: a paraphrase gone wrong, a neighbour, or a stranger.

    With equal chance the row's own text with three of its words replaced by words of another text, the text after it, or
    any text of the corpus. So a teacher of pairs meets all degrees of kinship. The construction is ours; the paper of
    the zero-shot method (arXiv 2012.15495) does not tell its own in the parts known to us.

    Args:
        corpus: At least one text.
        rows: Row numbers in it.
        seed: Seed of the draw.
        number: Which draw this is.
    """
    random = random_generator(seed, "second sentences", number)
    kinds = torch.randint(PAIR_KINDS, (len(rows),), generator=random).tolist()
    strangers = torch.randint(len(corpus), (len(rows),), generator=random).tolist()
    seconds = []
    for row, kind, stranger in zip(rows, kinds, strangers, strict=True):
        if kind == 0:
            words, donors = corpus[row].split(), corpus[stranger].split() or [""]
            places = torch.randperm(len(words), generator=random)[:REPLACED_WORDS].tolist()
            for place in places:
                words[place] = donors[int(torch.randint(len(donors), (1,), generator=random))]
            seconds.append(" ".join(words))
        else:
            seconds.append(corpus[(row + 1) % len(corpus)] if kind == 1 else corpus[stranger])
    return seconds
