"""The interface of a method that makes a student's texts or embeddings from the gradients of teacher and student.

The prompter needs no gradients: it asks a black box and gets a reward. The methods of this folder move a language model, or
the embeddings themselves, along the gradients of teacher and student, so they need the teacher's weights. Each method is a
`Synthesizer` in a file of its own. The distillation loop takes its batches like any others.

The cost is counted in teacher queries: one for each row that passes through the teacher, with or without gradients. A step
that only moves the method's own model costs queries too.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch

from distill.batch import SyntheticBatch
from distill.common.errors import InputError
from distill.methods.table import METHODS
from distill.teachers.base import Teacher
from distill.teachers.prediction_cache import CachedTeacher
from distill.teachers.transformers_teacher import TransformersTeacher


@dataclass(frozen=True)
class Step:
    """The result of one step of a method.

    Attributes:
        batch: Rows for the student, at least one.
        queries: Teacher queries spent, the answers in the batch included.
        metrics: Metrics for the log, by name.
    """

    batch: SyntheticBatch
    queries: int
    metrics: dict[str, float] = field(default_factory=dict)


class Synthesizer(Protocol):
    """A method at work.

    It holds no random state: what a step draws depends on the seed and the number of the step. `save` writes everything else
    (weights, optimizer, counters), so that a stopped run continues bit for bit.

    Attributes:
        name: Name of the method in `distill.methods.table`.
        coverage: By "teacher" and "student", the share of the corpus's tokens that have a counterpart in their vocabulary, in
            [0, 1]; {} where the method has no vocabulary of its own.
    """

    name: str
    coverage: dict[str, float]

    def rows(self, budget: int) -> int:
        """Return how many rows all batches of a budget hold; the student's updates are spread over them."""
        ...

    def step(self, left: int) -> Step:
        """Make the next batch.

        Args:
            left: Teacher queries that may be spent, at least 1. A step spends at least one of them and never more, so that
                a run can spend its budget exactly.

        Raises:
            InputError: An objective is no longer finite.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write the state into a new folder."""
        ...

    def load(self, folder: Path) -> None:
        """Continue from what `save` wrote.

        Raises:
            InputError: A file is missing or damaged.
        """
        ...


def white_box(teacher: Teacher | CachedTeacher, method: str) -> TransformersTeacher:
    """Return the teacher with its weights.

    Raises:
        InputError: The teacher is a black box, of a kind that the method is not for, or its weights are in float16.
    """
    inside = teacher.white_box if isinstance(teacher, CachedTeacher) else teacher
    if not isinstance(inside, TransformersTeacher):
        raise InputError(
            f"method: '{method}' follows the teacher's gradients, and {teacher.path} only answers texts; "
            "what works with a black box: prompter train, and prompter distill --from a run, a dataset or a text file"
        )
    if inside.kind.name not in METHODS[method].kinds:
        others = [other.name for other in METHODS.values() if inside.kind.name in other.kinds]
        raise InputError(
            f"method: '{method}' is for teachers of the kinds {', '.join(METHODS[method].kinds)}, and this one is of the "
            f"kind {inside.kind.name}; choose {' or '.join([*others, 'prompter train'])}."
        )
    if inside.model.dtype == torch.float16:
        raise InputError(
            f"dtype: '{method}' follows the teacher's gradients, which vanish in float16; choose bfloat16 or float32."
        )
    return inside
