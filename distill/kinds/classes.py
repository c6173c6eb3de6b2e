"""One class for each text, or for each pair of texts. Answers are log-probabilities (N, K)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.kinds.reading import SMALLEST_PROBABILITY, log_probabilities
from distill.losses import hard_label_loss, kd_loss, kl


@dataclass(frozen=True)
class Classes:
    """One of K classes; see `distill.kinds.kind.Kind` for what the methods return.

    Attributes:
        texts: 1, or 2 for pairs.
    """

    texts: int = 1
    fewest: int = 2
    of_words: bool = False
    several: bool = False
    problem_type: None = None
    start: float = 0.0
    task: str = "text-classification"
    noun: str = "class"
    columns: tuple[str, ...] = ("label", "teacher_probs", "confidence")
    stored_in: str = "teacher_probs"
    sureness: str = "the largest of `teacher_probs`"

    @property
    def name(self) -> str:
        """`single` or `pair`."""
        return "single" if self.texts == 1 else "pair"

    def targets(self, labels: Sequence[str]) -> list[str]:
        """Return the classes."""
        return list(labels)

    def named_by(self, targets: Sequence[str]) -> list[str]:
        """Return the targets."""
        return list(targets)

    def groups(self, columns: int) -> int:
        """Return K."""
        return columns

    def answers(self, outputs: Tensor) -> Tensor:
        """Return the log-probabilities of logits."""
        return outputs.float().log_softmax(dim=-1)

    def read(self, values: np.ndarray) -> tuple[Tensor, str]:
        """Read probabilities, each row of sum 1."""
        return log_probabilities(values)

    def doubts(self, answers: Tensor) -> tuple[int, int]:
        """Return nothing: rows of another sum are unusable already."""
        return 0, 0

    def fault(self, odd: int, telling: int, answers: Tensor) -> str:
        """Return nothing: rows of another sum are unusable already."""
        return ""

    def probabilities(self, answers: Tensor) -> Tensor:
        """Return the probabilities of the classes."""
        return answers.exp()

    def shown(self, answers: Tensor) -> Tensor:
        """Return the probabilities of the classes."""
        return answers.exp()

    def cells(self, shown: Sequence[float] | None, text: str = "") -> dict[str, Any]:
        """Return the likeliest class, -1 for none, the probabilities, and the largest of them.

        Examples:
            >>> Classes().cells([0.25, 0.75])
            {'label': 1, 'teacher_probs': [0.25, 0.75], 'confidence': 0.75}
        """
        if shown is None:
            return {"label": -1, "teacher_probs": None, "confidence": None}
        confidence = max(shown)
        return {"label": list(shown).index(confidence), "teacher_probs": list(shown), "confidence": confidence}

    def given(self, cells: Mapping[str, Any]) -> list[int]:
        """Return the likeliest class."""
        return [cells["label"]] if cells["label"] >= 0 else []

    def said(self, cells: Mapping[str, Any], names: Sequence[str]) -> str:
        """Return the name of the likeliest class."""
        return names[cells["label"]]

    def restored(self, values: np.ndarray) -> Tensor:
        """Return the log-probabilities of rounded probabilities."""
        return torch.from_numpy(values).clamp_min(SMALLEST_PROBABILITY).log().log_softmax(dim=1)

    def loss(self, outputs: Tensor, teacher: Tensor, temperature: float, hard_weight: float) -> Tensor:
        """Return Hinton's loss, see `distill.losses.kd_loss`, or its mixture with the cross-entropy of the likeliest class."""
        loss = kd_loss(outputs, teacher, temperature)
        return torch.lerp(loss, hard_label_loss(outputs, teacher), hard_weight) if hard_weight else loss

    def several_given(self, answers: Tensor) -> None:
        """Return nothing."""
        return None

    def group(self, answers: Tensor) -> Tensor:
        """Return the likeliest class."""
        return answers.argmax(dim=1)

    def belonging(self, answers: Tensor) -> Tensor:
        """Return each probability times the certainty of the answer."""
        return answers.exp() * self.certainty(answers)[:, None]

    def confidence(self, answers: Tensor, targets: Tensor) -> Tensor:
        """Return how sure the teacher is of the target class, rescaled from log-probability to [0, 1]. Ours.

        `1 + log p_T(y*|x) / log K`, cut off at 0: it is 1 for certainty, and 0 at chance and below. The cut matters early in
        training. A text outside the teacher's domain scores 0. A text inside the domain, but of a random class, scores 1
        about once in K times. So the prompter first finds the domain and then the class. Without the cut, the other times
        would cost as much as this one gains. Without a target the term is the certainty, `1 - H(p_T) / log K`.

        Examples:
            >>> Classes().confidence(torch.tensor([[0.5, 0.5], [1.0, 1e-9]]).log(), torch.tensor([0, 0])).tolist()
            [0.0, 1.0]
        """
        log_k = math.log(answers.size(1))
        asked = answers.gather(1, targets.clamp(min=0)[:, None]).squeeze(1)
        for_class = 1.0 + asked.clamp(min=-log_k) / log_k
        return torch.where(targets >= 0, for_class, self.certainty(answers)).clamp(0.0, 1.0)

    def certainty(self, answers: Tensor) -> Tensor:
        """Return how sure the teacher is of any class: `1 - H(p_T) / log K`. Ours.

        An opening can decide the subject of a text but not its class: a review of a film may be good or bad. Confidence is
        then high or low by chance. Certainty rewards the opening at once.

        Examples:
            >>> Classes().certainty(torch.tensor([[0.5, 0.5], [1.0, 1e-9]]).log()).round(decimals=3).tolist()
            [0.0, 1.0]
        """
        entropy = -(answers.exp() * answers.clamp(min=-100.0)).sum(1)
        return (1.0 - entropy / math.log(answers.size(1))).clamp(0.0, 1.0)

    def disagreement(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Return the Jensen-Shannon divergence, divided by log 2. Ours; KL divergence has no upper bound.

        Examples:
            >>> p, q = torch.tensor([[1.0, 0.0]]).log(), torch.tensor([[0.0, 1.0]]).log()
            >>> Classes().disagreement(p, q).tolist(), Classes().disagreement(p, p).tolist()
            ([1.0], [0.0])
        """
        return jensen_shannon(teacher.double().exp(), student.double().exp()).float()

    def divergence(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Return `KL(p_T || p_S)` in nats."""
        return kl(teacher, student)

    def target_loss(self, answers: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy with the target class."""
        return -answers.gather(1, targets[:, None]).squeeze(1)

    def decisions(self, answers: Tensor) -> Tensor:
        """Return the likeliest class, (N, 1)."""
        return answers.argmax(dim=1, keepdim=True)

    def options(self, columns: int) -> int:
        """Return K."""
        return columns

    def choices(self, answers: Tensor) -> Tensor:
        """Return the log-probabilities of the classes, (N, 1, K)."""
        return answers[:, None, :]

    def outcomes(self, answers: Tensor) -> Tensor:
        """Return the same as `choices`."""
        return self.choices(answers)

    def alike(self, first: Tensor, second: Tensor) -> Tensor:
        """Return whether the likeliest class is the same."""
        return first.argmax(dim=1) == second.argmax(dim=1)


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence of distributions (..., K), divided by log 2: (...,) in [0, 1]."""
    middle = 0.5 * (p + q)
    divergence = 0.5 * (torch.special.xlogy(p, p / middle) + torch.special.xlogy(q, q / middle))
    # 0 / 0 is a class without any probability in both rows. A row that was NaN stays NaN through `p + q`.
    divergence = torch.where(middle == 0, 0.0, divergence)
    return (divergence.sum(-1) / math.log(2)).clamp(0.0, 1.0)


SINGLE, PAIR = Classes(), Classes(texts=2)
