"""From texts to rewards: teacher and student answer each text once, and the terms of the reward are summed up.

The student is trained on the same predictions later, so the teacher is never asked twice about a text. Beside the built-in
terms, a user may give reward functions of their own.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from distill.batch import SyntheticBatch
from distill.common.errors import InputError
from distill.held_out import decided
from distill.processes.group import ALONE, Processes
from distill.student import Student
from distill.teachers.functions.importing import sources
from distill.teachers.prediction_cache import CachedTeacher
from prompter.rl.config import MOST_WEIGHT, TERMS, RewardConfig
from prompter.rl.rewards import NoveltyWindow, weighted_sum
from prompter.runtime.clock import Clock

RewardFunction = Callable[..., Any]
"""A user's term of the reward, in TRL's manner. It is called with keyword arguments only, all about the same N texts:

- `texts`: N strings;
- `topics`: N strings, the opening of each text;
- `targets`: (N,) int64, the target class of each text, -1 for none;
- `teacher_log_probs`: (N, K) float32, NaN in a row without a usable prediction; for a teacher of several labels log-odds, for
  one of scores the values (N, 1), for one of tags (N, W, K) for each word, with zeros where a text has no word;
- `student_log_probs`: the same of the student;
- for a teacher of pairs also `text_pairs`: N strings, the second texts.

It returns N finite numbers, as a list or a tensor. The built-in terms lie in [0, 1]; larger numbers outweigh them."""


@dataclass(frozen=True)
class ScoredRollout:
    """Texts with their rewards.

    Attributes:
        topics: The T topics of the rollout.
        topic_rewards: (T,) mean reward over the texts of each topic; NaN if it has no text with a usable prediction.
        batch: All N texts in order, with the teacher's predictions; a row is NaN if the prediction is unusable.
        student_answers: (N, C) the student's answers at that moment.
        terms: Each term of the reward by name, (N,); the built-in ones in [0, 1].
        reward: (N,) weighted sum; NaN if the teacher's prediction is unusable.
    """

    topics: list[str]
    topic_rewards: Tensor
    batch: SyntheticBatch
    student_answers: Tensor
    terms: dict[str, Tensor]
    reward: Tensor

    def metrics(self) -> dict[str, float | None]:
        """Return means over the usable texts for the log: reward, its terms, and how teacher and student answered.

        A mean is None where no text is usable.
        """
        usable = torch.isfinite(self.reward)
        kind, teacher, student = self.batch.kind, self.batch.teacher_logits[usable], self.student_answers[usable]
        row = {"reward": self.reward[usable].mean()}
        row |= {f"reward/{name}": values[usable].mean() for name, values in self.terms.items()}
        row["confidence"] = kind.probabilities(teacher).max(1).values.mean()
        row["wanted_share"] = (kind.group(teacher) == self.batch.targets[usable]).float().mean()
        same, decisions, _ = decided(kind, teacher, student)
        row["agreement"] = torch.tensor(same / max(1, sum(decisions)) if usable.any() else math.nan)
        metrics = {name: round(float(value), 6) if value.isfinite() else None for name, value in row.items()}
        if "novelty" in self.terms:
            metrics["distinct_topics"] = round(len(set(self.topics)) / len(self.topics), 6)
        return metrics


class Scorer:
    """Computes the reward of texts; it holds teacher, student and the recent topics.

    Args:
        teacher: Answers texts and counts the queries.
        student: The student that is being trained.
        config: Weights of the built-in terms.
        clock: Counts the seconds.
        reward_funcs: Further terms, see `RewardFunction`.
        reward_weights: Weight of each further term; all 1 if None.
        processes: Those that score texts together, all of them the same texts.
        openings: Whether texts begin with topics of a policy; without, there is no term `novelty`.

    Attributes:
        weights: Weight of every term by name.
        own_weights: Those of the further terms.
        sources: For each further term, what tells the files of its function from others.
        window: The recent topics, for the novelty term.

    Raises:
        InputError: All weights are 0, they do not fit the functions, or two terms have the same name.
    """

    def __init__(
        self,
        teacher: CachedTeacher,
        student: Student,
        config: RewardConfig,
        clock: Clock,
        reward_funcs: Sequence[RewardFunction] = (),
        reward_weights: Sequence[float] | None = None,
        processes: Processes = ALONE,
        openings: bool = True,
    ) -> None:
        self.processes, self.openings = processes, openings
        self.teacher, self.student, self.clock = teacher, student, clock
        self.kind = teacher.kind
        self.functions = _named(reward_funcs)
        self.sources = {name: sources(function) for name, function in self.functions.items()}
        self.own_weights = _checked_weights(reward_weights, list(self.functions))
        self.weights = {term: getattr(config, f"reward_{term}") for term in TERMS} | self.own_weights
        if not any(self.weights.values()):
            names = ", ".join(f"reward_{term}" for term in TERMS)
            raise InputError(f"all reward weights are 0: give at least one of {names} a value above 0")
        self.window = NoveltyWindow(config.novelty_ngram, config.novelty_window)

    def __call__(
        self,
        topics: list[str],
        targets: Tensor,
        texts: list[str],
        topic_of: Tensor,
        source: str,
        text_pairs: list[str] | None = None,
    ) -> ScoredRollout:
        """Score the texts of a rollout.

        Args:
            topics: T openings.
            targets: (T,) target class of each opening, -1 for none.
            texts: N texts, as teacher and student read them.
            topic_of: (N,) index of the topic of each text.
            source: Name of the method that wrote the texts.
            text_pairs: N second texts, for a teacher of pairs.

        Raises:
            InputError: The teacher cannot answer, or a reward function returns something else than N finite numbers.
        """
        columns = (texts,) if text_pairs is None else (texts, text_pairs)
        with self.clock("teacher"):
            teacher_answers = self.teacher(*columns)
        with self.clock("student answers"):
            student_answers = self.processes.share(self.student.answers, *columns)
        of_text = [topics[i] for i in topic_of.tolist()]
        batch = SyntheticBatch(texts, teacher_answers, targets[topic_of], of_text, source, text_pairs, kind=self.kind)
        terms = {
            "confidence": self.kind.confidence(teacher_answers, batch.targets),
            "certainty": self.kind.certainty(teacher_answers),
            "disagreement": self.kind.disagreement(teacher_answers, student_answers),
        }
        if self.openings:
            terms["novelty"] = self.window.score(topics)[topic_of]
        terms |= self.processes.from_first(lambda: self._own_terms(batch, student_answers)) if self.functions else {}
        reward = torch.where(batch.usable, weighted_sum(terms, self.weights), torch.nan)
        usable = torch.isfinite(reward)
        sums = torch.zeros(len(topics)).index_add_(0, topic_of[usable], reward[usable])
        topic_rewards = sums / torch.bincount(topic_of[usable], minlength=len(topics))  # 0 / 0 is NaN
        return ScoredRollout(topics, topic_rewards, batch, student_answers, terms, reward)

    def _own_terms(self, batch: SyntheticBatch, student_answers: Tensor) -> dict[str, Tensor]:
        """Call the user's reward functions."""
        with self.clock("own rewards"):
            return {
                name: _checked_rewards(
                    name,
                    function(
                        texts=list(batch.texts),
                        topics=list(batch.topics),
                        targets=batch.targets.clone(),
                        teacher_log_probs=batch.teacher_logits.clone(),
                        student_log_probs=student_answers.clone(),
                        **({} if batch.text_pairs is None else {"text_pairs": list(batch.text_pairs)}),
                    ),
                    batch.usable,
                )
                for name, function in self.functions.items()
            }


