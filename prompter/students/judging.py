"""Judge a student that has few held-out texts: whether it is worth anything, from the other texts of its call.

From `agreement.MIN_TEXTS` held-out texts on, their kappa is the verdict. With fewer, an interval may be clear enough already.
Where it is not, the same student is trained again without a part of the texts and measured on that part, for as many parts as
make enough texts. This costs no query of the teacher.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from distill.batch import SyntheticBatch
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.held_out import HeldOut
from distill.kinds.rows import below
from distill.replay import Replay
from eval.classifiers import agreement
from prompter.runtime.console import Console
from prompter.students.config import StudentsConfig
from prompter.students.inputs import Inputs

PARTS = 4
"""Parts of all texts that are left out in turn. A student that learns from three quarters is nearly the student itself."""

EPOCHS = 50
"""Updates of a further training: those of the student divided by the number of parts, but no fewer than this many epochs."""


def agreement_of_student(
    name: str,
    held_out: HeldOut,
    measured: dict[str, Any],
    distiller: Distiller,
    inputs: Inputs,
    config: StudentsConfig,
    console: Console,
) -> dict[str, Any]:
    """Return the agreement by which a student is judged, see `eval.classifiers.agreement`; {} if none can be had.

    Args:
        name: Name of the student.
        held_out: The held-out texts.
        measured: What `HeldOut.measure` returned for the student.
        distiller: Holds the texts that the student learnt from.
        inputs: Makes untrained students.
        config: Settings of the call.
        console: Says that further trainings are made.
    """
    found = agreement.agreement_on_held_out(held_out.logprobs, measured, distiller.student.kind)
    if len(held_out) >= agreement.MIN_TEXTS or (found and agreement.clearly_fine(found)):
        return found
    texts = _all_texts(held_out, distiller.replay)
    if texts is None or len(texts) < agreement.FEWEST_TEXTS:
        return found if len(held_out) >= agreement.FEWEST_TEXTS else {}
    parts = _parts(texts)
    console.say(
        f"Health: only {len(held_out)} texts are held out, so the same student is trained {len(parts)} times more, each time "
        f"without a quarter of all {len(texts)} texts, and measured on them"
    )
    answers = [_predictions(name, texts, part, len(parts), distiller, inputs, config) for part in parts]
    teacher = texts.logprobs[torch.tensor([row for part in parts for row in part])]
    kind = distiller.student.kind
    return agreement.compared("texts that were left out", teacher, below(answers), agreement.FEWEST_TEXTS, kind)


@dataclasses.dataclass(frozen=True)
class _Texts:
    """All texts of a call with the teacher's answers, in an order that their hashes decide."""

    texts: list[str]
    pairs: list[str | None]
    sources: list[str]
    logprobs: Tensor

    def __len__(self) -> int:
        return len(self.texts)

    def pairs_at(self, rows: Sequence[int]) -> list[str] | None:
        """Return the second texts of some rows; None where the texts are single ones."""
        return None if self.pairs[0] is None else [self.pairs[row] or "" for row in rows]


def _all_texts(held_out: HeldOut, replay: Replay) -> _Texts | None:
    """Return held-out and learnt texts together; None for embeddings, which are no texts."""
    if held_out.embeddings or replay.embeddings or not len(replay):
        return None
    texts, pairs = [*held_out.texts, *replay.texts], [*held_out.text_pairs, *replay.text_pairs]
    sources = [replay.sources[0]] * len(held_out) + replay.sources
    learnt = replay.logprobs[: len(replay)]
    logprobs = below([held_out.logprobs, learnt]) if len(held_out) else learnt
    keys = [hashlib.sha256(json.dumps(key).encode()).digest() for key in zip(texts, pairs, strict=True)]
    order = sorted(range(len(texts)), key=lambda row: keys[row])
    return _Texts([texts[i] for i in order], [pairs[i] for i in order], [sources[i] for i in order], logprobs[order])


def _parts(texts: _Texts) -> list[list[int]]:
    """Return the rows of the parts to leave out: as many parts as hold enough texts."""
    needed = min(PARTS, math.ceil(PARTS * agreement.MIN_TEXTS / len(texts)))
    return [list(range(part, len(texts), PARTS)) for part in range(needed)]


def _predictions(
    name: str, texts: _Texts, left_out: list[int], parts: int, distiller: Distiller, inputs: Inputs, config: StudentsConfig
) -> Tensor:
    """Train the student without some rows, and return its answers to these."""
    out = set(left_out)
    rest = [row for row in range(len(texts)) if row not in out]
    training: DistillConfig = distiller.config
    epochs = math.ceil(EPOCHS * len(rest) / training.student_batch_size)
    updates = min(training.student_updates, max(training.student_updates // parts, epochs))
    again = Distiller(
        inputs.untrained(name),
        dataclasses.replace(training, student_updates=updates),
        len(rest),
        config.seed,
        teacher=inputs.teacher.white_box if inputs.teacher else None,
        source_weights=distiller.replay.source_weights,
    )
    for source in dict.fromkeys(texts.sources):
        rows = [row for row in rest if texts.sources[row] == source]
        nothing = torch.full((len(rows),), -1)
        chosen, topics, kind = [texts.texts[i] for i in rows], [""] * len(rows), again.student.kind
        pairs = texts.pairs_at(rows)
        again.add(SyntheticBatch(chosen, texts.logprobs[rows], nothing, topics, source, pairs, kind=kind))
    again.finish()
    return again.student.answers([texts.texts[row] for row in left_out], texts.pairs_at(left_out))
