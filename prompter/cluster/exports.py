"""An export whose batches are written and answered by workers before the loop needs them.

The loop is that of one process: it commits batch after batch, and only it marks rows. A batch depends on the seed, its number
and its target classes, and these depend on the rows kept before. So a batch is written ahead where its size is certain,
whatever happens to the batches before it, for the classes that it will probably have. The teacher is asked about it only when
its classes are certain too. If they were not the right ones, because `balance` has filled a class, the batch is written
again. So some texts may be written in vain, but no answer is asked for in vain.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.common.errors import InputError
from distill.common.precision import compute_dtype, computing_as, dtype_name, resolve_device, use_dtype
from distill.teachers.prediction_cache import CachedTeacher
from prompter.cluster.answers import AnswersAhead, answered_by, facts_of, heard
from prompter.cluster.config import asked_here, workers_settings
from prompter.cluster.opening import opened_pool
from prompter.cluster.pool import Job, Pool
from prompter.exporting.config import NO_TEACHER, ExportConfig
from prompter.exporting.folder import ExportProgress
from prompter.exporting.opening import load_prompter, open_teacher_of
from prompter.exporting.planning import certain_targets
from prompter.generation.config import WriterConfig
from prompter.runtime.console import Console
from prompter.saved.manifest import fingerprint
from prompter.saved.prompter import PromptedTexts
from prompter.saved.rewriter import find_source

AHEAD = 4
"""Batches ahead of the loop for each worker: one that it writes, one that waits, and those whose turn has not come."""

Batch = tuple[list[str], list[str], list[int], np.ndarray, list[str] | None]
"""What a worker sends of a `PromptedTexts`."""


class ExportWork:
    """What a worker of an export does; see `prompter.cluster.work.Work`.

    Args:
        config: Fields of the `ExportConfig`.
        writer: Fields of the `WriterConfig`.
        dtype: Number format to compute in.

    Raises:
        InputError: A model cannot be loaded here.
    """

    def __init__(self, config: dict[str, Any], writer: dict[str, Any], dtype: str) -> None:
        use_dtype(dtype)
        given = ExportConfig(**config | {"dtype": dtype})
        source, manifest = find_source(given.run)
        self.notes: list[str] = []
        with heard(self.notes), computing_as(given):
            self._prompter = load_prompter(given, WriterConfig(**writer), source, manifest)
            self._teacher = None if asked_here(given.teacher) else open_teacher_of(given, manifest, self.notes.append)
        device = resolve_device(given.device)
        self.facts: dict[str, Any] = {
            "prompter": fingerprint(source),
            "device": f"{device.type} ({str(compute_dtype(device)).removeprefix('torch.')})",
        }
        if self._teacher is not None:
            self.facts |= facts_of(self._teacher)

    def write(self, targets: list[int], seed: int, counter: int) -> Batch:
        """Write a batch: texts, topics, target classes, mean log-probabilities and second texts; see `Prompter.write`."""
        batch = self._prompter.write(torch.tensor(targets), seed, counter)
        return batch.texts, batch.topics, batch.targets.tolist(), batch.lm_logprob.numpy(), batch.text_pairs

    def answer(self, texts: list[str], text_pairs: list[str] | None) -> np.ndarray:
        """Return the teacher's answers to N texts, in float32."""
        assert self._teacher is not None
        return answered_by(self._teacher, texts, text_pairs)


class WrittenAhead:
    """Stands for the prompter of an export: `write` returns what a worker has written.

    Args:
        pool: Workers with an `ExportWork`.
        config: What to write.
        manifest: Manifest of the prompter.
        answers: Answers that workers give, or None where this process asks.
    """

    def __init__(self, pool: Pool, config: ExportConfig, manifest: dict[str, Any], answers: AnswersAhead | None) -> None:
        self._pool, self._config, self._answers = pool, config, answers
        self.manifest, self.labels = manifest, manifest["labels"]
        self._written: dict[int, tuple[list[int], Job]] = {}  # by number: targets, and the job that writes
        self._progress: ExportProgress | None = None

    def follow(self, progress: ExportProgress) -> None:
        """Plan by this progress, which the loop changes."""
        self._progress = progress

    def write(self, targets: Tensor, seed: int, counter: int) -> PromptedTexts:
        """Return the batch that the loop needs now; see `Prompter.write`."""
        for number in [known for known in self._written if known < counter]:
            del self._written[number]
        if self._answers is not None:
            self._answers.at(counter)
        sure = self._plan(counter, seed)
        written, job = self._written[counter]
        assert written == targets.tolist()
        while True:
            self._answer(counter, sure)
            if job.done:
                break
            self._pool.advance()
        texts, topics, aims, logprob, pairs = job.value
        return PromptedTexts(texts, topics, torch.tensor(aims), torch.from_numpy(logprob.copy()), pairs)

    def _plan(self, counter: int, seed: int) -> int:
        """Let workers write this batch and those after it. Return the first batch whose classes are not certain."""
        assert self._progress is not None
        sure = counter
        ahead = islice(certain_targets(self._config, self._progress), 1 + AHEAD * self._pool.workers)
        for number, (targets, certain) in enumerate(ahead, counter):
            aims = targets.tolist()
            known = self._written.get(number)
            if known is None or known[0] != aims:
                if known is not None:
                    known[1].wanted = False
                self._written[number] = aims, self._pool.submit("write", aims, seed, number)
            if certain and sure == number:
                sure += 1
        return sure

    def _answer(self, counter: int, sure: int) -> None:
        """Let workers answer what is written, batch by batch: each asks only what those before it do not."""
        if self._answers is None:
            return
        for number in range(counter, sure):
            job = self._written[number][1]
            if not job.done:
                return
            if not self._answers.begun(number):
                texts, _, _, _, pairs = job.value
                self._answers.begin(number, texts, pairs)


@contextlib.contextmanager
def export_workers(
    config: ExportConfig, writer: WriterConfig, source: Path, manifest: dict[str, Any], console: Console
) -> Iterator[tuple[WrittenAhead, CachedTeacher | None]]:
    """Start workers, and yield what stands for the prompter and for its teacher.

    Raises:
        InputError: See `opened_pool`; or a worker has another prompter, or would find a batch size of its own.
    """
    if "rewriter" not in manifest and not writer.writer_batch_size:
        raise InputError("writer_batch_size is 0, which each worker would find for itself: give a number with --engine ray")
    alone = asked_here(config.teacher)
    teacher = open_teacher_of(config, manifest, console.say) if alone else None
    plain = workers_settings(config)
    if alone:
        plain |= {"teacher": NO_TEACHER, "balance": False, "min_confidence": 0.0}
    make = __name__, ExportWork.__name__
    arguments = plain, dataclasses.asdict(writer), dtype_name()
    libraries = ["vllm"] if config.writer == "vllm" else []
    with opened_pool(config, config.device, make, arguments, console.say, libraries) as pool:
        if pool.facts["prompter"] != fingerprint(source):
            raise InputError(f"engine: {source} on the machines of the workers is another prompter: put the same folder there")
        answers = None
        if not alone and config.teacher != NO_TEACHER:
            answers = AnswersAhead(pool, config.teacher_cache, console.say)
        yield WrittenAhead(pool, config, manifest, answers), answers.teacher if answers else teacher
