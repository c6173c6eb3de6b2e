"""A tag for each word of a text: named entities, parts of speech and the like.

Answers are log-probabilities (N, W, K) of the words of each text, see `distill.kinds.words`. A row of zeros stands where there
is no word, or where the model does not read that far: log-probabilities of two tags or more cannot all be 0. Raw outputs of a
model have a row of -inf there, see `distill.kinds.word_table`.

What is said of a text as a whole follows from its entities. All formulas are ours.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.kinds.classes import jensen_shannon
from distill.kinds.names import NO_ENTITY, OUTSIDE, begins, placed_tags
from distill.kinds.reading import SMALLEST_PROBABILITY, log_probabilities
from distill.kinds.rows import even, stacked
from distill.kinds.words import words_of
from distill.losses import hard_label_loss, kd_loss

SURE = 1e-6
"""Least probability of what is said of a text as a whole, so that its logarithm is finite."""


@dataclass(frozen=True)
class Tokens:
    """A tag for each word; see `distill.kinds.kind.Kind` for what the methods return.

    A text is asked for a type of entity, or for none. G is the number of types and one more; without a tag `O`, as parts of
    speech have none, each word has a type, and G is the number of types.

    Attributes:
        tags: The K names of the tags, in the order of the model's outputs, see `distill.kinds.names.fault_of_tags`.
    """

    tags: tuple[str, ...] = ()
    name: str = "tokens"
    texts: int = 1
    fewest: int = 2
    of_words: bool = True
    several: bool = False
    problem_type: str = "token_classification"
    start: float = 0.0
    task: str = "token-classification"
    noun: str = "type"
    columns: tuple[str, ...] = ("tokens", "tags", "tag_probs", "starts", "ends", "confidence")
    stored_in: str = "tag_probs"
    sureness: str = "mean over the words of the probability of each word's likeliest tag"

    @cached_property
    def types(self) -> list[str]:
        """The types of entities, in the order of their first tags."""
        return list(dict.fromkeys(tag[2:] for tag in self._placed if tag != OUTSIDE))

    @cached_property
    def _placed(self) -> list[str]:
        return placed_tags(self.tags)

    @cached_property
    def _membership(self) -> Tensor:
        """Which tags stand for which type, and last which for no entity, (K, types + 1) of 0 and 1."""
        member = torch.zeros(len(self.tags), len(self.types) + 1)
        for column, tag in enumerate(self._placed):
            member[column, -1 if tag == OUTSIDE else self.types.index(tag[2:])] = 1.0
        return member

    def targets(self, labels: Sequence[str]) -> list[str]:
        """Return the types of entities, and `no entity` where there is a tag for that."""
        kind = Tokens(tuple(labels))
        return [*kind.types, NO_ENTITY][: kind.groups(len(labels))]

    def named_by(self, targets: Sequence[str]) -> list[str]:
        """Return the tags."""
        return list(self.tags)

    def groups(self, columns: int) -> int:
        """Return G."""
        return len(self.types) + (OUTSIDE in self.tags)

    def answers(self, outputs: Tensor) -> Tensor:
        """Return the log-probabilities of each word's tags."""
        outputs = outputs.float()
        absent = torch.isneginf(outputs).all(dim=-1, keepdim=True)
        return outputs.masked_fill(absent, 0.0).log_softmax(dim=-1).masked_fill(absent, 0.0)

    def read(self, values: np.ndarray) -> tuple[Tensor, str]:
        """Read (N, W, K) probabilities, each row of sum 1; rows of zeros stand for no word."""
        given = ~(values == 0).all(axis=2)
        rows, problem = log_probabilities(values[given])
        answers = torch.zeros(values.shape)
        answers[torch.from_numpy(given)] = rows
        return answers, problem

    def doubts(self, answers: Tensor) -> tuple[int, int]:
        """Return nothing."""
        return 0, 0

    def fault(self, odd: int, telling: int, answers: Tensor) -> str:
        """Return nothing."""
        return ""

    def probabilities(self, answers: Tensor) -> Tensor:
        """Return how surely each target is met, (N, G): the likeliest word of each type, and no entity in any word."""
        words = answered(answers)[:, :, None]
        by_word = torch.where(words, answers.exp() @ self._membership.to(answers), 0.0)
        highest = by_word[:, :, :-1].amax(dim=1)
        none = torch.where(words[:, :, 0], by_word[:, :, -1], 1.0).amin(dim=1) * words.any(dim=1)[:, 0]
        unusable = answers.isnan().flatten(1).any(dim=1)
        met = torch.cat([highest, none[:, None]], dim=1)[:, : self.groups(len(self.tags))]
        return met.clamp(0.0, 1.0).masked_fill(unusable[:, None], math.nan)

    def shown(self, answers: Tensor) -> Tensor:
        """Return the probabilities of each word's tags, (N, W, K); zeros where there is no word."""
        return torch.where(answered(answers)[:, :, None] | answers.isnan(), answers.exp(), 0.0)

    def cells(self, shown: Sequence[Sequence[float]] | None, text: str = "") -> dict[str, Any]:
        """Return the words, their likeliest tags (-1 for a word without an answer), probabilities, and where the words are.

        The words end with the last one that has an answer. The confidence is the mean probability of the tags.

        Examples:
            >>> Tokens(("O", "B-a")).cells([[0.25, 0.75], [0.0, 0.0]], "Ann sang")["tags"]
            [1]
        """
        if shown is None:
            return dict.fromkeys(self.columns)
        tags = [max(range(len(row)), key=row.__getitem__) if any(row) else -1 for row in shown]
        while tags and tags[-1] < 0:
            tags.pop()
        spans, sure = words_of(text)[: len(tags)], [max(row) for row in shown if any(row)]
        return {
            "tokens": [text[start:end] for start, end in spans],
            "tags": tags,
            "tag_probs": [list(row) for row in shown[: len(tags)]],
            "starts": [start for start, _ in spans],
            "ends": [end for _, end in spans],
            "confidence": sum(sure) / max(1, len(sure)),
        }

    def given(self, cells: Mapping[str, Any]) -> list[int]:
        """Return the types of the tagged words, or no entity; nothing where no word has an answer and each has a type."""
        if cells["tags"] is None:
            return []
        member = self._membership.argmax(dim=1).tolist()
        types = sorted({member[tag] for tag in cells["tags"] if tag >= 0 and self.tags[tag] != OUTSIDE})
        return types or [len(self.types)] * (OUTSIDE in self.tags)

    def said(self, cells: Mapping[str, Any], names: Sequence[str]) -> str:
        """Return the entities with their types."""
        found: list[list[str]] = []
        before = OUTSIDE
        for word, number in zip(cells["tokens"], cells["tags"], strict=True):
            tag = self._placed[number] if number >= 0 else OUTSIDE
            if tag != OUTSIDE and begins(before, tag):
                found.append([tag[2:], word])
            elif tag != OUTSIDE:
                found[-1].append(word)
            before = tag
        return ", ".join(f"{' '.join(words)}: {kind}" for kind, *words in found) or NO_ENTITY

    def restored(self, values: Sequence[Sequence[Sequence[float]]]) -> Tensor:
        """Return the log-probabilities of rounded probabilities, rows of words of N texts."""
        rows = stacked([np.asarray(row, np.float32).reshape(-1, len(self.tags)) for row in values])
        given = rows.any(dim=-1, keepdim=True)
        return torch.where(given, rows.clamp_min(SMALLEST_PROBABILITY).log().log_softmax(dim=-1), 0.0)

    def loss(self, outputs: Tensor, teacher: Tensor, temperature: float, hard_weight: float) -> Tensor:
        """Return Hinton's loss of one class, averaged over the words that teacher and student both answer."""
        outputs, teacher = even(outputs, teacher, fill=-math.inf)
        both = answered(teacher) & ~torch.isneginf(outputs).all(dim=-1)
        student, taught = outputs[both], teacher[both]
        if not len(student):
            return student.sum()  # 0, with a gradient of 0
        loss = kd_loss(student, taught, temperature)
        return torch.lerp(loss, hard_label_loss(student, taught), hard_weight) if hard_weight else loss

    def several_given(self, answers: Tensor) -> Tensor | None:
        """Return the types of each text's words, where each word has one."""
        return None if OUTSIDE in self.tags else (self._counts(*self._types(answers)) > 0).long()

    def group(self, answers: Tensor) -> Tensor:
        """Return the type of the surest word that is tagged as an entity, or the last target where there is none.

        Where each word has a type, it is the one that the fewest words of the text have, and of several the nearest to the
        middle. The surest ones would nearly all be of the type that is easiest to tell. A sample of the words would nearly all
        be of one type where most words are, as with marks of punctuation, and never of one that only ends a text.
        """
        if OUTSIDE not in self.tags:
            words, types = self._types(answers)
            fewest = self._counts(words, types).gather(1, types)
            middle = (words.sum(dim=1, keepdim=True) + 1) // 2
            order = fewest * words.shape[1] + (words.cumsum(dim=1) - middle).abs()  # the second is below the number of words
            return types.gather(1, order.masked_fill(~words, math.inf).argmin(dim=1, keepdim=True)).squeeze(1)
        member = self._membership.to(answers)
        by_word = answers.exp() @ member
        tagged = answered(answers) & (member[answers.nan_to_num(nan=0.0).argmax(dim=-1), -1] == 0)
        surest = torch.where(tagged[:, :, None], by_word[:, :, :-1], -1.0).amax(dim=1)
        return torch.where(tagged.any(dim=1), surest.argmax(dim=1), len(self.types))

    def belonging(self, answers: Tensor) -> Tensor:
        """Return how surely each target is met."""
        return self.probabilities(answers)

    def confidence(self, answers: Tensor, targets: Tensor) -> Tensor:
        """Return how sure the teacher is that the type occurs: `1 + log p / log G` of its likeliest word, cut off at 0.

        For no entity, p is that of the least sure word to be outside of entities. Without a target it is the certainty.

        Examples:
            >>> sure = torch.tensor([[[0.01, 0.98, 0.01], [0.98, 0.01, 0.01]]]).log()
            >>> kind = Tokens(("O", "B-person", "I-person"))
            >>> kind.confidence(sure.repeat(2, 1, 1), torch.tensor([0, 1])).tolist()  # doctest: +ELLIPSIS
            [0.98..., 0.0]
        """
        met = self.probabilities(answers)
        asked = met.gather(1, targets.clamp(min=0)[:, None]).squeeze(1)
        for_target = 1.0 + asked.clamp(min=1e-9).log() / math.log(met.shape[1])
        return torch.where(targets >= 0, for_target, self.certainty(answers)).clamp(0.0, 1.0)

    def certainty(self, answers: Tensor) -> Tensor:
        """Return `1 - 2 ** -n`, where n is how many types the teacher expects: the sum of the surenesses of all types. Ours.

        One sure type earns a half, and each further one half of what is left: a tagger has most to say where several meet.
        """
        types = self.probabilities(answers)[:, : len(self.types)]
        return 1.0 - torch.exp2(-types.sum(dim=1))

    def disagreement(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Return the mean Jensen-Shannon divergence of words, over log 2, weighted by either's entities."""
        teacher, student = even(teacher, student)
        apart = jensen_shannon(teacher.double().exp(), student.double().exp()).float()
        weights = torch.maximum(self._weights(teacher), self._weights(student))
        return self._mean(apart, weights * (answered(teacher) & answered(student))).clamp(0.0, 1.0)

    def divergence(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Return `KL(p_T || p_S)` in nats, averaged over the words of each text."""
        teacher, student = even(teacher, student)
        apart = (teacher.exp() * (teacher - student)).sum(dim=-1)
        return self._mean(apart, (answered(teacher) & answered(student)).float())

    def target_loss(self, answers: Tensor, targets: Tensor) -> Tensor:
        """Return how unlikely the target is, `-log` of what `probabilities` says of it."""
        return -self.probabilities(answers).gather(1, targets[:, None]).squeeze(1).clamp(min=1e-9).log()

    def decisions(self, answers: Tensor) -> Tensor:
        """Return the tag of each word, (N, W); -1 where there is none."""
        return torch.where(answered(answers), answers.nan_to_num(nan=0.0).argmax(dim=-1), -1)

    def options(self, columns: int) -> int:
        """Return K."""
        return columns

    def choices(self, answers: Tensor) -> None:
        """Return nothing: a threshold for a whole text would be about its least sure word, which is mostly a trifle."""
        return None

    def outcomes(self, answers: Tensor) -> Tensor:
        """Return the log-probabilities of no and yes for each type: whether the text holds one, by its likeliest word."""
        occurs = self.probabilities(answers)[:, : len(self.types)].clamp(SURE, 1 - SURE)
        return torch.stack([(1 - occurs).log(), occurs.log()], dim=-1)

    def alike(self, first: Tensor, second: Tensor) -> Tensor:
        """Return whether all words have the same tags."""
        first, second = even(first, second)
        return (self.decisions(first) == self.decisions(second)).all(dim=1)

    def _types(self, answers: Tensor) -> tuple[Tensor, Tensor]:
        """Return which words have an answer, and the likeliest type of each, (N, W)."""
        by_word = answers.exp() @ self._membership[:, :-1].to(answers)
        return answered(answers), by_word.nan_to_num(nan=0.0).argmax(dim=2)

    def _counts(self, words: Tensor, types: Tensor) -> Tensor:
        """Return how many words of each text have each type, (N, types)."""
        return torch.zeros(len(words), len(self.types)).scatter_add(1, types, words.float())

    def _weights(self, answers: Tensor) -> Tensor:
        """Return the weight of each word: the probability of an entity and an equal share, (N, W); 0 where there is none."""
        words = answered(answers)
        entity = 1.0 - (answers.exp() @ self._membership[:, -1].to(answers))
        return torch.where(words, entity.nan_to_num(nan=0.0) + 1.0 / words.sum(dim=1, keepdim=True).clamp(min=1), 0.0)

    def _mean(self, values: Tensor, weights: Tensor) -> Tensor:
        """Return weighted means over words, (N,); NaN where the answer is unusable, 0 where there is no word."""
        total = weights.sum(dim=1)
        mean = torch.where(weights > 0, values * weights, 0.0).sum(dim=1) / total.clamp(min=1e-9)
        return mean.masked_fill(values.isnan().any(dim=1), math.nan)


def answered(answers: Tensor) -> Tensor:
    """Return which words have an answer, (N, W) bool; a word of NaN has one, which is unusable."""
    return (answers != 0).any(dim=-1)
