"""The distillation loop: texts with the teacher's answers in, a trained student out.

Texts may arrive while a prompter is still learning to write them, so the student trains in two phases. Online, after each
batch, it makes the updates that are due: a share of all updates, spread evenly over the planned teacher queries. Then `finish`
makes the others on the full replay. Both phases draw from the replay in pools of up to 16 batches. A pool is sorted by length
and cut into batches of similar texts, which reduces padding. The batches of a pool are visited in random order. Where a method
makes embeddings instead of texts, the replay holds embeddings and the student reads them as `inputs_embeds`.

Nothing here holds a random state. The number of a pool decides its draw, the number of an update decides its dropout and
learning rate. So counters, weights, AdamW's moments and the replay are the whole state, and a loop that was saved at any
update continues bit for bit (on the CPU).
"""

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from distill.batch import SyntheticBatch
from distill.common.encode import TokenTable, last_layer_at
from distill.common.errors import InputError
from distill.common.files import read_json, replace_folder, write_json
from distill.common.precision import autocast
from distill.common.seeding import random_generator, seeded
from distill.config import DistillConfig, check_same
from distill.embedded import padded_inputs, segment_types
from distill.hidden import HiddenMatch
from distill.kinds.rows import answers_in
from distill.kinds.word_table import new_table
from distill.masked_embeddings import MaskedEmbeddings
from distill.optimizer import StudentOptimizer, all_weights, set_weights
from distill.processes.group import ALONE, Processes
from distill.replay import Replay, pool_batches
from distill.student import Student
from distill.teachers.base import Teacher

REPORT_EVERY = 10
"""Updates between two readings of the loss. Each makes a GPU wait."""


