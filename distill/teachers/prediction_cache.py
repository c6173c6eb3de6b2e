"""The cache of teachers' answers, so that no text is paid for twice, in this run or a later one.

One SQLite file holds the log-probabilities for each teacher and text. Texts and teachers appear in it as hashes only. The
first stored answer stays: every process uses the same bits, whatever batch they were computed in. Each call is one
transaction. So a killed run continues bit for bit: the calls after its last checkpoint find the same answers again, and the
first unfinished call asks for the same texts.

A cache must never end a run, nor change it without a word. Each row ends in a checksum of teacher, text and answer. Rows that
are damaged are removed, so they are asked again, and a notice counts them. A file that is damaged as a whole is renamed, and a
new one begins. Where the file cannot be used, for instance on a full disk, one notice says so, and the teacher is asked
directly. We keep this cache by hand because the caches of common libraries key by function call, not by text.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from distill.checkpoints.checksums import sample_of_weights
from distill.common.errors import InputError
from distill.common.files import cache_root
from distill.common.hub import model_folders
from distill.kinds.rows import finite, none, of_each, stacked
from distill.portable.exported import ExportedClassifier
from distill.teachers.callable_teacher import CallableTeacher
from distill.teachers.functions.importing import changed_sources, sources
from distill.teachers.loading import AnyTeacher, identity
from distill.teachers.probabilities import Doubts, stop_if_mostly_unusable
from distill.teachers.services.connection import AGAIN
from distill.teachers.services.service import Service
from distill.teachers.stored_answers import StoredAnswers, means_damage, set_aside
from distill.teachers.transformers_teacher import TransformersTeacher
from distill.teachers.zero_shot_teacher import ZeroShotTeacher


def predictions_file() -> Path:
    """Return `answers.sqlite` in the cache folder, see `distill.common.files.cache_root`."""
    return cache_root() / "answers.sqlite"


class CachedTeacher:
    """A teacher that is asked only about texts that it has not answered before.

    A call asks each unknown text once, in the order of first occurrence, and stores the usable answers in one transaction.
    Unusable answers are not stored, so that a service that fails sometimes is asked again.

    Args:
        teacher: The teacher.
        file: The database; made where it is missing. None: nothing is stored, and every call goes to the teacher unchanged.
        notice: Gets one line for the user where the file cannot be used.
        patience: Seconds to wait for another process that is writing.
        name: Its identity, where that is known already; see `identity`.

    Raises:
        InputError: The teacher is a service that does not say which model it serves, because it cannot be reached or fails,
            and no answers are stored of the model that it named last, or that it gave without ever naming one.

    Attributes:
        kind: What its answers are.
        sources: Of a function, what tells its files from others when it is opened; else {}.
        teacher: The teacher itself, for code that needs its weights.
        asked: Texts that the teacher was really asked. `queries` counts every text, stored or not: a budget buys answers, so
            the course of a run does not depend on what the cache happens to hold.
    """

    def __init__(
        self,
        teacher: AnyTeacher,
        file: str | Path | None,
        notice: Callable[[str], None],
        patience: float = 30.0,
        name: str | None = None,
    ) -> None:
        self.teacher = teacher
        self.kind = teacher.kind
        self.labels = teacher.labels
        self.path = teacher.path
        self.asked = teacher.queries  # a black box without labels was asked for them
        self._file = file
        self._notice = notice
        self._predictions: StoredAnswers | None = None
        self._doubts = Doubts()
        self._down: Exception | None = None
        self._named = False  # whether a service that is down named its model before
        self.sources = sources(teacher.function, teacher.path) if isinstance(teacher, CallableTeacher) else {}
        if file is None:
            return
        try:
            name = name or identity(teacher)
        except (ValueError, OSError) as error:  # the hub raises a ValueError for a folder that is gone
            if not isinstance(teacher, Service):
                notice(f"The teacher's answers are not kept: {error}. The run continues without a cache.")
                return
            self._down, teacher.unreached = error, True
            name = identity(teacher)
        self._name = name
        self._open = partial(StoredAnswers, Path(file), name, len(teacher.labels), patience, teacher.kind.of_words)
        try:
            self._predictions = self._open()
            self._say_damaged(self._predictions)
        except (sqlite3.Error, OSError) as error:
            self._set_aside_or_go_without(error)
        if isinstance(teacher, Service) and self._predictions is not None:
            try:
                self._heed_name(teacher, self._predictions, patience)
            except sqlite3.Error as error:
                self._set_aside_or_go_without(error)
        if self._down is not None:
            if self._predictions is None or not self._predictions.any():
                raise self._down
            whose = "of the model that it named last" if self._named else "(it never named its model)"
            notice(
                f"teacher: {self.path} cannot be reached or fails. Its stored answers {whose} are used until a text has none."
            )

    def _heed_name(self, teacher: Service, stored: StoredAnswers, patience: float) -> None:
        """Note which model a service names; of one that is down, take the answers of the one that it named last."""
        reached, teacher.unreached = not teacher.unreached, True
        address = identity(teacher)
        teacher.unreached = not reached
        if reached:
            stored.note_name(address)
        elif (last := stored.last_named(address)) != address:
            stored.close()
            self._name, self._named = last, True
            self._open = partial(StoredAnswers, Path(str(self._file)), last, len(self.labels), patience, self.kind.of_words)
            self._predictions = self._open()
            self._say_damaged(self._predictions)

    @property
    def white_box(self) -> TransformersTeacher | None:
        """The teacher itself where its weights are at hand, else None."""
        return self.teacher if isinstance(self.teacher, TransformersTeacher) else None

    @property
    def local(self) -> TransformersTeacher | ExportedClassifier | None:
        """The teacher itself where it is a folder that runs here, with or without PyTorch, else None."""
        return self.teacher if isinstance(self.teacher, TransformersTeacher | ExportedClassifier) else None

    @property
    def pairs(self) -> bool:
        """Whether it answers pairs of texts."""
        return self.kind.texts == 2

    @property
    def queries(self) -> int:
        """Number of texts answered so far."""
        return self.teacher.queries

    @queries.setter
    def queries(self, value: int) -> None:
        self.teacher.queries = value

    @property
    def invalid(self) -> int:
        """Number of these texts with an unusable answer."""
        return self.teacher.invalid

    @invalid.setter
    def invalid(self, value: int) -> None:
        self.teacher.invalid = value

    @cached_property
    def weights(self) -> str | None:
        """What tells the weights of a teacher on this machine from others."""
        if self.local is None and not isinstance(self.teacher, ZeroShotTeacher):
            return None
        try:
            return sample_of_weights(model_folders(self.path)[0])
        except (ValueError, OSError):  # the folder went away after it was opened
            return None

    def state(self) -> dict[str, Any]:
        """Return the counters for a checkpoint: `teacher_queries`, `teacher_invalid` and `teacher_calls`.

        A teacher whose weights are at hand adds `teacher_weights`, a sample of them, and where the memory did not hold its
        batches `teacher_batch_tokens`. A function adds `teacher_sources`, see `distill.teachers.functions.importing.sources`.
        """
        counters: dict[str, Any] = {"teacher_queries": self.queries, "teacher_invalid": self.invalid}
        counters |= {"teacher_calls": self.asked} | ({"teacher_weights": self.weights} if self.weights else {})
        counters |= {"teacher_sources": self.sources} if self.sources else {}
        lowered = self.white_box.batch_tokens if self.white_box is not None else None
        return counters if lowered is None else counters | {"teacher_batch_tokens": lowered}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the counters of a checkpoint.

        Args:
            state: A mapping that holds what `state` returned; a counter that it lacks is 0. Texts that the teacher was
                asked since it was opened stay in `asked`, because they were paid for.

        Raises:
            InputError: The teacher has other weights than when the checkpoint was written.
        """
        if state.get("teacher_weights", self.weights) != self.weights:
            raise InputError(
                f"teacher: {self.path} has other weights than when this was begun, which would mix the answers of two models: "
                "put the former weights back, or begin anew in another folder."
            )
        for name in changed_sources(state.get("teacher_sources"), self.sources):
            self._notice(
                f"teacher: {name}, which {self.path} is written in, was changed since this was begun: if it answers otherwise "
                "now, the answers of two teachers are mixed; then begin anew in another folder."
            )
        self.queries = state.get("teacher_queries", 0)
        self.invalid = state.get("teacher_invalid", 0)
        self.asked += state.get("teacher_calls", 0)
        self._doubts = Doubts(telling=self.queries - self.invalid)  # the run went on with the answers before
        if self.white_box is not None:
            self.white_box.batch_tokens = state.get("teacher_batch_tokens", self.white_box.batch_tokens)

    def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
        """Return (N, C) float32 answers on the CPU, see `kind`; an unusable answer is a row of NaN.

        Raises:
            InputError: See the teacher's own call; or all answers so far, stored or not, are those of another kind.
        """
        if text_pairs is None and len(texts) and self.kind.texts == 2:
            raise InputError(
                f"teacher: {self.path} answers pairs of texts ({', '.join(self.labels)}), but single texts are asked: give "
                "texts with a column text_pair; to ask a model of entailment zero-shot, give your own classes as "
                "teacher_labels; if it reads single texts, give --kind single."
            )
        if not self._keeps_answers():
            self.asked += len(texts)
            predictions = self._ask(texts, text_pairs)
            self._doubts.add(self.teacher, predictions)
            return predictions
        if not len(texts):
            return none(len(self.labels), self.kind.of_words)
        keys = [_key(text, None if text_pairs is None else text_pairs[row]) for row, text in enumerate(texts)]
        first: dict[bytes, int] = {}
        for row, key in enumerate(keys):
            first.setdefault(key, row)
        known = self._look_up(list(first))
        unknown = [key for key in first if key not in known]
        # The teacher's counters count every text of the run, because the share of unusable answers is taken of all.
        self.teacher.queries += len(texts) - len(unknown)
        if unknown:
            rows = [first[key] for key in unknown]
            self.asked += len(rows)
            asked = [texts[row] for row in rows], None if text_pairs is None else [text_pairs[row] for row in rows]
            known |= self._answers(unknown, *asked)
        predictions = stacked([known[key] for key in keys])
        repeated = [row for row, key in enumerate(keys) if row != first[key]]
        self.teacher.invalid += int((~finite(predictions[repeated])).sum())
        stop_if_mostly_unusable(self.teacher)
        self._doubts.add(self.teacher, predictions)
        return predictions

    def judge(self, answers: Tensor) -> None:
        """Count answers (N, C) that a method had from the teacher's weights, for whether they are of its kind.

        Raises:
            InputError: All answers so far are those of another kind.
        """
        self._doubts.add(self.teacher, answers)

    @property
    def keeps(self) -> bool:
        """Whether answers are stored."""
        return self._predictions is not None

    def unknown(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> list[int]:
        """Return the rows that a call would ask the teacher about now, in their order; each text or pair once."""
        if self._predictions is None:
            return list(range(len(texts)))
        first: dict[bytes, int] = {}
        for row, text in enumerate(texts):
            first.setdefault(_key(text, None if text_pairs is None else text_pairs[row]), row)
        known = self._look_up(list(first))
        return [row for key, row in first.items() if key not in known]

    def _keeps_answers(self) -> bool:
        """Return whether this call looks answers up and stores them; several processes decide it together."""
        return self.keeps

    def _ask(self, texts: Sequence[str], text_pairs: Sequence[str] | None) -> Tensor:
        """Ask the teacher itself."""
        return self.teacher(texts, text_pairs)

    def _answers(self, keys: list[bytes], texts: list[str], text_pairs: list[str] | None) -> dict[bytes, np.ndarray]:
        """Ask about texts without a stored answer, and store what comes.

        Raises:
            InputError: See the teacher's own call; or it is a service that was down, and still is, or names its model now.
        """
        if self._down is not None and isinstance(self.teacher, Service):
            self.teacher.unreached = False
            if identity(self.teacher) != self._name:
                names = "names another model than before" if self._named else "names its model"
                raise InputError(
                    f"teacher: {self.path} was down and now {names}, which the stored answers may not be of: {AGAIN}."
                )
            self._down = None
        if isinstance(self.teacher, Service | CallableTeacher):
            return self._ask_in_parts(keys, texts, text_pairs)
        return self._keep(dict(zip(keys, of_each(self._ask(texts, text_pairs)), strict=True)))

    def _ask_in_parts(self, keys: list[bytes], texts: list[str], text_pairs: list[str] | None) -> dict[bytes, np.ndarray]:
        """Ask a service or a function, and store each answer when it arrives.

        So what was paid for survives a failure, and an interruption.
        """
        found: dict[bytes, np.ndarray] = {}

        def arrived(rows: list[int], part: Tensor) -> None:
            found.update(self._keep({keys[row]: answer for row, answer in zip(rows, of_each(part), strict=True)}))

        if isinstance(self.teacher, Service):
            for _ in self.teacher.answers(texts, text_pairs, arrived):
                pass
        else:
            assert isinstance(self.teacher, CallableTeacher)
            for rows, part in self.teacher.answers(texts, text_pairs):
                arrived(rows, part)
        answers = self.teacher.counted(stacked([found[key] for key in keys]))
        return dict(zip(keys, of_each(answers), strict=True))

    def _look_up(self, keys: list[bytes]) -> dict[bytes, np.ndarray]:
        assert self._predictions is not None
        try:
            found = self._predictions.look_up(keys)
            self._say_damaged(self._predictions)
            return found
        except sqlite3.Error as error:
            self._set_aside_or_go_without(error)
            return {}

    def _keep(self, fresh: dict[bytes, np.ndarray]) -> dict[bytes, np.ndarray]:
        """Store the usable answers, and return all answers in the bits that are stored."""
        if self._predictions is None:
            return fresh
        usable = {key: row for key, row in fresh.items() if not np.isnan(row).any()}
        try:
            return fresh | self._predictions.keep(usable)
        except sqlite3.Error as error:
            self._set_aside_or_go_without(error)
        if self._predictions is not None:  # a new file
            with suppress(sqlite3.Error):
                return fresh | self._predictions.keep(usable)
        return fresh

    def _say_damaged(self, stored: StoredAnswers) -> None:
        if stored.damaged:
            self._notice(
                f"{stored.damaged:,} of the teacher's stored answers in {self._file} were damaged or lost: the teacher is "
                "asked again for these texts. Where its answers vary, results do, too."
            )
            stored.damaged = 0

    def _set_aside_or_go_without(self, error: Exception) -> None:
        """Go on with a new file if the old one is damaged as a whole, else without a cache."""
        if self._predictions is not None:
            self._predictions.close()
            self._predictions = None
        file = Path(str(self._file))
        if means_damage(error):
            try:
                kept = set_aside(file)
                self._predictions = self._open()
            except (sqlite3.Error, OSError) as later:
                error = later
            else:
                self._notice(
                    f"{file}, which keeps the teacher's answers, is damaged ({error}): it is now called {kept.name}, and a "
                    "new one begins. The teacher is asked again."
                )
                return
        self._notice(
            f"The teacher's answers are not kept: {file} cannot be used ({error}). The run continues without a cache; "
            "remove the file, or set PROMPTER_CACHE to a folder that you can write to."
        )


def _key(text: str, pair: str | None) -> bytes:
    """Return a hash of a text or pair; JSON makes sure that different pairs are hashed from different bytes."""
    return hashlib.sha256(json.dumps([text, pair]).encode()).digest()
