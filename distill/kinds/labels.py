"""Several labels for each text, each true or not by itself. Answers are log-odds (N, K)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from distill.kinds.classes import jensen_shannon
from distill.kinds.reading import BFLOAT16_BITS, SMALLEST_PROBABILITY, log_odds

ENOUGH = 8
"""Rows that do not add up to one by chance."""

LARGEST_ERROR = 2.0**-BFLOAT16_BITS + 1e-6
"""How far the sum of probabilities of one class may be from one, where a model computes in bfloat16."""


@dataclass(frozen=True)
class Labels:
    """K labels, each yes or no; see `distill.kinds.kind.Kind` for what the methods return.

    A text is asked for one label, and may get others beside it.
    """

    name: str = "multi_label"
    texts: int = 1
    fewest: int = 1
    of_words: bool = False
    several: bool = True
    problem_type: str = "multi_label_classification"
    start: float = 0.0
    task: str = "text-classification"
    noun: str = "label"
    columns: tuple[str, ...] = ("labels", "teacher_probs", "confidence")
    stored_in: str = "teacher_probs"
    sureness: str = "how sure the teacher is of the label that it is least sure of"

    def targets(self, labels: Sequence[str]) -> list[str]:
        """Return the labels."""
        return list(labels)

    def named_by(self, targets: Sequence[str]) -> list[str]:
        """Return the targets."""
        return list(targets)

    def groups(self, columns: int) -> int:
        """Return K."""
        return columns

    def answers(self, outputs: Tensor) -> Tensor:
        """Return the log-odds, which are the model's logits."""
        return outputs.float()

    def read(self, values: np.ndarray) -> tuple[Tensor, str]:
        """Read probabilities, each by itself in [0, 1]."""
        return log_odds(values)

    def doubts(self, answers: Tensor) -> tuple[int, int]:
        """Return how many rows add up to one, which independent probabilities do not, and how many say something about it.

        A row of zeros and a one may be that of hard decisions, which say nothing.
        """
        given = answers.double().sigmoid()
        adds_up = (given.sum(dim=1) - 1.0).abs() <= LARGEST_ERROR
        hard = adds_up & (given.amax(dim=1) > 1.0 - 2 * SMALLEST_PROBABILITY)
        return int((adds_up & ~hard).sum()), int((~hard).sum())

    def fault(self, odd: int, telling: int, answers: Tensor) -> str:
        """Return that all rows add up to one: a single one that does not settles that they are independent."""
        if telling < ENOUGH or answers.shape[1] < 2 or odd < telling:
            return ""
        return (
            f"all of its {telling} answers add up to 1, as those of one class per text do; leave --kind out, or give a "
            "teacher whose probabilities are independent (sigmoid, not softmax)"
        )

    def probabilities(self, answers: Tensor) -> Tensor:
        """Return the probability of each label."""
        return answers.sigmoid()

    def shown(self, answers: Tensor) -> Tensor:
        """Return the probability of each label."""
        return answers.sigmoid()

    def cells(self, shown: Sequence[float] | None, text: str = "") -> dict[str, Any]:
        """Return the labels above one half, all probabilities, and that of the answer to the least sure label.

        Examples:
            >>> Labels().cells([0.75, 0.25, 0.875])
            {'labels': [0, 2], 'teacher_probs': [0.75, 0.25, 0.875], 'confidence': 0.75}
        """
        if shown is None:
            return {"labels": None, "teacher_probs": None, "confidence": None}
        given = [index for index, probability in enumerate(shown) if probability > 0.5]
        return {"labels": given, "teacher_probs": list(shown), "confidence": min(max(p, 1.0 - p) for p in shown)}

    def given(self, cells: Mapping[str, Any]) -> list[int]:
        """Return the labels above one half."""
        return list(cells["labels"] or [])

    def said(self, cells: Mapping[str, Any], names: Sequence[str]) -> str:
        """Return the names of the labels above one half."""
        return ", ".join(names[index] for index in cells["labels"]) or "none"

    def restored(self, values: np.ndarray) -> Tensor:
        """Return the log-odds of probabilities."""
        return self.read(values.astype(np.float64))[0]

    def loss(self, outputs: Tensor, teacher: Tensor, temperature: float, hard_weight: float) -> Tensor:
        """Return the binary `τ² KL(p_T^τ || p_S^τ)`, averaged over texts and labels, with `p^τ = sigmoid(z / τ)`.

        With `hard_weight`, that share of it is the cross-entropy against the labels that the teacher gives. Hinton's loss
        (arXiv 1503.02531) for K questions of two answers each.
        """
        taught, student = teacher.float() / temperature, outputs.float() / temperature
        soft = taught.sigmoid()
        # Both from logits: CUDA's autocast refuses a cross-entropy of probabilities.
        loss = binary_cross_entropy_with_logits(student, soft) - binary_cross_entropy_with_logits(taught, soft)
        loss = temperature**2 * loss
        if not hard_weight:
            return loss
        hard = binary_cross_entropy_with_logits(outputs.float(), (teacher > 0).float())
        return torch.lerp(loss, hard, hard_weight)

    def several_given(self, answers: Tensor) -> Tensor:
        """Return the labels that are given."""
        return self.decisions(answers)

    def group(self, answers: Tensor) -> Tensor:
        """Return the likeliest label, given or not."""
        return answers.argmax(dim=1)

    def belonging(self, answers: Tensor) -> Tensor:
        """Return the probability of each label."""
        return answers.sigmoid()

    def confidence(self, answers: Tensor, targets: Tensor) -> Tensor:
        """Return how sure the teacher is of the target label: `1 + log2 p`, cut off at 0, which is at even odds. Ours.

        Without a target it is the certainty.

        Examples:
            >>> Labels().confidence(torch.tensor([[0.0, 9.0], [99.0, 0.0]]), torch.tensor([0, 0])).tolist()
            [0.0, 1.0]
        """
        asked = answers.gather(1, targets.clamp(min=0)[:, None]).squeeze(1)
        for_label = 1.0 + logsigmoid(asked) / math.log(2)
        return torch.where(targets >= 0, for_label, self.certainty(answers)).clamp(0.0, 1.0)

    def certainty(self, answers: Tensor) -> Tensor:
        """Return 1 less the mean entropy of the labels in bits. Ours."""
        p = answers.double().sigmoid()
        entropy = -(torch.special.xlogy(p, p) + torch.special.xlogy(1 - p, 1 - p)).mean(dim=1) / math.log(2)
        return (1.0 - entropy).clamp(0.0, 1.0).float()

    def disagreement(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Return the Jensen-Shannon divergence, over log 2, of the label that they differ in most. Ours.

        A mean over labels would be small wherever there are many, as they agree on most of them.
        """
        p, q = (torch.stack([z.double().sigmoid(), (-z.double()).sigmoid()], dim=-1) for z in (teacher, student))
        return jensen_shannon(p, q).amax(dim=1).float()

    def divergence(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Return the binary `KL(p_T || p_S)` in nats, averaged over the labels."""
        p = teacher.double().sigmoid()
        yes = p * (logsigmoid(teacher.double()) - logsigmoid(student.double()))
        no = (1 - p) * (logsigmoid(-teacher.double()) - logsigmoid(-student.double()))
        return (yes + no).mean(dim=1).float()

    def target_loss(self, answers: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy with a yes to the target label; the others are free."""
        return -logsigmoid(answers.gather(1, targets[:, None]).squeeze(1))

    def decisions(self, answers: Tensor) -> Tensor:
        """Return whether each label is given, (N, K) of 0 and 1: its probability is above one half."""
        return (answers > 0).long()

    def options(self, columns: int) -> int:
        """Return 2."""
        return 2

    def choices(self, answers: Tensor) -> Tensor:
        """Return the log-probabilities of no and yes for each label, (N, K, 2)."""
        return torch.stack([logsigmoid(-answers), logsigmoid(answers)], dim=-1)

    def outcomes(self, answers: Tensor) -> Tensor:
        """Return the same as `choices`."""
        return self.choices(answers)

    def alike(self, first: Tensor, second: Tensor) -> Tensor:
        """Return whether the same labels are given."""
        return (self.decisions(first) == self.decisions(second)).all(dim=1)


MULTI_LABEL = Labels()
