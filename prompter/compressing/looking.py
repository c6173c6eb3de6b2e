"""What is at hand before anything is spent: the teacher, the student that a plan could use, the language model.

A model folder or a model of the hub is opened, and so is a program. A service or a function is not asked anything: its first
answer may cost money already.
"""

import os
from dataclasses import dataclass
from typing import Any

from distill.common.errors import InputError
from distill.common.hub import load_config
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.kinds.classes import SINGLE
from distill.kinds.found import kind_of
from distill.kinds.kind import Kind
from distill.methods.config import AsDfdConfig
from distill.student import Student, load_student
from distill.teachers.found import TOY
from distill.teachers.loading import identity
from distill.teachers.names import FUNCTION_NAME, LANGUAGE_MODELS, UNNAMED_CLASSES, teacher_name
from distill.teachers.prediction_cache import CachedTeacher
from eval.classifiers.opening import open_named
from eval.classifiers.scoring import size_and_speed
from eval.toy import located
from prompter.compressing.config import CompressConfig
from prompter.runtime.console import Console
from prompter.students.methods import new_synthesizer

MODEL, PROGRAM, SERVICE, FUNCTION = "a model with its weights", "a program", "a service", "a function"
LANGUAGE_MODEL = "a language model behind a service"
ZERO_SHOT = "an NLI model that is asked about each class"

SENTENCE = "This is a sentence of about sixteen words that stands for the texts which will be read."
"""What models are timed with before there are texts."""

TIMED = 16


@dataclass(frozen=True)
class Looked:
    """What is known of a teacher.

    Attributes:
        name: As files and messages may show it.
        kind: `MODEL`, `PROGRAM`, `ZERO_SHOT`, `SERVICE`, `LANGUAGE_MODEL` or `FUNCTION`.
        labels: Class names; None for a black box that was not asked.
        layers: Number of layers of a model; None where it has none, or they are unknown.
        parameters, bytes, milliseconds: Size, and time of a call with one text on this machine; None for a black box.
        identity: Changes when the answers of a local teacher may change.
        teacher: The opened teacher; None for a black box.
        answers: Name of the kind of its answers, see `distill.kinds`.
    """

    name: str
    kind: str
    labels: list[str] | None = None
    layers: int | None = None
    parameters: int | None = None
    bytes: int | None = None
    milliseconds: float | None = None
    identity: str | None = None
    teacher: CachedTeacher | None = None
    answers: str = SINGLE.name

    @property
    def toy(self) -> bool:
        """Whether it is a teacher of the built-in toy task."""
        return self.name.startswith(TOY)

    @property
    def local(self) -> bool:
        """Whether asking it costs time alone."""
        return self.teacher is not None

    def facts(self) -> dict[str, Any]:
        """Return what a file may hold of it."""
        names = ("name", "kind", "answers", "labels", "layers", "parameters", "bytes", "milliseconds", "identity")
        return {name: getattr(self, name) for name in names}


def look_at_teacher(config: CompressConfig, console: Console) -> Looked:
    """Open the teacher if it is local, and time it.

    Raises:
        InputError: The teacher cannot be opened.
    """
    name, black_box = teacher_name(config.teacher), kind_of(config.asking().kind, config.teacher_labels)
    if "://" in config.teacher:
        if config.teacher.startswith(UNNAMED_CLASSES):
            open_local(config, console)  # asks nothing, but checks what was given
        kind = LANGUAGE_MODEL if config.teacher.startswith(LANGUAGE_MODELS) else SERVICE
        return Looked(name, kind, config.teacher_labels or None, answers=black_box.name)
    if FUNCTION_NAME.fullmatch(config.teacher) and not config.teacher.startswith(TOY) and not os.path.exists(config.teacher):
        return Looked(name, FUNCTION, config.teacher_labels or None, answers=black_box.name)
    teacher = open_local(config, console)
    white = teacher.white_box
    layers = getattr(white.model.config, "num_hidden_layers", None) if white else None
    measured = size_and_speed(
        {"teacher": teacher.teacher}, [SENTENCE] * TIMED, 1, text_pairs=second_texts(teacher.kind, TIMED)
    )
    return Looked(
        name=name,
        kind=MODEL if white else PROGRAM if teacher.local else ZERO_SHOT,
        answers=teacher.kind.name,
        labels=list(teacher.labels),
        layers=layers if isinstance(layers, int) else None,
        parameters=measured["teacher"]["parameters"],
        bytes=measured["teacher"]["bytes"],
        milliseconds=measured["teacher"]["milliseconds_per_call"],
        identity=identity(teacher.teacher),
        teacher=teacher,
    )


def second_texts(kind: Kind, count: int) -> list[str] | None:
    """Return second texts to time a teacher with; None where it reads one."""
    return [SENTENCE] * count if kind.texts == 2 else None


def open_local(config: CompressConfig, console: Console) -> CachedTeacher:
    """Open a teacher that costs nothing to open; its answers are not stored."""
    return open_named(config, console.say, cache=False, asking=config.asking(config.task_description))


def try_student(spec: str, config: CompressConfig, looked: Looked) -> Student:
    """Make a student, as the work will.

    Raises:
        InputError: It cannot be made.
    """
    kind = looked.teacher.kind if looked.teacher else kind_of(config.asking().kind, looked.labels or [])
    return load_student(
        spec,
        labels=looked.labels or ["first", "second"][: kind.fewest],
        teacher=looked.teacher.white_box if looked.teacher else None,
        tokenizer=config.student_tokenizer,
        words=located(config.student_words, "writer") if config.student_words else None,
        seed=config.seed,
        device=config.device,
        kind=kind,
    )


def why_not_crafted(student: Student, config: CompressConfig, looked: Looked) -> str:
    """Return why as-dfd cannot craft samples for this teacher and student, or "" if it can."""
    if looked.teacher is None or looked.teacher.white_box is None:
        return "the teacher's weights are not at hand"
    try:
        distiller = Distiller(student, DistillConfig(), 1, config.seed)
        new_synthesizer(AsDfdConfig(), looked.teacher, distiller, [], config)  # type: ignore[arg-type]
    except InputError as error:
        return str(error).removesuffix(".")
    return ""


def why_unreachable(generator: str) -> str:
    """Return why a language model can be had neither here nor from the hub, or "". Only its configuration is read."""
    try:
        load_config(generator, "generator")
    except InputError as error:
        return str(error).removeprefix(f"generator: {generator} ").partition(";")[0].removesuffix(".")
    return ""
