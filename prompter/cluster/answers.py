"""A teacher that workers ask, batch by batch, before the answers are needed.

Each batch is asked about the same texts, in the same order, as one process would ask: those that the cache does not hold and
that no batch before it holds. So the answers have the same bits, and no text is answered twice.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from distill.kinds.kind import Kind
from distill.teachers.loading import AnyTeacher, identity
from distill.teachers.prediction_cache import CachedTeacher, predictions_file
from distill.teachers.probabilities import count
from prompter.cluster.pool import Job, Pool
from prompter.runtime.console import LOGGER

URGENT = -1
"""Rank of the jobs that answer: they wait for nothing, and the next rows wait for them."""


class DistantTeacher:
    """A local model that others hold; see `distill.teachers.base.Teacher`.

    Args:
        kind: What its answers are.
        labels: The K class names.
        path: Its name.
        ask: Returns the answers to N texts, or to N texts and N second texts, in float32.
    """

    def __init__(
        self,
        kind: Kind,
        labels: list[str],
        path: str,
        ask: Callable[[Sequence[str], Sequence[str] | None], np.ndarray],
    ) -> None:
        self.kind = kind
        self.labels, self.path, self._ask = labels, path, ask
        self.queries = self.invalid = 0

    def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
        """Return the answers to N texts, float32 on the CPU, as `kind` shapes them; an unusable one is a row of NaN.

        Raises:
            InputError: Most answers are unusable, or the workers cannot answer.
        """
        return count(self, torch.from_numpy(self._ask(texts, text_pairs).copy()), "")


class AnswersAhead:
    """The answers of the next batches.

    Args:
        pool: Workers with a method `answer` that takes texts, and second texts or None, and returns the teacher's answers
            in float32. See `facts_of` for their facts.
        cache: Whether to keep the answers.
        notice: Gets one line for the user where the cache cannot be used.

    Attributes:
        teacher: What the loop asks. It must ask about the batches in their order, and call `at` before each.
    """

    def __init__(self, pool: Pool, cache: bool, notice: Callable[[str], None]) -> None:
        self._pool = pool
        self._begun: dict[int, tuple[list[tuple[str, str | None]], Job | None]] = {}  # by batch: what it asks
        self._now = 0
        facts = pool.facts
        file = predictions_file() if cache and facts["identity"] else None
        if cache and not facts["identity"]:
            notice("The teacher's answers are not kept: its files cannot be read. The run continues without a cache.")
        distant = DistantTeacher(facts["kind"], facts["labels"], facts["path"], self._ask)
        # Its identity is known, so the cache needs nothing of it but the interface of a teacher.
        self.teacher = CachedTeacher(cast(AnyTeacher, distant), file, notice, name=facts["identity"])
        self.teacher.weights = facts["weights"]  # the workers have looked at them: they must stay the same after a stop

    def at(self, number: int) -> None:
        """Go on to a batch; those before it are stored."""
        self._now = number
        for done in [known for known in self._begun if known < number]:
            del self._begun[done]

    def begun(self, number: int) -> bool:
        """Return whether the answers to a batch are on their way."""
        return number in self._begun

    def begin(self, number: int, texts: list[str], text_pairs: list[str] | None = None) -> None:
        """Let workers answer a batch of texts, or of pairs. The batches before it have begun."""
        coming = {key for asked, _ in self._begun.values() for key in asked} if self.teacher.keeps else set()
        keys = _keys(texts, text_pairs)
        asked = [keys[row] for row in self.teacher.unknown(texts, text_pairs) if keys[row] not in coming]
        self._begun[number] = asked, self._submit(asked, text_pairs is not None) if asked else None

    def _submit(self, asked: Sequence[tuple[str, str | None]], pairs: bool) -> Job:
        seconds = [second for _, second in asked] if pairs else None
        return self._pool.submit("answer", [text for text, _ in asked], seconds, rank=URGENT)

    def _ask(self, texts: Sequence[str], text_pairs: Sequence[str] | None) -> np.ndarray:
        """Return the answers to the texts of this batch that the cache lacks."""
        keys = _keys(texts, text_pairs)
        asked, job = self._begun.get(self._now, ([], None))
        if job is not None and keys == asked:
            answers: np.ndarray = self._pool.wait(job)
            return answers
        # The cache holds more or fewer answers than when the batch began: another process stores some too, or an earlier
        # answer to the same text was unusable. The bits are those of one process only if the same texts are asked together.
        again: np.ndarray = self._pool.wait(self._submit(keys, text_pairs is not None))
        return again


def _keys(texts: Sequence[str], text_pairs: Sequence[str] | None) -> list[tuple[str, str | None]]:
    seconds: Sequence[str | None] = text_pairs or [None] * len(texts)
    return list(zip(texts, seconds, strict=True))


def facts_of(teacher: CachedTeacher) -> dict[str, Any]:
    """Return what workers say of their teacher.

    These are `kind`, `labels`, `path`, `identity`, "" if it cannot be known, and `weights`; see `CachedTeacher.weights`.
    """
    try:
        known = identity(teacher.teacher)
    except (ValueError, OSError):  # the hub raises a ValueError for a folder that is gone
        known = ""
    return {
        "kind": teacher.kind,
        "labels": teacher.labels,
        "path": teacher.path,
        "identity": known,
        "weights": teacher.weights,
    }


def answered_by(teacher: CachedTeacher, texts: list[str], text_pairs: list[str] | None = None) -> np.ndarray:
    """Return a worker's answers to N texts, in float32. It counts nothing: it sees a part of the rows only."""
    teacher.restore({"teacher_queries": 1 << 40})  # so the share of unusable answers is judged where all rows are seen
    return teacher(texts, text_pairs).numpy()


@contextlib.contextmanager
def heard(notes: list[str]) -> Iterator[None]:
    """Collect what is logged for the user while a worker loads."""

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            notes.append(record.getMessage())

    ear, level = Ear(), LOGGER.level
    LOGGER.addHandler(ear)
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOGGER.removeHandler(ear)
        LOGGER.setLevel(level)
