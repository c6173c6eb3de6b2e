"""Settings of the student's side of a run, and the check of ranges that the settings of the methods share."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from distill.common.errors import InputError

Selection = Literal["uniform", "balanced"]
Schedule = Literal["cosine", "linear", "constant"]

# Range of each number: lowest, highest, whether the lowest itself is allowed.
RANGES: dict[str, tuple[float, float, bool]] = {
    "student_learning_rate": (0.0, 1.0, False),
    "student_batch_size": (1, 65536, True),
    "student_updates": (1, math.inf, True),
    "student_warmup_share": (0.0, 1.0, True),
    "student_temperature": (0.0, 100.0, False),
    "student_hard_label_weight": (0.0, 1.0, True),
    "student_hidden_weight": (0.0, math.inf, True),
    "student_weight_decay": (0.0, 1.0, True),
    "student_max_length": (2, 8192, True),
    "student_online_share": (0.0, 1.0, True),
    "replay_capacity": (1, math.inf, True),
}


@dataclass
class DistillConfig:
    """Settings of the student's side of a run.

    Raises:
        InputError: a value has the wrong type or is out of range.
    """

    student_learning_rate: float = field(default=1e-3, metadata={"help": "AdamW's peak learning rate."})
    student_batch_size: int = field(default=64, metadata={"help": "Texts per student update."})
    student_updates: int = field(default=600, metadata={"help": "Student updates of the whole run."})
    student_warmup_share: float = field(
        default=0.05, metadata={"help": "Share of the updates over which the learning rate rises from zero."}
    )
    student_schedule: Schedule = field(
        default="cosine", metadata={"help": "How the learning rate falls after warm-up: cosine, linear or constant."}
    )
    student_temperature: float = field(
        default=2.0, metadata={"help": "Softens teacher and student distributions in the distillation loss."}
    )
    student_hard_label_weight: float = field(
        default=0.0,
        metadata={"help": "Weight w of the cross-entropy on the teacher's arg max; the soft loss gets 1 - w."},
    )
    student_hidden_weight: float = field(
        default=0.0,
        metadata={"help": "Weight of the hidden-state loss; needs a Hugging Face teacher with the same tokenizer."},
    )
    student_weight_decay: float = field(
        default=0.01, metadata={"help": "AdamW's weight decay, on matrices only (not on biases and norms)."}
    )
    student_max_length: int = field(default=128, metadata={"help": "Longer texts are cut to this many tokens."})
    student_online_share: float = field(
        default=0.5,
        metadata={"help": "Share of student_updates made while texts come in; the rest follows on the full replay."},
    )
    student_restart: bool = field(
        default=True,
        metadata={"help": "Make all student_updates on the full replay, with a fresh student, once all texts are there."},
    )
    replay_capacity: int = field(default=50_000, metadata={"help": "Texts kept; newer ones replace the oldest."})
    replay_selection: Selection = field(
        default="balanced", metadata={"help": "How texts are drawn: balanced over the classes the teacher chose, or uniform."}
    )

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_ranges(self, RANGES)
        for name, choices in (("student_schedule", get_args(Schedule)), ("replay_selection", get_args(Selection))):
            if getattr(self, name) not in choices:
                raise InputError(f"{name}: {getattr(self, name)!r}; expected one of {', '.join(choices)}.")


def check_ranges(config: Any, ranges: Mapping[str, tuple[float, float, bool]]) -> None:
    """Check the numbers among a dataclass's settings.

    Args:
        config: the settings; those that are declared as `int` must be whole numbers.
        ranges: of each number by its name: lowest, highest, whether the lowest itself is allowed.

    Raises:
        InputError: a value has the wrong type or is out of range.
    """
    for item in fields(config):
        if item.name not in ranges:
            continue
        value, (low, high, inclusive) = getattr(config, item.name), ranges[item.name]
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if item.type is int and not (number and isinstance(value, int)):
            raise InputError(f"{item.name}: {value!r}; expected a whole number.")
        if not number or not (low <= value <= high) or (value == low and not inclusive):
            bounds = f"{'at least' if inclusive else 'more than'} {low}" + ("" if math.isinf(high) else f" and at most {high}")
            raise InputError(f"{item.name}: {value!r}; expected a number of {bounds}.")