def own_terms(
    functions: RewardFunction | Sequence[RewardFunction], weights: float | Sequence[float] | None
) -> tuple[list[RewardFunction], list[float] | None]:
    """Return the user's functions and their weights as lists; one alone may stand without a list, as TRL takes it.

    Raises:
        InputError: There is something else than functions, or than numbers.

    Examples:
        >>> own_terms(len, 0.5)
        ([<built-in function len>], [0.5])
    """
    if callable(functions):
        functions = [functions]
    if not isinstance(functions, Sequence) or not all(map(callable, functions)):
        raise InputError(f"reward_funcs is {functions!r}, expected a function or a list of functions")
    if weights is None:
        return list(functions), None
    try:
        numbers = [float(weight) for weight in (weights if isinstance(weights, Iterable) else [weights])]
    except (TypeError, ValueError) as error:
        raise InputError(f"reward_weights is {weights!r}, expected one number for each of the reward_funcs") from error
    return list(functions), numbers


def _named(functions: Sequence[RewardFunction]) -> dict[str, RewardFunction]:
    """Return the functions by name.

    Raises:
        InputError: Two terms of the reward have the same name.
    """
    named: dict[str, RewardFunction] = {}
    for function in functions:
        name = getattr(function, "__name__", type(function).__name__)
        if name in named or name in TERMS:
            raise InputError(
                f"reward_funcs: two terms of the reward are called '{name}': give the function another name (its __name__)"
            )
        named[name] = function
    return named


def _checked_weights(weights: Sequence[float] | None, names: list[str]) -> dict[str, float]:
    """Return the weight of each of the user's functions.

    Raises:
        InputError: There are more or fewer weights than functions, or one is further from 0 than `MOST_WEIGHT`.
    """
    given = [1.0] * len(names) if weights is None else list(weights)
    if len(given) != len(names):
        raise InputError(f"reward_weights: {len(given)} weights for {len(names)} reward_funcs: give one for each function")
    for name, weight in zip(names, given, strict=True):
        if not abs(weight) <= MOST_WEIGHT:  # so that NaN is refused, too
            raise InputError(
                f"reward_weights: the weight of '{name}' is {weight}, "
                f"expected a number from {-MOST_WEIGHT:g} to {MOST_WEIGHT:g}"
            )
    return dict(zip(names, given, strict=True))


def _checked_rewards(name: str, values: Any, usable: Tensor) -> Tensor:
    """Return what a user's function gave as a tensor (N,).

    Raises:
        InputError: It is not N numbers, or not finite for a text with a usable prediction.
    """
    count = len(usable)
    try:
        rewards = torch.as_tensor(values, dtype=torch.float32, device="cpu").detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"reward_funcs: '{name}' returned no list of numbers ({error}): return {count} numbers") from error
    if rewards.shape != (count,):
        given = len(rewards) if rewards.ndim == 1 else f"shape {tuple(rewards.shape)}"
        raise InputError(f"reward_funcs: '{name}' returned {given} for {count} texts: return one number for each text")
    wrong = usable & ~torch.isfinite(rewards)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise InputError(
            f"reward_funcs: '{name}' returned {float(rewards[row])} for text {row}: return a finite number for each text"
        )
    return rewards
