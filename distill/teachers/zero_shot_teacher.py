"""A classifier of entailment (NLI) as a teacher of any classes, without training.

Each class becomes a sentence about the text, the *hypothesis* ("This example is sports."). The model says how strongly the
text entails it, and the softmax of these logits over the classes is the answer: the zero-shot pipeline of transformers, with
one class per text. Source: Yin et al. 2019, arXiv 1909.00161.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from distill.common.errors import InputError
from distill.kinds.classes import SINGLE
from distill.kinds.kind import Kind
from distill.kinds.names import reads_pairs
from distill.teachers.probabilities import check_labels, count
from distill.teachers.transformers_teacher import TransformersTeacher

HYPOTHESIS = "This example is {}."
"""The template of transformers' pipeline."""


class ZeroShotTeacher:
    """An NLI model that is asked about each class.

    Args:
        model: The model; one of its classes begins with "entail".
        labels: The K class names, which stand in the hypothesis.
        hypothesis: Template with `{}` where the class name stands; "" for `HYPOTHESIS`.

    Attributes:
        kind: One class for a text.
        model: As given.
        hypotheses: One sentence for each class.

    Raises:
        InputError: The template has no `{}`, or there are fewer than two labels.
    """

    kind: Kind = SINGLE

    def __init__(self, model: TransformersTeacher, labels: Sequence[str], hypothesis: str = "") -> None:
        if hypothesis and "{}" not in hypothesis:
            raise InputError(f"teacher_hypothesis: {hypothesis!r} has no {{}} for the class name, as in {HYPOTHESIS!r}.")
        self.model = model
        self.path = model.path
        self.labels = [str(label) for label in labels]
        check_labels(self.labels)
        self.hypotheses = [(hypothesis or HYPOTHESIS).replace("{}", label) for label in self.labels]
        self.queries = 0
        self.invalid = 0
        self._entailment = next(i for i, name in enumerate(model.labels) if _is_entailment(name))

    def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
        """Return (N, K) float32 log-probabilities on the CPU. Each text is one query, although the model reads it K times.

        Raises:
            InputError: Pairs of texts were asked, or too many answers are unusable.
        """
        if text_pairs is not None:
            raise InputError(f"teacher: {self.path} is asked zero-shot about single texts, but pairs of texts were asked.")
        if not len(texts):
            return torch.empty(0, len(self.labels))
        premises = [text for text in texts for _ in self.hypotheses]
        logits = self.model.scores(premises, self.hypotheses * len(texts), raw=True)[:, self._entailment]
        predictions = logits.view(len(texts), len(self.labels)).log_softmax(dim=1)
        return count(self, predictions, "NaN or infinite values")


def is_zero_shot(model_labels: Sequence[str], labels: Sequence[str]) -> bool:
    """Return whether class names given for a model ask it zero-shot, and do not just rename its classes.

    Examples:
        >>> is_zero_shot(["contradiction", "neutral", "entailment"], ["sports", "science"])
        True
        >>> is_zero_shot(["entailment", "not_entailment"], ["not_entailment", "entailment"])
        False
        >>> is_zero_shot(["a", "b"], ["c", "d"])
        False
    """
    return any(map(_is_entailment, model_labels)) and reads_pairs(model_labels) and not reads_pairs(labels)


def _is_entailment(name: str) -> bool:
    return name.casefold().startswith("entail")  # as transformers' pipeline looks for it
