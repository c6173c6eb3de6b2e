"""Verbatim overlap: does a corpus repeat its reference word for word?

A synthetic corpus that is close to the real texts by every other metric may simply be the real texts, repeated by a model
that has seen them. The longest run of words that a text shares with a reference text shows it. Papers on contamination look
for runs of 8 words (PaLM, Chowdhery et al. 2022, arXiv 2204.02311) or 13 (GPT-3, Brown et al. 2020, arXiv 2005.14165).

All runs are found at once with a suffix array over both corpora (Manber & Myers 1993), built by prefix doubling in numpy.
Round k gives equal windows of 2**k words equal numbers. In sorted order, the reference position that shares most words with
a corpus position is one of its two nearest reference neighbours. A unique mark after each text keeps runs inside texts and
ends the doubling after log2(longest text) rounds. Each round takes O(n log n); the result is exact, without hashing.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.corpora.statistics import Tokens, draw, spread
from eval.corpora.words import marks, words

RUNS = (8, 13)
"""Lengths of runs that are reported, in words."""

ALARM = 0.1
"""Share of texts that are copies or share a run of 13 words from which the corpus counts as copied. Our choice."""

EXAMPLES = 10


def longest_runs(corpus: Tokens, reference: Tokens) -> tuple[np.ndarray, np.ndarray]:
    """Find, for each word, the longest run starting there that a reference text contains too.

    Args:
        corpus: T words, numbered with the same vocabulary as the reference.
        reference: At least one text.

    Returns:
        (T,) int64 lengths, and (T,) int64 word positions in the reference where such a run begins (arbitrary for length 0).
    """
    symbols, begins = _joined(corpus, reference)
    size = len(symbols)
    ranks = [symbols.astype(np.int32)]
    order = np.arange(size)
    step = 1
    while True:
        last = ranks[-1].astype(np.int64)
        ahead = np.zeros(size, dtype=np.int64)
        ahead[:-step] = last[step:] + 1
        found, inverse = np.unique(last * (int(last.max()) + 2) + ahead, return_inverse=True)
        if len(found) == size:
            order[inverse] = np.arange(size)
            break
        ranks.append(inverse.astype(np.int32))
        step *= 2
    of_reference = order >= begins
    places = np.arange(size)
    before = np.maximum.accumulate(np.where(of_reference, places, -1))
    behind = np.minimum.accumulate(np.where(of_reference, places, size)[::-1])[::-1]
    mine = ~of_reference
    here = order[mine]
    lengths, at = np.zeros(begins, dtype=np.int64), np.zeros(begins, dtype=np.int64)
    for neighbour in (before[mine], behind[mine]):
        there = order[np.clip(neighbour, 0, size - 1)]
        # At an end of the order the neighbour may be missing. The clipped one belongs to the corpus and does not count.
        shared = np.where(there >= begins, _common_prefix(ranks, here, there), 0)
        better = shared > lengths[here]
        lengths[here[better]], at[here[better]] = shared[better], there[better]
    words_of_corpus = np.arange(len(corpus.ids)) + corpus.text_of  # without the marks between the texts
    positions = at - begins
    # Positions include the marks, one for each reference text that ended before.
    marks = reference.starts[1:] + np.arange(len(reference.starts) - 1)
    positions -= np.searchsorted(marks, positions)
    return lengths[words_of_corpus], positions[words_of_corpus]


def _joined(corpus: Tokens, reference: Tokens) -> tuple[np.ndarray, int]:
    """Return both corpora as one row of symbols with a unique mark after each text, and the start of the reference in it."""
    vocabulary = int(max(corpus.ids.max(initial=0), reference.ids.max(initial=0))) + 1
    parts, marks = [], vocabulary
    for tokens in (corpus, reference):
        count = len(tokens.starts) - 1
        row = np.empty(len(tokens.ids) + count, dtype=np.int64)
        ends = tokens.starts[1:] + np.arange(count)
        row[ends] = np.arange(marks, marks + count)
        inside = np.ones(len(row), dtype=bool)
        inside[ends] = False
        row[inside] = tokens.ids
        parts.append(row)
        marks += count
    return np.concatenate(parts), len(parts[0])


def _common_prefix(ranks: list[np.ndarray], one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return how many symbols agree, starting at two positions; `ranks[k]` numbers the windows of 2**k symbols."""
    length = np.zeros(len(one), dtype=np.int64)
    last = len(ranks[0]) - 1
    for power in range(len(ranks) - 1, -1, -1):
        equal = ranks[power][np.minimum(one + length, last)] == ranks[power][np.minimum(other + length, last)]
        length += equal.astype(np.int64) << power
    return length


