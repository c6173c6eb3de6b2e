"""A number for each text, or for each pair of texts: a regressor. Answers are values (N, 1)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from distill.kinds.reading import numbers

STEPS = ("very low", "low", "middle", "high", "very high")
"""Names of the targets: the range of values in equal parts."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "Identity": torch.clone}
"""What the one output of a model may go through to be its score, by the names of PyTorch's classes."""

NO_DIFFERENCE = 0.02
"""Share of the range that two values may differ by and be the same for whoever uses them. Ours."""

ENOUGH, MOST_OUTSIDE = 8, 0.5
"""Values that say something about their range, and the largest share of them beyond it."""

MARGIN = 0.1
"""Share of the range that a value may lie beyond it: regressors overshoot its ends a little."""


@dataclass(frozen=True)
class Score:
    """A value, mostly in a known range; see `distill.kinds.kind.Kind` for what the methods return.

    Attributes:
        low: Lower end of the range.
        high: Upper end. Values beyond the range are learnt as they are, and count as its ends elsewhere.
        texts: 1, or 2 for pairs.
    """

    low: float = 0.0
    high: float = 1.0
    texts: int = 1
    fewest: int = 1
    of_words: bool = False
    several: bool = False
    problem_type: str = "regression"
    task: str = "text-classification"
    noun: str = "step"
    columns: tuple[str, ...] = ("score",)
    stored_in: str = "score"
    sureness: str = ""

    @property
    def name(self) -> str:
        """`score` or `score_pair`."""
        return "score" if self.texts == 1 else "score_pair"

    @property
    def start(self) -> float:
        """The middle of the range."""
        return (self.low + self.high) / 2

    def targets(self, labels: Sequence[str]) -> list[str]:
        """Return the names of the five steps."""
        return list(STEPS)

    def named_by(self, targets: Sequence[str]) -> list[str]:
        """Return a name for the number."""
        return ["score"]

    def groups(self, columns: int) -> int:
        """Return 5."""
        return len(STEPS)

    def answers(self, outputs: Tensor) -> Tensor:
        """Return the values, which are the model's outputs."""
        return outputs.float()

    def read(self, values: np.ndarray) -> tuple[Tensor, str]:
        """Read finite numbers."""
        return numbers(values)

    def doubts(self, answers: Tensor) -> tuple[int, int]:
        """Return how many values lie clearly beyond the range, and how many there are."""
        margin = MARGIN * (self.high - self.low)
        outside = (answers < self.low - margin) | (answers > self.high + margin)
        return int(outside.sum()), len(answers)

    def fault(self, odd: int, telling: int, answers: Tensor) -> str:
        """Return that most values lie beyond the range."""
        if telling < ENOUGH or odd <= MOST_OUTSIDE * telling:
            return ""
        return (
            f"most of its {telling} values lie beyond {self.low:g} to {self.high:g} (the newest go from "
            f"{float(answers.min()):.3g} to {float(answers.max()):.3g}); give their range: --score_low and --score_high"
        )

    def probabilities(self, answers: Tensor) -> Tensor:
        """Return the place in the range."""
        return self._place(answers)

    def shown(self, answers: Tensor) -> Tensor:
        """Return the values."""
        return answers

    def cells(self, shown: Sequence[float] | None, text: str = "") -> dict[str, Any]:
        """Return the value.

        Examples:
            >>> Score(1, 5).cells([4.5])
            {'score': 4.5}
        """
        return {"score": None if shown is None else shown[0]}

    def given(self, cells: Mapping[str, Any]) -> list[int]:
        """Return the step that the value lies in."""
        return [] if cells["score"] is None else self.group(torch.tensor([[cells["score"]]])).tolist()

    def said(self, cells: Mapping[str, Any], names: Sequence[str]) -> str:
        """Return the value."""
        return f"{cells['score']:.2f}"

    def restored(self, values: np.ndarray) -> Tensor:
        """Return the values."""
        return self.read(values.astype(np.float64))[0]

    def loss(self, outputs: Tensor, teacher: Tensor, temperature: float, hard_weight: float) -> Tensor:
        """Return the mean squared difference in units of the range. The temperature has no effect.

        With `hard_weight`, that share of it is a loss of ranks: over all pairs of the batch, the cross-entropy of the
        student's order against the teacher's (RankNet, Burges et al. 2005).
        """
        width = self.high - self.low
        student, target = outputs.float()[:, 0] / width, teacher.float()[:, 0] / width
        loss = (student - target).square().mean()
        if not hard_weight or len(target) < 2:
            return loss
        order = torch.sign(target[:, None] - target[None, :])
        pairs = softplus(-order * (student[:, None] - student[None, :])) * order.abs()
        return torch.lerp(loss, pairs.sum() / order.abs().sum().clamp_min(1.0), hard_weight)

    def several_given(self, answers: Tensor) -> None:
        """Return nothing."""
        return None

    def group(self, answers: Tensor) -> Tensor:
        """Return the step that the value lies in."""
        place = self._place(answers)[:, 0].nan_to_num(nan=0.0)
        return (place * len(STEPS)).long().clamp(max=len(STEPS) - 1)

    def belonging(self, answers: Tensor) -> Tensor:
        """Return the nearness to each step: 1 at its middle, 0 at the middle of the next one and beyond."""
        middles = (torch.arange(len(STEPS)) + 0.5) / len(STEPS)
        return (1.0 - (self._place(answers) - middles).abs() * len(STEPS)).clamp(0.0, 1.0)

    def confidence(self, answers: Tensor, targets: Tensor) -> Tensor:
        """Return the nearness to the middle of the wanted step: 0 at half of the range from it and beyond. Ours.

        Without a target it is the certainty.

        Examples:
            >>> Score(0, 5).confidence(torch.tensor([[4.5], [1.0]]), torch.tensor([4, 4])).tolist()
            [1.0, 0.0]
        """
        middle = (targets.clamp(min=0) + 0.5) / len(STEPS)
        near = 1.0 - 2.0 * (self._place(answers)[:, 0] - middle).abs()
        return torch.where(targets >= 0, near, self.certainty(answers)).clamp(0.0, 1.0)

    def certainty(self, answers: Tensor) -> Tensor:
        """Return how far the value is from the middle of the range: 0 there, 1 at its ends. Ours.

        A value does not say how sure it is. But whoever learnt to predict a number with a squared loss answers with the
        mean where a text tells nothing, so a value far from the middle says that the text was about the matter.

        Examples:
            >>> Score(1, 5).certainty(torch.tensor([[3.0], [4.0], [1.0]])).tolist()
            [0.0, 0.5, 1.0]
        """
        return 2.0 * (self._place(answers)[:, 0] - 0.5).abs()

    def disagreement(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Return the distance in units of the range. Ours."""
        return ((teacher - student).abs()[:, 0] / (self.high - self.low)).clamp(0.0, 1.0)

    def divergence(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Return the squared distance in units of the range."""
        return ((teacher - student)[:, 0] / (self.high - self.low)).square()

    def target_loss(self, answers: Tensor, targets: Tensor) -> Tensor:
        """Return the squared distance from the middle of the target step, in units of the range."""
        middle = (targets + 0.5) / len(STEPS)
        return ((answers[:, 0] - self.low) / (self.high - self.low) - middle).square()

    def decisions(self, answers: Tensor) -> Tensor:
        """Return the step that the value lies in, (N, 1)."""
        return self.group(answers)[:, None]

    def options(self, columns: int) -> int:
        """Return 5."""
        return len(STEPS)

    def choices(self, answers: Tensor) -> None:
        """Return nothing: a value does not say how sure it is."""
        return None

    def outcomes(self, answers: Tensor) -> None:
        """Return nothing."""
        return None

    def alike(self, first: Tensor, second: Tensor) -> Tensor:
        """Return whether two values are as near to each other as makes no difference."""
        return self.disagreement(first, second) <= NO_DIFFERENCE

    def _place(self, answers: Tensor) -> Tensor:
        """Return values as places in the range, in [0, 1]."""
        return ((answers - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
