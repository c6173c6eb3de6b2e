"""Opening a teacher: the one place where a command turns the name of a classifier into something it can ask.

A name is a model folder or hub id, the address of a service, `module:function`, or `toy:TASK` of the embedded world;
Python code may pass a function instead. What comes back remembers its answers between runs, so that no text is paid
for twice.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from distill.processes.group import ALONE, Processes
from distill.processes.teacher import SharedTeacher
from distill.teachers.config import Asking
from distill.teachers.loading import load_teacher
from distill.teachers.names import teacher_name
from distill.teachers.prediction_cache import CachedTeacher, predictions_file
from distill.teachers.services.http_teacher import HttpTeacher
from eval.toy import located


def open_teacher(
    spec: str | Callable[..., Any],
    *,
    labels: Sequence[str] = (),
    device: str = "auto",
    cache: bool = True,
    notice: Callable[[str], None] = print,
    field: str = "teacher",
    quiet: bool = True,
    order: Sequence[str] = (),
    own: bool = True,
    max_length: int = 512,
    asking: Asking = Asking(),  # noqa: B008 (frozen)
    processes: Processes = ALONE,
) -> CachedTeacher:
    """Open a teacher, or any other classifier that is asked for class probabilities.

    Args:
        spec: Model folder, hub id, URL, `module:function`, `toy:TASK`, or a Python function `texts -> probabilities`.
        labels: Class names in the order of the teacher's outputs; empty to take the teacher's own.
        device: Device of a Hugging Face model.
        cache: Keep predictions on disk between runs. Those of a lambda, an inner function or an object are not kept,
            because a change of its code could not be noticed; `notice` says so.
        notice: Called with one line when the cache cannot be used.
        field: Name of the setting, for messages about a Hugging Face model.
        quiet: Show no progress bar while a toy teacher is trained.
        order: Preferred order of the class names of a service, whose answers have no order of their own.
        max_length: Tokens that a Hugging Face model reads of a text at most.
        asking: How a service, a language model or an NLI model is asked.
        processes: The processes that will ask it together.
        own: Whether the user named it, and not a file; see `distill.teachers.found`. What a file names is announced.

    Raises:
        InputError: The teacher cannot be opened; see `distill.teachers.loading.load_teacher`.
    """
    if not own:
        notice(f"Asking the teacher {teacher_name(spec)}, which a file names.")
    name = located(spec, "teacher", quiet) if isinstance(spec, str) else spec
    given = list(labels) or None
    teacher = load_teacher(name, device, labels=given, field=field, own=own, max_length=max_length, asking=asking)
    if isinstance(teacher, HttpTeacher) and order and teacher.format.names:
        teacher.labels = in_order(teacher.labels, order)
    file = predictions_file() if cache else None
    return CachedTeacher(teacher, file, notice) if processes.size == 1 else SharedTeacher(teacher, file, notice, processes)


class NamesTeacher(Protocol):
    """Settings that name a teacher, see `distill.teachers.config.TeacherSettings`, of a command that runs somewhere."""

    teacher: Any
    teacher_labels: list[str]
    teacher_max_length: int
    teacher_cache: bool
    device: str
    quiet: bool

    def asking(self, task: str | None = None) -> Asking: ...  # noqa: D102


def open_named(settings: NamesTeacher, notice: Callable[[str], None], spec: Any = None, **others: Any) -> CachedTeacher:
    """Open the teacher that settings name.

    Args:
        settings: The settings of a command.
        notice: See `open_teacher`.
        spec: Another name for it, as a file has it.
        **others: Arguments of `open_teacher`, where they are not those of the settings.

    Raises:
        InputError: As `open_teacher`.
    """
    given = {
        "labels": settings.teacher_labels,
        "device": settings.device,
        "cache": settings.teacher_cache,
        "max_length": settings.teacher_max_length,
        "asking": settings.asking(),
        "quiet": settings.quiet,
    }
    arguments: dict[str, Any] = given | others
    return open_teacher(settings.teacher if spec is None else spec, notice=notice, **arguments)


def in_order(names: Sequence[str], order: Sequence[str]) -> list[str]:
    """Return class names in a preferred order; names that are not in it are sorted by their numbers.

    Examples:
        >>> in_order(["Positive", "negative"], ["negative", "positive"])
        ['negative', 'Positive']
        >>> in_order(["LABEL_10", "LABEL_2"], ["negative", "positive"])
        ['LABEL_2', 'LABEL_10']
    """
    folded = [name.casefold() for name in order]
    if all(name.casefold() in folded for name in names):
        return sorted(names, key=lambda name: folded.index(name.casefold()))
    return sorted(names, key=lambda name: (len(name), name))
