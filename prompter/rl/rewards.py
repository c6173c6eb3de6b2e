"""What a sample is worth: three plain functions, each in [0, 1], and their weighted sum.

Confidence says that the teacher recognises the text as a member of the class that was asked for, disagreement that the
student has still something to learn from it, novelty that the prompter has not opened like this lately. Confidence alone
makes a prompter that repeats one safe opening; the other two keep it moving. The three ideas are those of PromptDFD
(arXiv 2205.07523); the formulas are ours, not the paper's.
"""

import math
import re
from collections import Counter, deque
from collections.abc import Iterable

import torch
from torch import Tensor

from prompter.rl.config import RewardConfig


def confidence(teacher_log_probs: Tensor, targets: Tensor) -> Tensor:
    """How sure the teacher is of the wanted class, rescaled from log-probability to [0, 1].

    `1 + log p_T(y*|x) / log K`, cut off at 0: 1 for certainty, 0 from chance down. The cut matters: a text the teacher
    knows nothing about scores 0, one that it knows but of which the class could not be chosen scores 1 as often as not, so
    that the prompter first finds the teacher's domain and then the class. A scale that goes on below chance punishes the
    second as much as it rewards it. Where no class was asked for, `1 - H(p_T) / log K`. Ours.

    Args:
        teacher_log_probs: (N, K) log-probabilities.
        wanted: (N,) index of the wanted class, or -1 for none.

    Returns:
        (N,) in [0, 1]; NaN where the teacher's row is not finite.

    Examples:
        >>> confidence(torch.tensor([[0.5, 0.5], [1.0, 1e-9]]).log(), torch.tensor([0, 0])).tolist()
        [0.0, 1.0]
    """
    log_k = math.log(teacher_log_probs.size(1))
    asked = teacher_log_probs.gather(1, targets.clamp(min=0)[:, None]).squeeze(1)
    for_class = 1.0 + asked.clamp(min=-log_k) / log_k
    return torch.where(targets >= 0, for_class, certainty(teacher_log_probs)).clamp(0.0, 1.0)


def certainty(teacher_log_probs: Tensor) -> Tensor:
    """How sure the teacher is of any class: `1 - H(p_T) / log K`. Ours.

    Where an opening settles what a text is about but not yet its class (what is reviewed, but not whether it is liked),
    confidence in the wanted class comes and goes by chance; certainty says at once that the opening led somewhere.

    Args:
        teacher_log_probs: (N, K) log-probabilities.

    Returns:
        (N,) in [0, 1]; NaN where a row is not finite.

    Examples:
        >>> certainty(torch.tensor([[0.5, 0.5], [1.0, 1e-9]]).log()).round(decimals=3).tolist()
        [0.0, 1.0]
    """
    entropy = -(teacher_log_probs.exp() * teacher_log_probs.clamp(min=-100.0)).sum(1)
    return (1.0 - entropy / math.log(teacher_log_probs.size(1))).clamp(0.0, 1.0)


def disagreement(teacher_log_probs: Tensor, student_log_probs: Tensor) -> Tensor:
    """Jensen-Shannon divergence of teacher and student over log 2. Ours; a plain KL divergence has no upper end.

    Args:
        teacher_log_probs: (N, K) log-probabilities.
        student_log_probs: (N, K) log-probabilities.

    Returns:
        (N,) in [0, 1]; NaN where a row is not finite.

    Examples:
        >>> p, q = torch.tensor([[1.0, 0.0]]).log(), torch.tensor([[0.0, 1.0]]).log()
        >>> disagreement(p, q).tolist(), disagreement(p, p).tolist()
        ([1.0], [0.0])
    """
    p, q = teacher_log_probs.double().exp(), student_log_probs.double().exp()
    middle = 0.5 * (p + q)
    divergence = 0.5 * (torch.special.xlogy(p, p / middle) + torch.special.xlogy(q, q / middle))
    # 0 / 0 is a class that neither gives any probability; a row that was NaN stays NaN through `p + q`.
    divergence = torch.where(middle == 0, 0.0, divergence)
    return (divergence.sum(1) / math.log(2)).clamp(0.0, 1.0).float()


WORD = re.compile(r"[^\W\d_]+|\d+")


def ngrams(topic: str, n: int) -> list[tuple[str, ...]]:
    """The word n-grams of a topic; all of its words where they are fewer than `n`.

    Words are runs of letters, in lower case; all numbers are one word, and punctuation is none. Otherwise a policy finds
    that sums of money are of class Business and never twice the same.

    Examples:
        >>> ngrams("$22 million, $7.5 million", 1)
        [('0',), ('million',), ('0',), ('0',), ('million',)]
    """
    words = ["0" if word.isdigit() else word for word in WORD.findall(topic.lower())]
    return [tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))]


class NoveltyWindow:
    """The n-grams of the most recent topics.

    Args:
        n: Words per n-gram.
        size: Topics remembered; the oldest are forgotten first.
    """

    def __init__(self, n: int, size: int) -> None:
        self.n, self.size = n, size
        self.topics: deque[str] = deque()
        self._counts: Counter[tuple[str, ...]] = Counter()

    def score(self, topics: Iterable[str]) -> Tensor:
        """Novelty of each topic, then remember it: how rare its n-grams are among the topics before it. Ours.

        An n-gram that `c` of them hold counts `1 - log(1 + c) / log(1 + size)`: 1 if it is new, 0 if every topic of a full
        window has it. The logarithm keeps telling the worn from the worn out long after nothing is new any more. Topics
        are taken one after the other, so repetition inside a batch costs as well.

        Returns:
            (N,) in [0, 1], the mean over each topic's n-grams.

        Examples:
            >>> NoveltyWindow(n=1, size=3).score(["a red boat", "a blue boat", "a red boat"])
            tensor([1.0000, 0.6667, 0.3050])
        """
        scores = []
        for topic in topics:
            grams = ngrams(topic, self.n)
            worn = sum(math.log1p(min(self._counts[gram], self.size)) for gram in grams) / len(grams)
            scores.append(1.0 - worn / math.log1p(self.size))
            self.remember(topic)
        return torch.tensor(scores, dtype=torch.float32)

    def remember(self, topic: str) -> None:
        """Add one topic and forget the oldest one beyond the window."""
        self.topics.append(topic)
        self._counts.update(set(ngrams(topic, self.n)))
        if len(self.topics) > self.size:
            forgotten = set(ngrams(self.topics.popleft(), self.n))
            self._counts.subtract(forgotten)
            for gram in forgotten:
                if self._counts[gram] <= 0:
                    del self._counts[gram]


def weighted_sum(terms: dict[str, Tensor], config: RewardConfig) -> Tensor:
    """The reward (N,) of samples whose terms are given by name; NaN where a term with a weight is not finite."""
    total = torch.zeros_like(next(iter(terms.values())))
    for name, values in terms.items():
        weight = getattr(config, f"reward_{name}")
        if weight:
            total = total + weight * values
    return torch.where(torch.isfinite(total), total, torch.nan)
