"""How close a corpus is to real texts: shared words, overlap in an embedding space, and a classifier between the two.

Each metric measures something else. The vocabulary shows which words are missing. Precision (Kynkäänniemi et al.) shows how
many texts lie near real ones, and recall how many real texts have a text near them. The held-out accuracy of the classifier
is the strictest: any systematic difference raises it. None of them distinguishes a good corpus from a copied one;
`eval.corpora.verbatim` does.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from distill.common.seeding import derive_seed
from eval.corpora.statistics import Tokens, draw
from eval.corpora.words import words

NEIGHBOURS = 3
"""The radius of a text is the distance to its third nearest neighbour, as in Kynkäänniemi et al."""

EMBEDDED = 2_000
"""Texts drawn from each side for the embedding space; the cost of distances grows with the square."""

DIMENSIONS = 100
"""Dimensions of the embedding without a model."""

BLOCK = 512
"""Rows of distances in memory at once."""

TOLD_APART = 5_000
"""Texts drawn from each side for the two-sample test."""

FEWEST = 10
"""Texts that each side needs at least; with fewer, neighbours and the test mean nothing."""


def vocabulary_overlap(corpus: Tokens, reference: Tokens) -> dict[str, float]:
    """Compare the vocabularies of corpus and reference.

    Args:
        corpus: Words of the corpus, numbered with one vocabulary for both.
        reference: Words of the reference.

    Returns:
        `jaccard`, the similarity of the two sets of words; `reference_covered`, the share of the reference's running words
        that occur in the corpus; `corpus_covered`, the reverse. All in [0, 1]; NaN without words.
    """
    mine, theirs = np.unique(corpus.ids), np.unique(reference.ids)
    together = len(np.union1d(mine, theirs))
    return {
        "jaccard": len(np.intersect1d(mine, theirs)) / together if together else float("nan"),
        "reference_covered": float(np.isin(reference.ids, mine).mean()) if len(reference.ids) else float("nan"),
        "corpus_covered": float(np.isin(corpus.ids, theirs).mean()) if len(corpus.ids) else float("nan"),
    }


def tfidf_embeddings(sides: Sequence[Sequence[str]], seed: int) -> list[np.ndarray]:
    """Embed texts without a model: TF-IDF of their words, reduced by a truncated SVD (latent semantic analysis).

    Args:
        sides: Lists of texts that share one space.
        seed: Seed of the SVD.

    Returns:
        For each side of N texts (N, d) float64 with rows of length 1 (0 for a text without words); d <= 100.
    """
    from sklearn.decomposition import TruncatedSVD  # here, since it takes a while to import
    from sklearn.feature_extraction.text import TfidfVectorizer

    ends = np.cumsum([len(side) for side in sides])
    vectorizer = TfidfVectorizer(analyzer=words, sublinear_tf=True)
    try:
        weights = vectorizer.fit_transform([text for side in sides for text in side])
    except ValueError:  # none of the texts has a word
        return np.split(np.zeros((ends[-1], 1)), ends[:-1])
    size = min(DIMENSIONS, min(weights.shape) - 1)
    if size < 1:
        reduced = weights.toarray()
    else:
        svd = TruncatedSVD(size, random_state=derive_seed(seed, "corpus", "SVD") % 2**32)
        reduced = svd.fit_transform(weights)
    lengths = np.linalg.norm(reduced, axis=1, keepdims=True)
    return np.split(np.divide(reduced, lengths, out=np.zeros_like(reduced), where=lengths > 1e-12), ends[:-1])


def precision_recall(corpus: np.ndarray, reference: np.ndarray, neighbours: int = NEIGHBOURS) -> dict[str, float]:
    """Compute improved precision and recall: Kynkäänniemi et al. 2019, arXiv 1904.06991.

    Each embedding is the centre of a ball that reaches to its k-th nearest neighbour on the same side. The balls of a side
    together approximate its distribution. Balls are closed, so a copy always lies inside.

    Args:
        corpus: (N, d) embeddings, N > neighbours. N and M should be equal, because a larger side looks denser.
        reference: (M, d) embeddings.
        neighbours: Number of neighbours k.

    Returns:
        `precision`, the share of the corpus inside the reference's balls; `recall`, the share of the reference inside the
        corpus's balls; both in [0, 1].

    Raises:
        ValueError: A side has at most `neighbours` rows.
    """
    if min(len(corpus), len(reference)) <= neighbours:
        raise ValueError(f"{len(corpus)} and {len(reference)} rows have no {neighbours} neighbours each")
    corpus, reference = np.asarray(corpus, np.float64), np.asarray(reference, np.float64)
    return {
        "precision": _inside(corpus, reference, _radii(reference, neighbours)),
        "recall": _inside(reference, corpus, _radii(corpus, neighbours)),
    }


def _radii(points: np.ndarray, neighbours: int) -> np.ndarray:
    """Return (N,) squared distances to the k-th neighbour; a point is not its own neighbour."""
    found = []
    for begin in range(0, len(points), BLOCK):
        distances = _squared(points[begin : begin + BLOCK], points)
        rows = np.arange(len(distances))
        distances[rows, begin + rows] = np.inf
        found.append(np.partition(distances, neighbours - 1, axis=1)[:, neighbours - 1])
    return np.concatenate(found)


def _inside(points: np.ndarray, centres: np.ndarray, radii: np.ndarray) -> float:
    """Return the share of points in at least one ball."""
    # The last bits of a matrix product depend on the block, and equal points must count as equal.
    slack = 1e-9 * max(1.0, float((centres**2).sum(axis=1).max()))
    within = 0
    for begin in range(0, len(points), BLOCK):
        within += int((_squared(points[begin : begin + BLOCK], centres) <= radii + slack).any(axis=1).sum())
    return within / len(points)


def _squared(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return (N, M) squared distances, >= 0."""
    distances = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None, :] - 2 * one @ other.T
    return np.maximum(distances, 0, out=distances)


