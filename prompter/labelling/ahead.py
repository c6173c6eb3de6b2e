"""Labelling with workers of Ray: the texts are known, so the next batches are answered while the loop commits."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from distill.common.encode import COUNTED
from distill.common.precision import compute_dtype, computing_as, dtype_name, resolve_device, use_dtype
from distill.teachers.prediction_cache import CachedTeacher
from prompter.cluster.answers import AnswersAhead, answered_by, facts_of, heard
from prompter.cluster.config import workers_settings
from prompter.cluster.opening import opened_pool
from prompter.cluster.pool import Pool
from prompter.exporting.folder import ExportProgress
from prompter.labelling.config import LabelConfig
from prompter.labelling.opening import opened_teacher
from prompter.runtime.console import Console

AHEAD = 4
"""Batches ahead of the loop for each worker."""


class LabelWork:
    """What a worker does; see `prompter.cluster.work.Work`.

    Args:
        config: Fields of the `LabelConfig`.
        dtype: Number format to compute in.

    Raises:
        InputError: The teacher cannot be loaded here.
    """

    def __init__(self, config: dict[str, Any], dtype: str) -> None:
        use_dtype(dtype)
        given = LabelConfig(**config | {"dtype": dtype})
        self.notes: list[str] = []
        with heard(self.notes), computing_as(given):
            self._teacher = opened_teacher(given, self.notes.append)
        device = resolve_device(given.device)
        computes = f"{device.type} ({str(compute_dtype(device)).removeprefix('torch.')})"
        self.facts = {"device": computes} | facts_of(self._teacher)

    def answer(self, texts: list[str], text_pairs: list[str] | None) -> np.ndarray:
        """Return the teacher's answers to N texts, in float32."""
        return answered_by(self._teacher, texts, text_pairs)

    def cut_share(self, texts: list[str], text_pairs: list[str] | None) -> float:
        """Return the share of texts that are longer than what the teacher reads."""
        return self._teacher.local.cut_share(texts, text_pairs) if self._teacher.local is not None else 0.0


class TextsAhead:
    """Answers to the next texts.

    Args:
        pool: Workers with a `LabelWork`.
        config: What to label.
        texts: All texts.
        answers: Answers that the workers give.
        text_pairs: All second texts, or None.
    """

    def __init__(
        self,
        pool: Pool,
        config: LabelConfig,
        texts: Sequence[str],
        answers: AnswersAhead,
        text_pairs: Sequence[str] | None = None,
    ) -> None:
        self._pool, self._config, self._texts, self._answers = pool, config, texts, answers
        self._pairs = text_pairs

    def at(self, progress: ExportProgress) -> None:
        """Let workers answer the next batch and those after it."""
        self._answers.at(progress.batches)
        size = self._config.batch_size
        for ahead in range(1 + AHEAD * self._pool.workers):
            first, number = progress.rows + ahead * size, progress.batches + ahead
            if first < len(self._texts) and not self._answers.begun(number):
                part = slice(first, first + size)
                self._answers.begin(number, list(self._texts[part]), None if self._pairs is None else list(self._pairs[part]))

    def cut_share(self) -> float:
        """Let a worker look at some of the texts, and return the share that is longer than what the teacher reads."""
        some = slice(None, None, max(1, len(self._texts) // COUNTED))  # those that one process looks at
        pairs = None if self._pairs is None else list(self._pairs[some])
        share: float = self._pool.wait(self._pool.submit("cut_share", list(self._texts[some]), pairs))
        return share


@contextlib.contextmanager
def label_workers(
    config: LabelConfig, texts: Sequence[str], text_pairs: Sequence[str] | None, console: Console
) -> Iterator[tuple[CachedTeacher, TextsAhead]]:
    """Start workers, and yield what stands for the teacher, and what has its answers ready.

    Raises:
        InputError: See `opened_pool`.
    """
    plain = workers_settings(config) | {"budget_money": 0.0}
    make = __name__, LabelWork.__name__
    with opened_pool(config, config.device, make, (plain, dtype_name()), console.say) as pool:
        answers = AnswersAhead(pool, config.teacher_cache, console.say)
        pairs = text_pairs if answers.teacher.pairs else None
        yield answers.teacher, TextsAhead(pool, config, texts, answers, pairs)
