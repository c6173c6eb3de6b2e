"""The interface of a kind of classifier.

Teacher and student answer N texts with a tensor of *answers*, float32 on the CPU. What its numbers mean is the kind's
business: log-probabilities of classes, log-odds of labels, or a value. Everything else (replay, rewards, health, balance) asks
the kind, and so works for all of them.

A text can be asked for one of G *targets*: a class, a label, or a step of a range of values. An answer belongs to one target,
its *group*, so that texts can be balanced over what was answered.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from torch import Tensor


class Kind(Protocol):
    """What kind of classifier teacher and student are.

    Attributes:
        name: As `--kind` takes it.
        texts: Texts that one answer is about: 1, or 2 for pairs.
        fewest: Fewest numbers in an answer.
        of_words: Whether each word of a text has an answer. Then a tensor of answers is (N, W, C), with a row of zeros where
            there is no word; see `distill.kinds.words` for what a word is.
        several: Whether an answer gives any number of targets, none too.
        problem_type: As the configuration of a Hugging Face model names the kind; None where it need not.
        task: What the hub and `pipeline` of transformers call the kind.
        noun: What people call a target.
        start: What an untrained student shall answer, as a raw output; 0 is the middle of probabilities.
        columns: Columns of a dataset that hold an answer.
        stored_in: The one of them that `restored` reads answers from again.
        sureness: What the column `confidence` holds, for the cards of datasets; "" where there is none.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 (an attribute)

    @property
    def texts(self) -> int: ...  # noqa: D102

    @property
    def fewest(self) -> int: ...  # noqa: D102

    @property
    def of_words(self) -> bool: ...  # noqa: D102

    @property
    def several(self) -> bool: ...  # noqa: D102

    @property
    def problem_type(self) -> str | None: ...  # noqa: D102

    @property
    def task(self) -> str: ...  # noqa: D102

    @property
    def start(self) -> float: ...  # noqa: D102

    @property
    def noun(self) -> str: ...  # noqa: D102

    @property
    def columns(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def stored_in(self) -> str: ...  # noqa: D102

    @property
    def sureness(self) -> str: ...  # noqa: D102

    def targets(self, labels: Sequence[str]) -> list[str]:
        """Return the names of the G targets."""
        ...

    def named_by(self, targets: Sequence[str]) -> list[str]:
        """Return names of the numbers of an answer, where files give those of the targets."""
        ...

    def groups(self, columns: int) -> int:
        """Return the number G of targets where an answer has `columns` numbers."""
        ...

    def answers(self, outputs: Tensor) -> Tensor:
        """Return the answers (N, C) that a model's raw outputs (N, C) stand for."""
        ...

    def read(self, values: np.ndarray) -> tuple[Tensor, str]:
        """Return the answers (N, C) of what a black box said, (N, C) float64, and what was wrong with unusable rows.

        An unusable row is a row of NaN.
        """
        ...

    def doubts(self, answers: Tensor) -> tuple[int, int]:
        """Return how many of usable answers (N, C) look like those of another kind, and how many tell the kinds apart."""
        ...

    def fault(self, odd: int, telling: int, answers: Tensor) -> str:
        """Return what shows that answers are those of another kind, with the remedy; "" for nothing.

        Args:
            odd: The first figure of `doubts`, over all answers of a run so far.
            telling: The second.
            answers: (N, C) the newest of these answers, for the message.
        """
        ...

    def probabilities(self, answers: Tensor) -> Tensor:
        """Return numbers in [0, 1] that tell answers apart, (N, C): probabilities, or the place in the range."""
        ...

    def shown(self, answers: Tensor) -> Tensor:
        """Return what files and people get, (N, C): probabilities, or values."""
        ...

    def cells(self, shown: Any, text: str = "") -> dict[str, Any]:
        """Return a dataset's `columns` for one answer, a row of what `shown` gives as lists; None for an unusable one.

        `text` is needed where words have answers.
        """
        ...

    def given(self, cells: Mapping[str, Any]) -> list[int]:
        """Return the targets that an answer in a dataset meets: those that it is counted for; none where it is unusable."""
        ...

    def said(self, cells: Mapping[str, Any], names: Sequence[str]) -> str:
        """Return a usable answer in a dataset in words, with the names of the targets."""
        ...

    def restored(self, values: Any) -> Tensor:
        """Return the answers of what the column `stored_in` holds, (N, C) float32, or lists of words' numbers."""
        ...

    def loss(self, outputs: Tensor, teacher: Tensor, temperature: float, hard_weight: float) -> Tensor:
        """Return the student's loss, a scalar >= 0.

        Args:
            outputs: (B, C) raw outputs of the student.
            teacher: (B, C) the teacher's answers, on the same device.
            temperature: Softens probabilities; > 0.
            hard_weight: Share in [0, 1] of the loss against the teacher's decisions alone.
        """
        ...

    def several_given(self, answers: Tensor) -> Tensor | None:
        """Return which targets each answer gives, (N, G) of 0 and 1, where it gives more than one; None where it gives one."""
        ...

    def group(self, answers: Tensor) -> Tensor:
        """Return the target that each answer belongs to, (N,) int64."""
        ...

    def belonging(self, answers: Tensor) -> Tensor:
        """Return how surely each answer belongs to each target, (N, G) in [0, 1]."""
        ...

    def confidence(self, answers: Tensor, targets: Tensor) -> Tensor:
        """Return how well each answer meets its target (N,) int64, -1 for none: (N,) in [0, 1], NaN for an unusable answer."""
        ...

    def certainty(self, answers: Tensor) -> Tensor:
        """Return how sure each answer is, of whatever: (N,) in [0, 1], NaN for an unusable answer."""
        ...

    def disagreement(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Return how far two answers are apart: (N,) in [0, 1], NaN for an unusable answer."""
        ...

    def divergence(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Return what the loss measures, without temperature, (N,) >= 0: nats, or squares of the range."""
        ...

    def target_loss(self, answers: Tensor, targets: Tensor) -> Tensor:
        """Return what a sample goes down, by its gradient, to reach its target (N,) int64 in 0..G-1: (N,) >= 0, 0 there."""
        ...

    def decisions(self, answers: Tensor) -> Tensor:
        """Return what the answers decide, (N, D) int64 in 0..O-1, -1 for no decision; agreement and kappa compare these."""
        ...

    def options(self, columns: int) -> int:
        """Return O, among how many options each decision chooses."""
        ...

    def choices(self, answers: Tensor) -> Tensor | None:
        """Return log-probabilities of the options of each decision, (N, D, O); None where they say not how sure they are."""
        ...

    def outcomes(self, answers: Tensor) -> Tensor | None:
        """Return log-probabilities of what is said of a text as a whole, (N, D, O), with gradients; None as `choices`."""
        ...

    def alike(self, first: Tensor, second: Tensor) -> Tensor:
        """Return whether answers are the same for whoever uses them, (N,) bool: a student's, and those of its program."""
        ...
