"""Metrics of a corpus by itself: variety, length, balance of the classes, and perplexity.

Every function is pure, over texts or numbers, and exact unless it says that it samples. Words are those of
`eval.corpora.words`: lower case, without punctuation. Many metrics of variety fall as a corpus grows, because fewer and fewer
n-grams are new. Two corpora are therefore compared at equal numbers of words.
"""

import sqlite3
from collections import Counter
from collections.abc import Hashable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sacrebleu.metrics.bleu import BLEU

from distill.common.seeding import random_generator
from eval.corpora.duplicates import DuplicateIndex
from eval.corpora.words import words

SELF_BLEU_TEXTS = 200
"""Texts drawn for self-BLEU. Each is compared with all others, so the cost grows with the square."""

NEAR_DUPLICATES = 0.8
"""Jaccard similarity of word triples from which a text repeats another, as in `prompter export`."""

QUANTILES = (0, 5, 25, 50, 75, 95, 100)
"""In percent."""

GROWTH = (1_000, 10_000, 100_000, 1_000_000)
"""Numbers of words after which the different words so far are counted."""


@dataclass(frozen=True)
class Tokens:
    """Texts as word numbers in one array.

    Attributes:
        ids: (T,) int64, the number of each word.
        starts: (N + 1,) int64: text i is `ids[starts[i] : starts[i + 1]]`.
    """

    ids: np.ndarray
    starts: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Return (N,), the number of words of each text."""
        return np.diff(self.starts)

    @property
    def text_of(self) -> np.ndarray:
        """Return (T,), the text of each word."""
        return np.repeat(np.arange(len(self.starts) - 1), self.lengths)

    def take(self, rows: Sequence[int] | np.ndarray) -> "Tokens":
        """Return the texts of these rows, in this order."""
        parts = [self.ids[self.starts[row] : self.starts[row + 1]] for row in rows]
        starts = np.concatenate([[0], np.cumsum([len(part) for part in parts], dtype=np.int64)])
        return Tokens(np.concatenate(parts) if parts else self.ids[:0], starts)

    def head(self, count: int) -> "Tokens":
        """Return the first `count` words, in their texts."""
        return Tokens(self.ids[:count], np.minimum(self.starts, count))


def tokenize(texts: Sequence[str], vocabulary: dict[str, int]) -> Tokens:
    """Number the words of texts.

    Args:
        texts: N texts.
        vocabulary: Number of each word known so far; new words are added.
    """
    ids: list[int] = []
    starts = [0]
    for text in texts:
        ids += [vocabulary.setdefault(word, len(vocabulary)) for word in words(text)]
        starts.append(len(ids))
    return Tokens(np.array(ids, dtype=np.int64), np.array(starts, dtype=np.int64))


def draw(size: int, count: int, seed: int, purpose: str) -> np.ndarray:
    """Draw `min(count, size)` different row numbers below `size`, in an order that depends on seed and purpose only."""
    return torch.randperm(size, generator=random_generator(seed, "corpus", purpose))[:count].numpy()


def spread(values: np.ndarray) -> dict[str, Any]:
    """Return mean and quantiles of numbers; NaN is skipped.

    Returns:
        `n`, `mean`, and `quantiles` by percent ("0", "5", ..., "100"). Without numbers `n` is 0 and the rest is NaN.
    """
    known = values[~np.isnan(values)]
    found = np.percentile(known, QUANTILES) if len(known) else [np.nan] * len(QUANTILES)
    return {
        "n": len(known),
        "mean": float(known.mean()) if len(known) else float("nan"),
        "quantiles": {str(percent): float(value) for percent, value in zip(QUANTILES, found, strict=True)},
    }


def ngrams(tokens: Tokens, n: int) -> np.ndarray:
    """Number the n-grams of the texts: equal n-grams get equal numbers. No n-gram crosses the end of a text."""
    grams, size = tokens.ids, int(tokens.ids.max(initial=0)) + 1
    for step in range(1, n):
        # Renumbering at each step keeps the product below (words) x (different words), which fits 64 bits.
        grams = np.unique(grams[:-1] * size + tokens.ids[step:], return_inverse=True)[1]
    text = tokens.text_of
    return grams[text[: len(grams)] == text[n - 1 :]]


def distinct(tokens: Tokens, n: int) -> float:
    """Return distinct-n: different n-grams divided by all n-grams, in (0, 1]; NaN without n-grams.

    Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models", arXiv 1510.03055. They divide
    by the number of words. Dividing by the number of n-grams is usual since; 1 then means that nothing repeats, for any n.
    """
    grams = ngrams(tokens, n)
    return len(np.unique(grams)) / len(grams) if len(grams) else float("nan")


def self_bleu(texts: Sequence[str], seed: int, count: int = SELF_BLEU_TEXTS) -> dict[str, Any]:
    """Return self-BLEU: the share of a text's n-grams (up to 4) that other texts have too, as a mean over drawn texts.

    Zhu et al. 2018, "Texygen", arXiv 1802.01886. It is sacrebleu's sentence BLEU over the words of `eval.corpora.words`, so
    that every language is split alike. Orders longer than a text are skipped (`effective_order`). Self-BLEU rises with the
    number of texts compared. That number is therefore fixed, and part of the result.

    Returns:
        `mean` in [0, 100] (100: all texts are equal; NaN for fewer than two texts with words), `standard_error`, `texts`.
    """
    spaced = (" ".join(words(texts[row])) for row in draw(len(texts), len(texts), seed, "self-BLEU"))
    drawn = []
    for text in spaced:
        if text:
            drawn.append(text)
        if len(drawn) == count:
            break
    if len(drawn) < 2:
        return {"mean": float("nan"), "standard_error": float("nan"), "texts": len(drawn)}
    bleu = BLEU(tokenize="none", effective_order=True)
    scores = [bleu.sentence_score(text, drawn[:i] + drawn[i + 1 :]).score for i, text in enumerate(drawn)]
    error = float(np.std(scores, ddof=1) / np.sqrt(len(scores)))
    return {"mean": float(np.mean(scores)), "standard_error": error, "texts": len(drawn)}


def near_duplicates(texts: Sequence[str], threshold: float = NEAR_DUPLICATES) -> dict[str, Any]:
    """Count texts that repeat an earlier one, with the index of `prompter export` (MinHash over word triples).

    Returns:
        `share` in [0, 1) of all repeats, `exact`, the share that repeats every word, and the `threshold`.
    """
    exact = near = 0
    with closing(sqlite3.connect(":memory:")) as connection:
        index = DuplicateIndex(connection, threshold)
        for row, text in enumerate(texts):
            sketch = index.sketch(text)
            twin = index.find(sketch)
            if twin is None:
                index.add(sketch, row)
            elif twin[1]:
                exact += 1
            else:
                near += 1
    return {"share": (exact + near) / len(texts), "exact": exact / len(texts), "threshold": threshold}


def entropy(counts: Sequence[int] | np.ndarray) -> float:
    """Return the entropy in nats of a distribution given as counts, between 0 and the log of the number of positive counts."""
    known = np.array([count for count in counts if count > 0], dtype=np.float64)
    shares = known / known.sum()
    return float(-(shares * np.log(shares)).sum()) + 0.0


def vocabulary_growth(tokens: Tokens) -> dict[str, Any]:
    """Count different words, and how fast new ones appear.

    Args:
        tokens: Texts in random order, so that the order of the corpus does not matter.

    Returns:
        `tokens` (words), `types` (different words), `types_in_first` by number of words ("1000", ..., up to the size of the
        corpus), and `curve`, up to 41 points (words, different words so far).
    """
    size = len(tokens.ids)
    first = np.sort(np.unique(tokens.ids, return_index=True)[1])  # the first place of each word

    def types(count: int) -> int:
        return int(np.searchsorted(first, count))

    marks = np.unique(np.linspace(0, size, 41, dtype=np.int64))
    return {
        "tokens": size,
        "types": len(first),
        "types_in_first": {str(count): types(count) for count in GROWTH if count <= size},
        "curve": [[int(mark), types(int(mark))] for mark in marks],
    }


def class_balance(classes: Sequence[str | None], labels: Sequence[str]) -> dict[str, Any]:
    """Measure how rows are distributed over the classes.

    Args:
        classes: Class name of each row, None without a prediction.
        labels: All class names, so that empty classes are counted.

    Returns:
        `counts` by class, `unanswered`, `entropy` in nats, and `normalised`, the entropy divided by the log of the number of
        classes: 1 if all classes are equally frequent (NaN for fewer than two classes, or without a prediction).
    """
    found = Counter(name for name in classes if name is not None)
    counts = {label: found.get(label, 0) for label in dict.fromkeys([*labels, *found])}
    nats = entropy(list(counts.values())) if found else float("nan")
    normalised = nats / np.log(len(counts)) if len(counts) > 1 else float("nan")
    return {
        "counts": counts,
        "unanswered": len(classes) - found.total(),
        "entropy": nats,
        "normalised": float(normalised),
    }


def topic_entropy(topics: Sequence[Hashable]) -> dict[str, Any]:
    """Measure how varied the topics are.

    Returns:
        `distinct` topics, `entropy` in nats, and `normalised`, the entropy divided by the log of the number of rows: 1 if
        every row has a topic of its own (NaN for one row). Divided by the log of the number of distinct topics instead,
        three topics in turn would count as perfect.
    """
    counts = Counter(topics)
    nats = entropy(list(counts.values()))
    normalised = nats / np.log(len(topics)) if len(topics) > 1 else float("nan")
    return {"distinct": len(counts), "entropy": nats, "normalised": float(normalised)}


def perplexity(logprob: np.ndarray) -> dict[str, Any]:
    """Return the perplexity of texts. Each text counts once, whatever its length.

    Args:
        logprob: (N,) mean log-probability per token of each text (nats); NaN is skipped.

    Returns:
        `perplexity`, exp(-mean over the texts); `median`, exp(-median over the texts); `logprob`, mean and quantiles.
    """
    found = spread(logprob)
    return {
        "perplexity": float(np.exp(-found["mean"])),
        "median": float(np.exp(-found["quantiles"]["50"])),
        "logprob": found,
    }


def histogram_counts(values: np.ndarray, edges: np.ndarray) -> list[int]:
    """Count the values between each two edges, including the last edge; NaN is skipped."""
    return np.histogram(values[~np.isnan(values)], bins=edges)[0].tolist()
