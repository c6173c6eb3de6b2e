"""Candidate selection: write more texts than the teacher is asked about, and ask about the most promising ones.

A run spends teacher queries; texts are cheap. The predictions so far are enough to estimate the teacher's prediction for
a new text from the hidden states of the frozen writer (a mean over tokens): a ridge regression on a few hundred predictions,
fitted again before each rollout. The estimates decide which texts the teacher gets. A class receives more of them the
further it lags behind an equal share of all predictions, and within a class the texts with the highest estimates come
first. So the student gets texts of each class early, and fewer queries go to texts that the teacher cannot place. A
text's beginning says enough about it: with `candidate_tokens`, the writer writes only the beginnings of all candidates, and
then the ends of the selected ones. Ours; PromptDFD (arXiv 2205.07523) asks about every sample.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from distill.kinds.classes import SINGLE
from distill.kinds.kind import Kind
from distill.kinds.rows import finite

WINDOW = 4096
"""Most predictions to learn from, the newest ones: this bounds the time of a fit and the size of a checkpoint."""

RIDGE = 1000.0
"""Weight of the penalty of the ridge regression, on features of unit variance."""

REPEATED = 1e6
"""Subtracted from the score of a candidate with the same text as an earlier one."""


def class_quotas(answered: Tensor, count: int) -> list[int]:
    """Return how many texts of each class to ask about, so that the classes become equally frequent.

    Args:
        answered: (K,) number of texts that the teacher has put into each class so far.
        count: Number of texts to ask about.

    Returns:
        K whole numbers with the sum `count`, in proportion to what each class lacks of an equal share.

    Examples:
        >>> class_quotas(torch.tensor([60, 20, 20]), 50)
        [0, 25, 25]
        >>> class_quotas(torch.tensor([0, 0]), 3)
        [2, 1]
    """
    even = (int(answered.sum()) + count) / len(answered)
    lacking = (even - answered.double()).clamp(min=0)
    exact = lacking / lacking.sum() * count
    whole = exact.floor().long()
    for index in (exact - whole).argsort(descending=True, stable=True)[: count - int(whole.sum())]:
        whole[index] += 1
    return whole.tolist()


class CandidateSelector:
    """The teacher's predictions so far, and estimates for new texts made from them.

    Args:
        classes: Number of targets G, for instance classes.
        kind: What the teacher's answers are.

    Attributes:
        features: (n, F) float32, the writer's features of the newest texts with a prediction, n up to `WINDOW`.
        predictions: (n, G) float32, how surely each text belongs to each target, see `Kind.belonging`.
        answered: (G,) number of texts that the teacher has put into each class so far.
    """

    def __init__(self, classes: int, kind: Kind = SINGLE) -> None:
        self.kind = kind
        self.features = torch.empty(0, 0)
        self.predictions = torch.empty(0, classes)
        self.answered = torch.zeros(classes, dtype=torch.int64)

    def learn(self, features: Tensor, answers: Tensor) -> None:
        """Remember predictions.

        Args:
            features: (N, F) features of the texts.
            answers: (N, C) the teacher's answers; rows that are not finite are ignored.
        """
        usable = finite(answers)
        features, answers = features[usable], answers[usable]
        self.features = torch.cat([self.features.reshape(-1, features.shape[1]), features])[-WINDOW:]
        self.predictions = torch.cat([self.predictions, self.kind.belonging(answers)])[-WINDOW:]
        self.answered += torch.bincount(self.kind.group(answers), minlength=len(self.answered))

    def estimate(self, features: Tensor) -> Tensor:
        """Estimate the teacher's predictions for C texts from their features (C, F).

        Returns:
            (C, G) float64: for each class its probability times the certainty of the prediction. The model is linear, so
            values may lie outside [0, 1].
        """
        from sklearn.linear_model import Ridge  # here, since it takes a second or two to import

        mean, std = self.features.mean(dim=0), self.features.std(dim=0).clamp(min=1e-6)
        fitted = Ridge(alpha=RIDGE).fit(((self.features - mean) / std).double().numpy(), self.predictions.double().numpy())
        return torch.from_numpy(np.asarray(fitted.predict(((features - mean) / std).double().numpy())))

    def pick(self, features: Tensor, texts: list[str], count: int) -> list[int]:
        """Select the candidates that the teacher is asked about; before any prediction, these are the first ones.

        Args:
            features: (C, F) features of the candidates.
            texts: C candidates. A repeated text is selected only if there are too few others.
            count: Number of candidates to select, at most C.

        Returns:
            `count` distinct indices in ascending order.
        """
        repeated: list[bool] = []
        seen: set[str] = set()
        for text in texts:
            repeated.append(text in seen)
            seen.add(text)
        if len(self.predictions) < 2:
            return sorted(sorted(range(len(texts)), key=lambda index: repeated[index])[:count])
        scores = self.estimate(features)
        scores[torch.tensor(repeated)] -= REPEATED
        picked: list[int] = []
        of_class = class_quotas(self.answered, count)
        for k in sorted(range(len(of_class)), key=lambda k: -of_class[k]):
            best = scores[:, k].argsort(descending=True, stable=True)[: of_class[k]]
            picked += best.tolist()
            scores[best] = -torch.inf
        return sorted(picked)

    def save(self, file: Path) -> None:
        """Write everything that is remembered to a safetensors file."""
        tensors = {"features": self.features, "answers": self.predictions, "answered": self.answered}
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)

    def restore(self, file: Path) -> None:
        """Continue from what `save` wrote."""
        tensors = load_file(file)
        self.features, self.predictions, self.answered = tensors["features"], tensors["answers"], tensors["answered"]
