"""Measuring classifiers that give each of K labels or not. Answers are log-odds (N, K)."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import rel_entr
from torch import Tensor

from distill.kinds.kind import Kind
from eval.classifiers.kinds.measuring import Compared
from eval.classifiers.resampling import Tally, mean_of, mean_tally, sums_tally
from eval.data.labelled import EvaluationData


class LabelSets:
    """Several labels for each text, each given or not; see `Measuring`."""

    headline = ("micro_f1", "macro_f1", "subset_accuracy")

    def references(self, data: EvaluationData) -> list[Any]:
        """Return the rows of 0 and 1."""
        return data.labels

    def predictions(self, answers: Tensor, data: EvaluationData, metric: str = "") -> list[Any]:
        """Return rows of 0 and 1: a label is given if its probability is above one half. -1 for an unusable answer."""
        return _given(answers).tolist()

    def tallies(self, answers: Tensor, data: EvaluationData, metrics: Sequence[str]) -> dict[str, Tally]:
        """Return sums over rows of hits, of given and of true labels, for each label, and of rows that are wholly right."""
        given, true = _given(answers).numpy(), np.asarray(data.labels)
        right = (given == true).all(axis=1)[:, None]
        given = np.maximum(given, 0)
        amounts = np.concatenate([given & true, given, true, right], axis=1).astype(np.float64)
        k = true.shape[1]

        def micro_f1(sums: np.ndarray) -> np.ndarray:
            hits, occurrences = sums[:, :k].sum(axis=1), sums[:, k : 3 * k].sum(axis=1)
            return 2 * hits / np.maximum(occurrences, 1)

        def macro_f1(sums: np.ndarray) -> np.ndarray:
            occurrences = sums[:, k : 2 * k] + sums[:, 2 * k : 3 * k]
            f1 = 2 * sums[:, :k] / np.maximum(occurrences, 1)
            return f1.sum(axis=1) / np.maximum((occurrences > 0).sum(axis=1), 1)

        def subset_accuracy(sums: np.ndarray) -> np.ndarray:
            return sums[:, -1] / len(true)

        finishes = {"micro_f1": micro_f1, "macro_f1": macro_f1, "subset_accuracy": subset_accuracy}
        return {name: sums_tally(amounts, finishes[name]) for name in metrics}

    def compared(self, student: Tensor, teacher: Tensor, data: EvaluationData, kind: Kind | None = None) -> Compared:
        """Return for how many labels both decide the same, and the mean KL divergence of a label."""
        given, taught = _given(student).numpy(), _given(teacher).numpy()
        same = np.where((taught < 0).any(axis=1), np.nan, (given == taught).mean(axis=1))
        p, q = student.double(), teacher.double()
        apart = rel_entr(q.sigmoid().numpy(), p.sigmoid().numpy()) + rel_entr((-q).sigmoid().numpy(), (-p).sigmoid().numpy())
        return {name: (mean_of(rows), mean_tally(rows)) for name, rows in (("agreement", same), ("kl", apart.mean(axis=1)))}

    def right(self, answers: Tensor, data: EvaluationData) -> None:
        """Return nothing: an answer is more or less right."""

    def constant(self, data: EvaluationData) -> tuple[str, list[Any]]:
        """Return the most frequent set of labels."""
        ((most, _),) = Counter(map(tuple, data.labels)).most_common(1)
        given = [f"'{name}'" for name, yes in zip(data.names or map(str, range(len(most))), most, strict=True) if yes]
        names = " and ".join(given)
        return f"always {names or 'no label'}", [list(most)] * len(data)


def _given(answers: Tensor) -> Tensor:
    """Return (N, K) int64: whether each label is given; -1 in rows with NaN."""
    unusable = answers.isnan().any(dim=1, keepdim=True)
    return torch.where(unusable, -1, (answers > 0).long())
