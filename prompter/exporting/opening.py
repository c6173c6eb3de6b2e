"""Opening what an export needs: what writes, and what labels."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from distill.checkpoints.checksums import sample_of_weights
from distill.common.errors import InputError
from distill.common.files import read_object, write_json
from distill.common.hub import model_folders
from distill.kinds.found import kind_in, shown_kind
from distill.kinds.kind import Kind
from distill.teachers.functions.importing import function_file
from distill.teachers.names import FUNCTION_NAME, teacher_name
from distill.teachers.prediction_cache import CachedTeacher
from eval.classifiers.opening import open_named
from prompter.exporting.config import NO_TEACHER, ExportConfig
from prompter.exporting.folder import ExportProgress
from prompter.exporting.marks import NO_ANSWER
from prompter.exporting.shards import CONFIDENCE
from prompter.generation.config import WriterConfig
from prompter.runtime.console import Console
from prompter.saved.prompter import Prompter
from prompter.saved.rewriter import SavedRewriter

NOTED_TEACHER = "teacher.json"
"""File of a working folder that notes what tells the teacher from others of its name."""


def load_prompter_and_teacher(
    config: ExportConfig, writer: WriterConfig, source: Path, manifest: dict[str, Any], console: Console
) -> tuple[Prompter | SavedRewriter, CachedTeacher | None]:
    """Load the prompter or rewriter, and open its teacher.

    Raises:
        InputError: One of them cannot be loaded, or their classes differ.
    """
    teacher = open_teacher_of(config, manifest, console.say)
    return load_prompter(config, writer, source, manifest), teacher


def open_teacher_of(config: ExportConfig, manifest: dict[str, Any], say: Callable[[str], None]) -> CachedTeacher | None:
    """Open the teacher of an export; None where there is none.

    Raises:
        InputError: It cannot be opened, its kind or its classes are not the prompter's, or rows shall be kept by a confidence
            that its answers do not have.
    """
    if config.teacher is None or config.teacher == NO_TEACHER:
        return None
    teacher = open_named(config, say, own=not config.trust_teacher)
    if teacher.kind != kind_in(manifest):
        raise InputError(
            f"teacher: {teacher_name(config.teacher)} is of the kind {shown_kind(teacher.kind)}, but the prompter was trained "
            f"for {shown_kind(kind_in(manifest))}: name a teacher of that kind, or give --kind"
        )
    check_confidence(config.min_confidence, teacher.kind)
    if (targets := teacher.kind.targets(teacher.labels)) != manifest["labels"]:
        raise InputError(
            f"teacher: {teacher_name(config.teacher)} answers {targets}, but the prompter was trained for "
            f"{manifest['labels']}: "
            "name a teacher of the same classes in the same order (for a callable one, with --teacher_labels)"
        )
    return teacher


def check_confidence(least: float, kind: Kind) -> None:
    """Refuse to keep rows by a confidence that answers of a kind do not have.

    Raises:
        InputError: They have none.
    """
    if least and CONFIDENCE not in kind.columns:
        raise InputError("min_confidence is given, but a number does not say how sure the teacher is: leave it out")


def go_on_counting(teacher: CachedTeacher, progress: ExportProgress, work: Path) -> None:
    """Let a teacher go on where an export was stopped; its share of unusable answers includes those before.

    Args:
        teacher: The teacher.
        progress: How far the export is.
        work: Its working folder, which notes what tells the teacher from others of its name.

    Raises:
        InputError: The teacher has other weights, or its function another source, than when the export was begun.
    """
    file = work / NOTED_TEACHER
    found = {"teacher_weights": teacher.weights} if teacher.weights else sample_of_teacher(teacher.path)
    noted = read_object(file, {}, "remove the file if the teacher is the same") if progress.rows and file.is_file() else {}
    same = f"put the former {{}} back, or begin anew in another folder; if it answers as before, remove {file}"
    check_same_teacher(teacher.path, found, noted, "when this was begun, which would mix the answers of two models", same)
    teacher.restore({"teacher_queries": progress.rows, "teacher_invalid": progress.marked.get(NO_ANSWER, 0)})
    if not noted:
        write_json(file, found)


TAKES_ITS_PLACE = {"teacher_weights": ("weights", "other weights"), "teacher_source": ("source", "another source")}
"""What tells a teacher from another one that takes its place under its name; what it is called, and what a new one is."""


def sample_of_teacher(name: str) -> dict[str, str]:
    """Return what tells a teacher on this machine from another of its name, without opening it.

    Args:
        name: A teacher as the user named it.

    Returns:
        `teacher_weights`, a sample of the weights of a folder; or `teacher_source`, the SHA-256 of the file that holds a
        function; {} where neither is here, as for a service.
    """
    try:
        if Path(name).expanduser().is_dir():
            sample = sample_of_weights(model_folders(name)[0])
            return {"teacher_weights": sample} if sample else {}
        file = function_file(name) if FUNCTION_NAME.fullmatch(name) else None
        return {"teacher_source": hashlib.sha256(file.read_bytes()).hexdigest()} if file else {}
    except Exception:  # a folder that is no model any more; or a package of the user's, which is imported on the way
        return {}


def check_same_teacher(name: str, found: Mapping[str, str], noted: Mapping[str, Any], since: str, remedy: str) -> None:
    """Refuse a teacher that has taken the place of another one.

    Args:
        name: Its name.
        found: What `sample_of_teacher` returns now.
        noted: What it returned before.
        since: When that was.
        remedy: What to do, with `{}` where the thing that differs stands.

    Raises:
        InputError: Its weights or its source are others now.
    """
    for key, sample in found.items():
        if noted.get(key, sample) != sample:
            what, other = TAKES_ITS_PLACE[key]
            raise InputError(f"teacher: {name} has {other} than {since}: {remedy.format(what)}")


def load_prompter(
    config: ExportConfig, writer: WriterConfig, source: Path, manifest: dict[str, Any]
) -> Prompter | SavedRewriter:
    """Load the prompter or rewriter.

    Raises:
        InputError: It cannot be loaded.
    """
    if "rewriter" in manifest:
        return SavedRewriter(source, manifest, config.corpus, config.base, config.device, config.batch_size)
    return Prompter.load(
        config.run,
        base=config.base,
        writer=config.generator,
        device=config.device,
        backend=config.writer,
        **vars(writer),
    )
