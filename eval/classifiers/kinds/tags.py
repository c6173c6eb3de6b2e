"""Measuring classifiers that give a tag for each word. Answers are log-probabilities (N, V, K) of the words of the data.

A row of zeros stands for a word without an answer: the model does not read that far, or there is no word. It counts as `O`,
which is wrong where tags have none.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from scipy.special import rel_entr
from seqeval.metrics.sequence_labeling import get_entities
from torch import Tensor

from distill.kinds.kind import Kind
from distill.kinds.names import OUTSIDE, placed_tags
from distill.kinds.tokens import answered
from eval.classifiers.kinds.measuring import Compared
from eval.classifiers.resampling import Tally, quotients, sums_tally
from eval.data.labelled import EvaluationData


class Tags:
    """A tag for each word; see `Measuring`. Names are those that it is computed with (`distill.kinds.names.placed_tags`)."""

    headline = ("entity_f1", "token_accuracy")

    def references(self, data: EvaluationData) -> list[Any]:
        """Return the tags of each text by name."""
        names = placed_tags(data.names)
        return [[names[tag] for tag in row] for row in data.labels]

    def predictions(self, answers: Tensor, data: EvaluationData, metric: str = "") -> list[Any]:
        """Return the most probable tag of each word by name."""
        best = answers.nan_to_num(nan=0.0).argmax(dim=2)
        best[~_usable(answers)] = -1
        names = [*placed_tags(data.names), OUTSIDE]
        return [[names[tag] for tag in row[: len(true)]] for row, true in zip(best.tolist(), data.labels, strict=True)]

    def tallies(self, answers: Tensor, data: EvaluationData, metrics: Sequence[str]) -> dict[str, Tally]:
        """Return sums over texts of right, found and true entities, and of right and all words."""
        amounts = []
        for given, true in zip(self.predictions(answers, data), self.references(data), strict=True):
            found, wanted = set(get_entities(given)), set(get_entities(true))
            right = sum(map(str.__eq__, given, true))
            amounts.append((len(found & wanted), len(found) + len(wanted), right, len(true)))

        def entity_f1(sums: np.ndarray) -> np.ndarray:
            return 2 * sums[:, 0] / np.maximum(sums[:, 1], 1)

        def token_accuracy(sums: np.ndarray) -> np.ndarray:
            return quotients(sums[:, 2], sums[:, 3])

        finishes = {"entity_f1": entity_f1, "token_accuracy": token_accuracy}
        table = np.asarray(amounts, dtype=np.float64)
        return {name: sums_tally(table, finishes[name]) for name in metrics}

    def compared(self, student: Tensor, teacher: Tensor, data: EvaluationData, kind: Kind | None = None) -> Compared:
        """Return for how many words both choose the same tag, and the mean KL divergence of a word.

        Words that the teacher did not answer are left out, and for the divergence those that the student did not.
        """
        taught, learnt = _usable(teacher).numpy(), _usable(student).numpy()
        given, wanted = (self.predictions(answers, data) for answers in (student, teacher))
        same, words = np.zeros(len(data)), np.zeros(len(data))
        for row, (one, other) in enumerate(zip(given, wanted, strict=True)):
            counted = taught[row, : len(one)]
            same[row] = sum(counted & np.equal(np.asarray(one, object), np.asarray(other, object)))
            words[row] = counted.sum()
        both = taught & learnt
        p, q = (np.where(both[:, :, None], answers.double().exp().numpy(), 1.0) for answers in (student, teacher))
        apart, compared = rel_entr(q, p).sum(axis=(1, 2)), both.sum(axis=1)
        return {"agreement": _share(same, words), "kl": _share(apart, compared)}

    def right(self, answers: Tensor, data: EvaluationData) -> None:
        """Return nothing: an answer is more or less right."""

    def constant(self, data: EvaluationData) -> tuple[str, list[Any]]:
        """Return `O` for every word, or the most frequent tag where there is none."""
        tags = data.names
        always = tags.index(OUTSIDE) if OUTSIDE in tags else Counter(chain.from_iterable(data.labels)).most_common(1)[0][0]
        return f"always {tags[always]}", [[placed_tags(tags)[always]] * len(row) for row in data.labels]


def _usable(answers: Tensor) -> Tensor:
    """Return (N, V) whether each word has a usable answer."""
    return answered(answers) & ~answers.isnan().any(dim=2)


def _share(parts: np.ndarray, wholes: np.ndarray) -> tuple[float, Tally]:
    """Return the sum of the parts over that of the wholes, (N,) each, and its tally."""
    value = float(parts.sum() / wholes.sum()) if wholes.sum() else float("nan")
    return value, sums_tally(np.stack([parts, wholes], axis=1), lambda sums: quotients(sums[:, 0], sums[:, 1]))