def verbatim_overlap(
    corpus: Tokens, reference: Tokens, texts: Sequence[str], reference_texts: Sequence[str], seed: int = 0
) -> dict[str, Any]:
    """Measure how much of a corpus occurs word for word in its reference.

    Case and punctuation are ignored. `by_chance` compares one half of the reference with the other, because templates and
    set phrases repeat without any copying.

    Args:
        corpus: Words of N texts, numbered with one vocabulary for both.
        reference: Words of the reference.
        texts: The texts of the corpus, for examples.
        reference_texts: The texts of the reference, for examples.
        seed: Seed of the halves.

    Returns:
        A dictionary with these entries; shares are of the texts unless they say otherwise:

        - `longest`: mean and quantiles of the longest run per text, in words.
        - `share`: texts with a run of at least this length ("8", "13").
        - `curve`: up to 41 points (run length, share of texts with such a run).
        - `copies`: texts that equal a reference text; see `eval.corpora.words.marks`.
        - `words_in_runs`: share of all words that lie in runs of 8 or more.
        - `copied`: texts that are copies or have a run of 13.
        - `alarm`: whether `copied` is so large that the corpus counts as copied.
        - `by_chance`: `share` and `curve` of the halves (NaN and empty for a single text).
        - `examples`: the longest runs.
    """
    lengths, at = longest_runs(corpus, reference)
    runs = longest_per_text(lengths, corpus)
    known = {" ".join(marks(text)) for text in reference_texts} - {""}
    copies = np.array([" ".join(marks(text)) in known for text in texts], dtype=bool)
    copied = float((copies | (runs >= RUNS[-1])).mean())
    return {
        "longest": spread(runs.astype(np.float64)),
        **_shares(runs),
        "copies": float(copies.mean()),
        "words_in_runs": float(_covered(lengths, RUNS[0]).mean()) if len(lengths) else 0.0,
        "copied": copied,
        "alarm": copied >= ALARM,
        "by_chance": _by_chance(reference, seed),
        "examples": _examples(corpus, reference, texts, reference_texts, lengths, at, runs),
    }


def longest_per_text(lengths: np.ndarray, tokens: Tokens) -> np.ndarray:
    """Return (N,), the largest of the (T,) lengths in each text; 0 for a text without words."""
    runs = np.zeros(len(tokens.starts) - 1, dtype=np.int64)
    filled = tokens.lengths > 0  # reduceat has no result for an empty text
    if filled.any():
        runs[filled] = np.maximum.reduceat(lengths, tokens.starts[:-1][filled])
    return runs


def _covered(lengths: np.ndarray, shortest: int) -> np.ndarray:
    """Return (T,), whether a word lies in a run of at least `shortest` words."""
    change = np.zeros(len(lengths) + 1, dtype=np.int64)
    begins = np.flatnonzero(lengths >= shortest)
    np.add.at(change, begins, 1)
    np.add.at(change, begins + lengths[begins], -1)
    return change[:-1].cumsum() > 0


def _by_chance(reference: Tokens, seed: int) -> dict[str, Any]:
    """Return the shares of texts with long runs, comparing one half of the reference with the other."""
    rows = draw(len(reference.starts) - 1, len(reference.starts) - 1, seed, "halves")
    half = len(rows) // 2
    if not half:
        return {"share": {str(length): float("nan") for length in RUNS}, "curve": []}
    one, other = reference.take(rows[:half]), reference.take(rows[half:])
    return _shares(longest_per_text(longest_runs(one, other)[0], one))


def _shares(runs: np.ndarray) -> dict[str, Any]:
    """Return the share of texts with a run of at least a length: for the lengths in `RUNS`, and as a curve."""
    lengths = np.unique(np.linspace(0, runs.max(), 41).round().astype(np.int64))
    return {
        "share": {str(length): float((runs >= length).mean()) for length in RUNS},
        "curve": [[int(length), float((runs >= length).mean())] for length in lengths],
    }


def _examples(
    corpus: Tokens,
    reference: Tokens,
    texts: Sequence[str],
    reference_texts: Sequence[str],
    lengths: np.ndarray,
    at: np.ndarray,
    runs: np.ndarray,
) -> list[dict[str, Any]]:
    """Return the longest runs, each once, with both rows (numbered from 1 among the texts judged) and both texts."""
    examples: list[dict[str, Any]] = []
    seen = set()
    for row in np.argsort(-runs, kind="stable"):
        if len(examples) == EXAMPLES or runs[row] == 0:
            break
        begin, end = corpus.starts[row], corpus.starts[row + 1]
        place = begin + int(lengths[begin:end].argmax())
        run = corpus.ids[place : place + runs[row]].tobytes()
        if run in seen:
            continue
        seen.add(run)
        there = int(np.searchsorted(reference.starts, at[place], side="right")) - 1
        examples.append(
            {
                "words": int(runs[row]),
                "run": " ".join(words(texts[row])[place - begin : place - begin + runs[row]]),
                "row": int(row) + 1,
                "text": texts[row],
                "reference_row": there + 1,
                "reference": reference_texts[there],
            }
        )
    return examples