class Distiller:
    """Fit a student to a teacher's answers.

    Args:
        student: The student; trained in place.
        config: Settings.
        planned_queries: Teacher queries of the whole run; the online updates are spread over them.
        seed: Decides every random act of the loop.
        teacher: Needed only for `student_hidden_weight` > 0.
        source_weights: See `distill.replay.Replay`.
        processes: Those that train this student together, with the same calls; each takes its rows of every batch.

    Attributes:
        replay: The texts held.
        seen: Teacher queries consumed, unusable answers included.
        updates_done: Student updates made.
        masked: The self-supervised term of the loss, see `learn_masked`, or None.

    Raises:
        InputError: `planned_queries` < 1, or the hidden-state loss does not support the teacher.
    """

    def __init__(
        self,
        student: Student,
        config: DistillConfig,
        planned_queries: int,
        seed: int,
        teacher: Teacher | None = None,
        source_weights: Mapping[str, float] | None = None,
        processes: Processes = ALONE,
    ) -> None:
        if planned_queries < 1:
            raise InputError(f"planned_queries: {planned_queries}; expected at least 1.")
        self.student = student
        self.teacher = teacher
        self.config = config
        self.planned_queries = planned_queries
        self.seed = seed
        self.processes = processes
        self.replay = Replay(config.replay_capacity, seed, source_weights, student.kind)
        self.seen = 0
        self.updates_done = 0
        student.max_length = config.student_max_length
        self.hidden = HiddenMatch(student, teacher, seed) if config.student_hidden_weight else None
        self.masked: MaskedEmbeddings | None = None
        self._make_masked: Callable[[Student], MaskedEmbeddings] | None = None
        self.optimizer = StudentOptimizer(self._parameters(), self.config)
        self.tokens = self._new_tokens()
        self.pools_drawn = 0
        self.pool = self._no_batches()  # batches still to visit

    def learn_masked(self, make: Callable[[Student], MaskedEmbeddings]) -> None:
        """Add the masked-embedding loss to the student's objective, before the first update and before `load`.

        Args:
            make: Makes the loss for a student; `restart` calls it again.

        Raises:
            InputError: The student has made an update already.
        """
        if self.updates_done:
            raise InputError(f"learn_masked: the student has made {self.updates_done} updates; add the term before the first.")
        self._make_masked = make
        self.masked = make(self.student)
        self.optimizer = StudentOptimizer(self._parameters(), self.config)

    def consume(self, batch: SyntheticBatch) -> dict[str, float] | None:
        """Take in a batch and make the updates that are due.

        Afterwards `updates_done` is `online_share * updates * seen / planned_queries`, rounded down.

        Returns:
            {"student_loss": mean over the updates made}, or None where none was due (or no text is usable yet).

        Raises:
            InputError: The batch has other classes than the student, or the loss is no longer finite.
        """
        self.add(batch)
        progress = min(1.0, self.seen / self.planned_queries)
        due = int(self.config.student_online_share * self.config.student_updates * progress) - self.updates_done
        return self.update(due) if due > 0 and len(self.replay) else None

    def add(self, batch: SyntheticBatch) -> None:
        """Take in a batch without an update.

        Raises:
            InputError: The batch has other classes than the student, or another kind.
        """
        classes = batch.teacher_logits.shape[-1]
        if batch.kind.problem_type != self.student.kind.problem_type:
            raise InputError(f"student: it is of the kind {self.student.kind.name}, the answers are {batch.kind.name}.")
        if classes != len(self.student.labels):
            raise InputError(f"student: it has {len(self.student.labels)} classes, but the teacher's answers have {classes}.")
        self.seen += len(batch)
        self._tokenise(self.replay.add(batch, self.updates_done))

    def take(self, batch: SyntheticBatch, online: bool) -> dict[str, float] | None:
        """Take in a batch: `consume` it where the student trains online, else only `add` it.

        Returns:
            What `consume` returns; None where the student does not train online.

        Raises:
            InputError: See `consume`.
        """
        if online:
            return self.consume(batch)
        self.add(batch)
        return None

    def finish(self, progress: Callable[[int, float], None] | None = None) -> dict[str, float] | None:
        """Make the remaining updates, to exactly `student_updates`.

        Args:
            progress: Called every `REPORT_EVERY` updates, and after the last, with the number of updates made and the loss
                of this one.

        Returns:
            {"student_loss": mean over the updates made}, or None where all were made already.

        Raises:
            InputError: No usable text was consumed, or the loss is no longer finite.
        """
        remaining = self.config.student_updates - self.updates_done
        return self.update(remaining, progress) if remaining > 0 else None

    def forget(self, rows: Tensor) -> None:
        """Drop rows of the replay. The updates to come read the others alone."""
        self._hold(self.replay.without(rows), self._no_batches())

    def restart(self, student: Student) -> None:
        """Start again with an untrained student, on the texts held.

        A student that learnt while the texts came in saw the first and poorest ones most often, and at the highest learning
        rate. A fresh one sees all texts equally.
        """
        self.student = student
        student.max_length = self.config.student_max_length
        if self.hidden is not None:
            self.hidden = HiddenMatch(student, self.teacher, self.seed)
        if self._make_masked is not None:
            self.masked = self._make_masked(student)
        self.optimizer = StudentOptimizer(self._parameters(), self.config)
        self.updates_done = 0
        self.pools_drawn = 0
        self.pool = self._no_batches()

    def run(
        self,
        batches: Iterable[SyntheticBatch],
        *,
        online: bool,
        on_batch: Callable[[SyntheticBatch], None] | None = None,
        on_update: Callable[[int, float], None] | None = None,
        fresh: Callable[[], Student] | None = None,
    ) -> dict[str, float] | None:
        """Take in all batches, then make the updates that remain.

        Args:
            batches: Texts with the teacher's answers, in order.
            online: Whether the student trains while the batches come in.
            on_batch: Called after each batch.
            on_update: What `finish` calls, see there.
            fresh: Makes an untrained student. Where it is given, that student replaces the current one after the last batch
                and makes all `student_updates`, see `restart`.

        Returns:
            What `finish` returns.

        Raises:
            InputError: See `consume` and `finish`.
        """
        for batch in batches:
            self.take(batch, online)
            if on_batch is not None:
                on_batch(batch)
        if fresh is not None:
            self.restart(fresh())
        return self.finish(on_update)

    def update(self, count: int, progress: Callable[[int, float], None] | None = None) -> dict[str, float]:
        """Make `count` updates, but not beyond `student_updates`.

        Args:
            count: Number of updates.
            progress: See `finish`.

        Returns:
            {"student_loss": mean over the updates made}.

        Raises:
            InputError: All updates are made, the replay is empty, or the loss is no longer finite.
        """
        count = min(count, self.config.student_updates - self.updates_done)
        if count < 1:
            raise InputError(f"update: all {self.config.student_updates} student updates are made already.")
        model = self.student.model.train()
        total = torch.zeros((), device=self.student.device)
        for done in range(1, count + 1):
            loss = self._update()
            total += loss  # on the device: to read it here would make a GPU wait
            self.updates_done += 1
            if done % REPORT_EVERY == 0 or done == count:
                if not math.isfinite(total):
                    raise InputError(
                        f"student_loss: not finite by update {self.updates_done}; "
                        f"lower student_learning_rate ({self.config.student_learning_rate})."
                    )
                if progress is not None:
                    progress(self.updates_done, float(loss))
        model.eval()
        return {"student_loss": float(total) / count}

    def save(self, folder: str | Path) -> None:
        """Write the whole state of the loop to a folder, which appears whole or not at all.

        Raises:
            InputError: The folder cannot be written.
        """
        counters = {"seen": self.seen, "updates_done": self.updates_done, "pools_drawn": self.pools_drawn}
        weights = {name: weight.detach().cpu().clone() for name, weight in self._weights().items()}
        with replace_folder(folder, marker="distiller.json") as temporary:
            save_file(weights, temporary / "student.safetensors")
            save_file({"pool": self.pool.contiguous()}, temporary / "pool.safetensors")
            torch.save(self.optimizer.state_dict(), temporary / "optimizer.pt")
            self.replay.save(temporary / "replay")
            write_json(temporary / "distiller.json", self._settings() | counters)

    def load(self, folder: str | Path) -> None:
        """Continue from what `save` wrote, in a loop made with the same arguments.

        Raises:
            InputError: A file is missing or damaged, or the loop was made with other settings.
        """
        folder = Path(folder)
        state = read_json(folder / "distiller.json")
        try:
            check_same(folder, state, self._settings())
            seen, done, drawn = state["seen"], state["updates_done"], state["pools_drawn"]
            weights = load_file(folder / "student.safetensors")
            pool = load_file(folder / "pool.safetensors")["pool"]
            moments = torch.load(folder / "optimizer.pt", weights_only=True, map_location=self.student.device)
            replay = Replay.load(folder / "replay", self.student.kind)
            replay.source_weights = self.replay.source_weights
            if ("masked" in self._terms()) != any(name.startswith("masked.") for name in weights):
                raise InputError(f"{folder}: was made with another loss (masked embeddings); use the same settings.")
            # The loop stays as it was until every file has been read.
            set_weights(self.student.model, self._terms(), weights)
            self.optimizer.load_state_dict(moments)
        except InputError:
            raise
        except Exception as error:  # zip, pickle, safetensors and torch each raise their own for a damaged file
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise InputError(f"{folder}: the checkpoint is damaged ({reason}); use an earlier one.") from error
        self.seen, self.updates_done, self.pools_drawn = seen, done, drawn
        self._hold(replay, pool)

    def _hold(self, replay: Replay, pool: Tensor) -> None:
        self.replay, self.pool, self.tokens = replay, pool, self._new_tokens()
        self._tokenise(torch.arange(len(replay)))

    def _no_batches(self) -> Tensor:
        return torch.empty(0, self.config.student_batch_size, dtype=torch.int64)

    def _update(self) -> Tensor:
        """Make one update and return its loss, detached."""
        config, student, processes = self.config, self.student, self.processes
        batch = self._next_batch()
        rows = batch[processes.rank :: processes.size]  # the batch is sorted by length: all get as many tokens
        inputs = self._inputs(rows)
        answers = self.replay.logprobs[rows].to(student.device)
        pooled = last_layer_at(student.model) if self.hidden is None else nullcontext()  # that term reads all positions
        random = seeded(self.seed, processes.purpose("student-update"), self.updates_done)
        with random, autocast(student.device, trained=True):
            with pooled:
                output = student.model(**inputs, output_hidden_states=self.hidden is not None)
            logits = output.logits if self.replay.embeddings else self.tokens.outputs_of(output.logits, rows)
            loss = student.kind.loss(logits, answers, config.student_temperature, config.student_hard_label_weight)
            if processes.size > 1:  # the part of this process in the mean over the texts of the batch, or their words
                loss = loss * (answers_in(self.replay.logprobs[rows]) / max(1, answers_in(self.replay.logprobs[batch])))
            if self.hidden is not None:
                share = float(self._lengths(rows).sum() / self._lengths(batch).sum())  # 1.0 alone; a mean over tokens
                loss = loss + config.student_hidden_weight * share * self.hidden.loss(inputs, output.hidden_states)
            if self.masked is not None:
                loss = loss + self.masked.update_loss(student.model, inputs, self.updates_done)
        # Embeddings bypass the student's word table, which then has no gradient. AdamW leaves a weight without gradient as it
        # is (no moments, no weight decay), so the student still reads real texts with the table that it began with.
        return self.optimizer.step(loss, self.updates_done, processes)

    def _next_batch(self) -> Tensor:
        """Return the rows of the next batch, (B,); draw a new pool when the last one is used up."""
        if not len(self.pool):
            size = self.config.student_batch_size
            batches = pool_batches(len(self.replay), size)
            rows = self.replay.sample(batches * size, self.pools_drawn, self.config.replay_selection)
            rows = rows[torch.argsort(self._lengths(rows), stable=True)].view(batches, size)
            order = torch.randperm(batches, generator=random_generator(self.seed, "pool-order", self.pools_drawn))
            self.pool = rows[order]
            self.pools_drawn += 1
        rows, self.pool = self.pool[0], self.pool[1:]
        return rows

    def _inputs(self, rows: Tensor) -> dict[str, Tensor]:
        """Return the model inputs of rows of the replay, on the student's device."""
        if self.replay.embeddings:
            stored = [self.replay.embeddings[i] for i in rows.tolist()]
            inputs = padded_inputs(stored, self.tokens.max_length, self.student.device)
            types = segment_types(self.student.model, inputs["inputs_embeds"], inputs["attention_mask"])
            return inputs if types is None else inputs | {"token_type_ids": types}
        return self.tokens.gather(rows, self.student.device)

    def _lengths(self, rows: Tensor) -> Tensor:
        """Return the lengths in tokens of rows of the replay, in the same shape."""
        if self.replay.embeddings:
            return torch.tensor([len(self.replay.embeddings[i]) for i in rows.tolist()])
        return self.tokens.lengths[rows]

    def _tokenise(self, rows: Tensor) -> None:
        if self.replay.embeddings:
            return
        index = rows.tolist()
        texts, pairs = [self.replay.texts[i] for i in index], [self.replay.text_pairs[i] for i in index]
        paired = any(pair is not None for pair in pairs)
        self.tokens.put(rows, texts, [pair or "" for pair in pairs] if paired else None)

    def _new_tokens(self) -> TokenTable:
        return new_table(self.student.kind, self.student.model, self.student.tokenizer, self.config.student_max_length)

    def _parameters(self) -> list[nn.Parameter]:
        extra = [parameter for term in self._terms().values() for parameter in term.parameters()]
        return [parameter for parameter in [*self.student.model.parameters(), *extra] if parameter.requires_grad]

    def _terms(self) -> dict[str, nn.Module]:
        """Return the terms of the loss with weights of their own, by the prefix of these weights in checkpoints."""
        return {name: term for name, term in (("hidden", self.hidden), ("masked", self.masked)) if term is not None}

    def _weights(self) -> dict[str, Tensor]:
        return all_weights(self.student.model, self._terms())

    def _settings(self) -> dict[str, Any]:
        """Return what a loop must be made with to go on from a checkpoint of this one."""
        return {"config": asdict(self.config), "planned_queries": self.planned_queries, "seed": self.seed,
                "student": self.student.spec}  # fmt: skip
