"""Settings of the student's side of a run, whatever its texts come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.common.errors import InputError
from distill.common.files import same_place
from distill.common.settings import check, setting

STUDENT = "Student"

SELECTIONS = ("uniform", "balanced")
"""How texts are drawn from the replay."""

MOST_TEXTS = 2**24
"""Most texts of a replay: torch draws from no more."""


STUDENT_HELP = (
    "Folder, hub id, teacher-layers:0,2,4 (layers of the teacher), bert:layers=2,hidden=128 (random weights), "
    "static:from-teacher or static:FOLDER (one vector for each token)"
)
"""What a setting `student` takes."""


@dataclass
class StudentTokenizerSettings:
    """How a student of random weights reads, and which words it knows."""

    student_tokenizer: str | None = setting(
        None, "Tokenizer of a student of random weights; default: the teacher's.", "Models"
    )
    student_words: str | None = setting(
        None,
        "Language model whose word vectors a student of random weights begins with: folder, hub id or GGUF file; "
        "the generator may serve.",
        "Models",
        path=True,
    )


@dataclass
class DistillConfig:
    """Settings of the student's side of a run.

    Raises:
        InputError: A value is out of its range.
    """

    student_learning_rate: float = setting(1e-3, "AdamW's peak learning rate.", STUDENT, above=0, high=1)
    student_batch_size: int = setting(64, "Texts per student update.", STUDENT, low=1, high=65536)
    student_updates: int = setting(600, "Student updates of the whole run.", STUDENT, low=1)
    student_warmup_share: float = setting(
        0.05, "Share of the updates over which the learning rate rises from zero.", STUDENT, low=0, high=1
    )
    student_schedule: str = setting(
        "cosine", "How the learning rate falls after the warm-up.", STUDENT, choices=("cosine", "linear", "constant")
    )
    student_temperature: float = setting(
        2.0, "Softens the distributions of teacher and student in the distillation loss.", STUDENT, above=0, high=100
    )
    student_hard_label_weight: float = setting(
        0.0, "Weight w of the cross-entropy on the teacher's arg max; the soft loss gets 1 - w.", STUDENT, low=0, high=1
    )
    student_hidden_weight: float = setting(
        0.0, "Weight of the hidden-state loss; needs a Hugging Face teacher with the same tokenizer.", STUDENT, low=0
    )
    student_weight_decay: float = setting(
        0.01, "AdamW's weight decay, on matrices only (not on biases and norms).", STUDENT, low=0, high=1
    )
    student_max_length: int = setting(128, "Longer texts are cut to this many tokens.", STUDENT, low=2, high=8192)
    student_online_share: float = setting(
        0.5, "Share of student_updates made while texts come in; the rest follows on the full replay.", STUDENT, low=0, high=1
    )
    student_restart: bool = setting(
        True, "Make all student_updates on the full replay, with a fresh student, once all texts are there.", STUDENT
    )
    replay_capacity: int = setting(50_000, "Texts kept; newer ones replace the oldest.", STUDENT, low=1, high=MOST_TEXTS)
    replay_selection: str = setting(
        "balanced",
        "How texts are drawn: balanced over the classes that the teacher chose, or uniform. Up to 16 batches are drawn "
        "without repetition, so of few texts nearly all come either way.",
        STUDENT,
        choices=SELECTIONS,
    )

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)


def check_same(folder: Path, stored: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of the student's training that was made with other settings.

    Args:
        folder: The checkpoint, for the message.
        stored: What it holds: its settings under `config`, and others by name.
        now: The same of this call.

    Raises:
        InputError: A setting differs.
    """
    here = {**now["config"], **{name: value for name, value in now.items() if name != "config"}}
    there = {**stored["config"], **{name: stored[name] for name in now if name != "config"}}
    odd = [k for k in here | there if not same_place(there.get(k), here.get(k))]
    if differing := [f"{k} ({there.get(k)!r}, now {here.get(k)!r})" for k in odd]:
        raise InputError(f"{folder}: was made with other settings: {', '.join(differing)}; use the same ones.")
