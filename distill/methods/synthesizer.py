"""Methods that make what a student learns from while it learns, by the gradients of teacher and student.

The prompter needs none of this: it asks a black box and is rewarded. The methods here look inside: they move a generator,
or the embeddings themselves, along the gradients of teacher and student, so the teacher must be a model whose weights
are at hand. Each is a `Synthesizer` in a file of its own; the distillation loop takes its batches as it takes any other's.

Costs are counted in teacher queries, one for each row that passes through the teacher, whether it was asked about a
text or differentiated: a step that only moves the generator is paid for as well.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch

from distill.batch import SyntheticBatch
from distill.common.errors import InputError
from distill.teachers.base import Teacher
from distill.teachers.prediction_cache import CachedTeacher
from distill.teachers.transformers_teacher import TransformersTeacher


@dataclass(frozen=True)
class Step:
    """What a step of a method gave.

    Attributes:
        batch: Rows for the student, at least one.
        queries: Teacher queries spent, those for the batch's answers included.
        metrics: Figures for the log, by name.
    """

    batch: SyntheticBatch
    queries: int
    metrics: dict[str, float] = field(default_factory=dict)


class Synthesizer(Protocol):
    """A method, at work.

    It holds no random state: whatever a step draws depends on the seed and the number of the step, and `save` writes the
    rest (weights, optimizer, counters), so that a run which was stopped goes on bit for bit.

    Attributes:
        name: As `--method` and the bench call it.
        coverage: By "teacher" and "student", the share of the corpus's tokens that cross from the method's vocabulary to
            theirs, in [0, 1]; {} where it has none of its own.
    """

    name: str
    coverage: dict[str, float]

    def rows(self, budget: int) -> int:
        """How many rows all batches of a budget hold together; the student's updates are spread over them."""
        ...

    def step(self, left: int) -> Step:
        """Make the next batch.

        Args:
            left: Teacher queries that may be spent, at least 1. A step spends at least one and at most these, so that
                a run can spend its budget exactly.

        Raises:
            InputError: An objective is no longer finite.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write the state into a new folder."""
        ...

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote.

        Raises:
            InputError: A file is missing or damaged.
        """
        ...


def white_box(teacher: Teacher | CachedTeacher, method: str) -> TransformersTeacher:
    """Return the teacher with its weights.

    Raises:
        InputError: The teacher is a black box, or its weights are in float16.
    """
    inside = teacher.white_box if isinstance(teacher, CachedTeacher) else teacher
    if not isinstance(inside, TransformersTeacher):
        raise InputError(
            f"method: '{method}' follows the teacher's gradients, and {teacher.path} only answers texts; "
            "what works with a black box: prompter train, and prompter distill --from a run, a dataset or a text file"
        )
    if inside.model.dtype == torch.float16:
        raise InputError(
            f"dtype: '{method}' follows the teacher's gradients, which vanish in float16; choose bfloat16 or float32."
        )
    return inside