def two_sample_test(corpus: Sequence[str], reference: Sequence[str], seed: int, count: int = TOLD_APART) -> dict[str, Any]:
    """Run the classifier two-sample test: Lopez-Paz & Oquab 2017, arXiv 1610.06545.

    A logistic regression on TF-IDF of words and word pairs learns to distinguish corpus and reference on half of the drawn
    texts. The statistic is its accuracy on the other half. If both came from one source, the number of correct texts
    would be binomial with probability 1/2, which gives the exact, one-sided p-value. Texts that repeat each other are not
    independent and make the p-value too small. Texts that occur on both sides bring the accuracy far below 1/2, because
    they are learnt with one label and tested with the other.

    Args:
        corpus: Texts, at least 10.
        reference: Texts, at least 10; the same number is drawn from each side.
        seed: Seed of the draws.
        count: Texts drawn from each side at most.

    Returns:
        `accuracy` in [0, 1] (0.5: indistinguishable), `p_value` in (0, 1], and `held_out`, the number of texts tested.
    """
    from scipy.stats import binom  # here, since it takes a while to import
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    size = min(len(corpus), len(reference), count) // 2 * 2
    mine = [corpus[row] for row in draw(len(corpus), size, seed, "two-sample corpus")]
    theirs = [reference[row] for row in draw(len(reference), size, seed, "two-sample reference")]
    half = size // 2
    model = make_pipeline(
        TfidfVectorizer(analyzer=_words_and_pairs, sublinear_tf=True, max_features=50_000),
        LogisticRegression(C=10.0, max_iter=200),
    )
    try:
        model.fit([*mine[:half], *theirs[:half]], [0] * half + [1] * half)
        guesses = model.predict([*mine[half:], *theirs[half:]])
    except ValueError:  # none of the texts has a word: all are equal
        guesses = np.zeros(2 * half)
    right = int((guesses == np.repeat([0, 1], half)).sum())
    # The probability of at least `right` correct texts by chance.
    p_value = float(binom.sf(right - 1, 2 * half, 0.5))
    return {"accuracy": right / (2 * half), "p_value": p_value, "held_out": 2 * half}


def _words_and_pairs(text: str) -> list[str]:
    found = words(text)
    return found + [f"{one} {other}" for one, other in zip(found, found[1:], strict=False)]
