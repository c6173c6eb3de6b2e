"""The screen: write more texts than the teacher is asked about, and ask about those that promise most.

Teacher queries are what a run spends; texts are cheap. After the first rollout, what the teacher has answered so far is
enough to guess its answer to a new text from what the frozen writer makes of that text (its hidden states, a mean over
tokens): a ridge regression on a few hundred answers, fitted anew before each rollout. By these guesses the screen picks
the texts to ask about: as many for each class as that class lags behind an even share of all answers so far, and within a
class those that look most certainly like it. A class that the prompter finds late is no longer starved until then,
and fewer queries go to texts of which the teacher can make nothing. How a text will end is soon to be seen: with
`candidate_tokens` only the beginnings of all candidates are written, and the ends of those that were picked. Ours;
PromptDFD (arXiv 2205.07523) asks about every sample.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from prompter.rl.rewards import certainty

WINDOW = 4096
"""Newest answers that the guesses are learnt from: they bound the time of a fit and the size of a checkpoint."""

RIDGE = 1000.0
"""Weight of the ridge regression's penalty, on features of unit variance."""

REPEATED = 1e6
"""Taken from the score of a candidate that says the same as an earlier one."""


def quotas(answered: Tensor, count: int) -> list[int]:
    """How many texts of each class to ask about, so that the classes catch up with each other.

    Args:
        answered: (K,) texts the teacher has put into each class so far.
        count: How many texts to ask about.

    Returns:
        K whole numbers that add up to `count`, in proportion to what each class lacks of an even share.

    Examples:
        >>> quotas(torch.tensor([60, 20, 20]), 50)
        [0, 25, 25]
        >>> quotas(torch.tensor([0, 0]), 3)
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
    """What the teacher has answered so far, and guesses made from it.

    Args:
        classes: K.

    Attributes:
        features: (n, F) float32, what the writer made of the newest answered texts, n up to `WINDOW`.
        answers: (n, K) float32, the teacher's probabilities, each row times its certainty.
        answered: (K,) texts the teacher has put into each class so far.
    """

    def __init__(self, classes: int) -> None:
        self.features = torch.empty(0, 0)
        self.predictions = torch.empty(0, classes)
        self.answered = torch.zeros(classes, dtype=torch.int64)

    def learn(self, features: Tensor, log_probs: Tensor) -> None:
        """Remember answers.

        Args:
            features: (N, F) of the texts.
            log_probs: (N, K) the teacher's answers; rows that are not finite are left out.
        """
        usable = torch.isfinite(log_probs).all(dim=1)
        features, log_probs = features[usable], log_probs[usable]
        self.features = torch.cat([self.features.reshape(-1, features.shape[1]), features])[-WINDOW:]
        self.predictions = torch.cat([self.predictions, log_probs.exp() * certainty(log_probs)[:, None]])[-WINDOW:]
        self.answered += torch.bincount(log_probs.argmax(dim=1), minlength=len(self.answered))

    def guess(self, features: Tensor) -> Tensor:
        """Guess the teacher's answers to C texts, of which `features` (C, F) tell.

        Returns:
            (C, K) float64: for each class its probability times the certainty of the whole answer, as a linear model has
            it, not confined to [0, 1].
        """
        from sklearn.linear_model import Ridge  # takes a second or two, which the settings' readers need not wait

        mean, std = self.features.mean(dim=0), self.features.std(dim=0).clamp(min=1e-6)
        fitted = Ridge(alpha=RIDGE).fit(((self.features - mean) / std).double().numpy(), self.predictions.double().numpy())
        return torch.from_numpy(np.asarray(fitted.predict(((features - mean) / std).double().numpy())))

    def pick(self, features: Tensor, texts: list[str], count: int) -> list[int]:
        """Which of C candidates to ask about; before any answer, the first ones.

        Args:
            features: (C, F) of the candidates.
            texts: The candidates; none is picked twice in the same words as long as there are others.
            count: How many, at most C.

        Returns:
            `count` distinct indices, in rising order.
        """
        repeated: list[bool] = []
        seen: set[str] = set()
        for text in texts:
            repeated.append(text in seen)
            seen.add(text)
        if len(self.predictions) < 2:
            return sorted(sorted(range(len(texts)), key=lambda index: repeated[index])[:count])
        scores = self.guess(features)
        scores[torch.tensor(repeated)] -= REPEATED
        picked: list[int] = []
        wanted = quotas(self.answered, count)
        for k in sorted(range(len(wanted)), key=lambda k: -wanted[k]):
            best = scores[:, k].argsort(descending=True, stable=True)[: wanted[k]]
            picked += best.tolist()
            scores[best] = -torch.inf
        return sorted(picked)

    def save(self, file: Path) -> None:
        """Write all that is remembered."""
        tensors = {"features": self.features, "answers": self.predictions, "answered": self.answered}
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)

    def load(self, file: Path) -> None:
        """Bring back what `save` wrote."""
        tensors = load_file(file)
        self.features, self.predictions, self.answered = tensors["features"], tensors["answers"], tensors["answered"]
