"""A teacher that several processes ask together, with one cache and one count of queries.

Only the first process has the file of stored answers, so one program at a time uses it, and it need not lie on a disk that all
machines share. Every process knows all texts of a call. The first one looks up which of them are stored; the others are asked
once each, every process a part of them. A service is asked by the first process alone: it answers many requests at once
anyway, and its pace and price are kept in one place.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distill.kinds.rows import finite, of_each
from distill.processes.group import Processes
from distill.teachers.loading import AnyTeacher
from distill.teachers.prediction_cache import CachedTeacher
from distill.teachers.services.service import Service


class SharedTeacher(CachedTeacher):
    """A `CachedTeacher` whose calls are made by all processes at once, with the same texts.

    Args:
        teacher: The teacher of this process.
        file: The database, which the first process opens.
        notice: See `CachedTeacher`.
        processes: The processes that ask.
    """

    def __init__(
        self, teacher: AnyTeacher, file: str | Path | None, notice: Callable[[str], None], processes: Processes
    ) -> None:
        self.processes = processes
        super().__init__(teacher, file if processes.first else None, notice)

    def _keeps_answers(self) -> bool:
        return self.processes.from_first(super()._keeps_answers)

    def _look_up(self, keys: list[bytes]) -> dict[bytes, np.ndarray]:
        return self.processes.from_first(lambda: super(SharedTeacher, self)._look_up(keys))

    def _ask(self, texts: Sequence[str], text_pairs: Sequence[str] | None) -> Tensor:
        queries, invalid = self.queries, self.invalid
        columns = (texts,) if text_pairs is None else (texts, text_pairs)
        if isinstance(self.teacher, Service):
            answers = self.processes.from_first(lambda: self.teacher(*columns))
        else:
            answers = self.processes.share(self.teacher, *columns)
        self._count(queries, invalid, answers)
        return answers

    def _answers(self, keys: list[bytes], texts: list[str], text_pairs: list[str] | None) -> dict[bytes, np.ndarray]:
        if not isinstance(self.teacher, Service):
            fresh = dict(zip(keys, of_each(self._ask(texts, text_pairs)), strict=True))
            return self.processes.from_first(lambda: self._keep(fresh))
        queries, invalid = self.queries, self.invalid
        found = self.processes.from_first(lambda: super(SharedTeacher, self)._answers(keys, texts, text_pairs))
        self._count(queries, invalid, torch.from_numpy(np.stack([found[key] for key in keys])))
        return found

    def _count(self, queries: int, invalid: int, answers: Tensor) -> None:
        """Let the counters of every process grow by all answers, whichever process has asked."""
        self.queries = queries + len(answers)
        self.invalid = invalid + int((~finite(answers)).sum())
