"""The novelty of openings, and the weighted sum of the reward's terms, each with values in [0, 1].

Confidence: the teacher puts the text into the target class. Certainty: the teacher is sure of some class. Disagreement: the
student still differs from the teacher. These three belong to the kind of classifier, see `distill.kinds`. Novelty: the
prompter has not used such an opening lately. With confidence alone, a prompter repeats one safe opening; disagreement and
novelty make it change. Confidence, disagreement and novelty are ideas of PromptDFD (arXiv 2205.07523); certainty and all
formulas are ours.
"""

import math
import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

TOPIC_WORD = re.compile(r"[^\W\d_]+|\d+")


def topic_ngrams(topic: str, n: int) -> list[tuple[str, ...]]:
    """Return the word n-grams of a topic; if it has fewer than `n` words, all of them as one n-gram.

    A word is a run of letters in lower case. All numbers count as the same word, and punctuation does not count. Otherwise a
    policy learns that amounts of money belong to the class Business and are always new.

    Examples:
        >>> topic_ngrams("$22 million, $7.5 million", 1)
        [('0',), ('million',), ('0',), ('0',), ('million',)]
    """
    words = ["0" if word.isdigit() else word for word in TOPIC_WORD.findall(topic.lower())]
    return [tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))]


class NoveltyWindow:
    """The n-grams of the most recent topics.

    Args:
        n: Words per n-gram.
        size: Number of topics to remember; the oldest one is forgotten first.
    """

    def __init__(self, n: int, size: int) -> None:
        self.n, self.size = n, size
        self.topics: deque[str] = deque()
        self._counts: Counter[tuple[str, ...]] = Counter()

    def score(self, topics: Iterable[str]) -> Tensor:
        """Score how rare the n-grams of each topic are among the topics before it, then remember the topic. Ours.

        An n-gram that occurs in `c` of these topics scores `1 - log(1 + c) / log(1 + size)`: 1 if it is new, 0 if every topic
        of a full window has it. The logarithm still separates frequent n-grams from very frequent ones when no n-gram is
        new any more. Topics are scored one after the other, so a repetition within a batch scores less, too.

        Returns:
            (N,) in [0, 1], the mean over the n-grams of each topic.

        Examples:
            >>> NoveltyWindow(n=1, size=3).score(["a red boat", "a blue boat", "a red boat"])
            tensor([1.0000, 0.6667, 0.3050])
        """
        scores = []
        for topic in topics:
            grams = topic_ngrams(topic, self.n)
            frequency = sum(math.log1p(min(self._counts[gram], self.size)) for gram in grams) / len(grams)
            scores.append(1.0 - frequency / math.log1p(self.size))
            self.remember(topic)
        return torch.tensor(scores, dtype=torch.float32)

    def restore(self, topics: Iterable[str]) -> None:
        """Continue from the topics of a checkpoint, oldest first."""
        self.topics.clear()
        self._counts.clear()
        for topic in topics:
            self.remember(topic)

    def remember(self, topic: str) -> None:
        """Add one topic. If the window is then too long, forget the oldest one."""
        self.topics.append(topic)
        self._counts.update(set(topic_ngrams(topic, self.n)))
        if len(self.topics) > self.size:
            forgotten = set(topic_ngrams(self.topics.popleft(), self.n))
            self._counts.subtract(forgotten)
            for gram in forgotten:
                if self._counts[gram] <= 0:
                    del self._counts[gram]


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Return the weighted sum of the reward's terms.

    Args:
        terms: Values (N,) of each term by name.
        weights: Weight of each term by name; 0 leaves a term out.

    Returns:
        (N,); NaN if a term with a weight is not finite.

    Examples:
        >>> weighted_sum({"a": torch.tensor([1.0, 0.5]), "b": torch.tensor([0.0, torch.nan])}, {"a": 2.0, "b": 0.0})
        tensor([2., 1.])
    """
    total = torch.zeros_like(next(iter(terms.values())))
    for name, values in terms.items():
        if weights[name]:
            total = total + weights[name] * values
    return torch.where(torch.isfinite(total), total, torch.nan)
