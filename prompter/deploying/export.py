"""The work of `prompter export-student`: convert, check, time, and only then write."""

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distill.checkpoints.checksums import list_files
from distill.common import encode
from distill.common.errors import InputError
from distill.common.files import read_json, replace_folder, write_json
from distill.common.hub import model_folder
from distill.common.precision import computing_as
from distill.common.settings import CommonSettings
from distill.kinds.found import LENGTH_KEY
from distill.portable.exported import ExportedClassifier
from distill.portable.formats import LIBRARIES, RECORD
from distill.student import Student, load_student
from eval.data.labelled import load_texts
from prompter.deploying.checking import compare, timings
from prompter.deploying.config import ExportStudentConfig
from prompter.deploying.conversion import convert
from prompter.deploying.texts import RANDOM_WORDS, origin_of, spread, texts_for
from prompter.runtime.console import Console
from prompter.runtime.opening import open_console
from prompter.runtime.versions import library_versions


def export_student(config: ExportStudentConfig) -> dict[str, dict[str, Any]]:
    """Convert a student, check each program against it, and write those that pass.

    Returns:
        The content of `prompter_export.json` for each format.

    Raises:
        InputError: The student cannot be read or converted, or a program does not agree with it. Nothing is written then.
    """
    folder = Path(config.student).expanduser()
    if not config.to and not folder.is_dir():
        raise InputError(f"output_dir is missing: {config.student} is no folder here: give --output_dir")
    parent = Path(config.to) if config.to else folder
    alone = bool(config.to) and len(config.format) == 1
    targets = {kind: parent if alone else parent / kind for kind in config.format}
    with open_console(config.quiet, parent, "run the command again") as console:
        student = open_student(config.student)
        if config.texts:
            texts, origin = load_texts(config.texts, config.text_column, config.text_split), origin_of(config.texts)
            texts = spread(texts, config.check_texts)
        else:
            texts, origin = texts_for(student, folder if folder.is_dir() else None, config.check_texts)
        if origin == RANDOM_WORDS:
            console.say(f"Checked on {RANDOM_WORDS}; give --texts to check on texts of its task.")
        return export_programs(student, targets, texts, origin, console)


def export_new(
    folder: Path, kinds: Sequence[str], texts: Sequence[str], console: Console, count: int = 500
) -> dict[str, dict[str, Any]]:
    """Convert a student that was just written, into folders inside its own; what was converted before is kept.

    Args:
        folder: Folder of the student.
        kinds: The formats.
        texts: Texts to check on; where there are none, see `prompter.deploying.texts.texts_for`.
        console: Shows a bar.
        count: Most texts to check on.

    Raises:
        InputError: See `export_student`. The student itself is complete.
    """
    done = {kind: dict(read_json(folder / kind / RECORD)) for kind in kinds if (folder / kind / RECORD).is_file()}
    targets = {kind: folder / kind for kind in kinds if kind not in done}
    if not targets:
        return done
    student = open_student(str(folder))
    chosen, origin = (spread(list(texts), count), "texts of the run") if texts else texts_for(student, folder, count)
    try:
        made = export_programs(student, targets, chosen, origin, console)
    except InputError as error:
        raise InputError(f"{error} The student in {folder} is complete.") from error
    return {kind: (done | made)[kind] for kind in kinds}


def open_student(name: str) -> Student:
    """Open a student on the CPU, as long as it was trained to read."""
    student = load_student(name, device="cpu")
    trained = getattr(student.model.config, LENGTH_KEY, None)
    student.max_length = trained if isinstance(trained, int) and trained > 1 else 512
    return student


def export_programs(
    student: Student, targets: dict[str, Path], texts: Sequence[str], origin: str, console: Console
) -> dict[str, dict[str, Any]]:
    """Convert, check and time, and write all programs at the end, or none.

    Args:
        student: The student, with float32 weights on the CPU.
        targets: Folder to write, by format.
        texts: Texts to check and to time on.
        origin: What they are, for the record.
        console: Shows a bar.

    Raises:
        InputError: See `export_student`.
    """
    bar = console.bar("converting", len(targets) + 1)
    records: dict[str, dict[str, Any]] = {}
    with contextlib.ExitStack() as stack, computing_as(CommonSettings(dtype="float32")):
        for parent in {target.parent for target in targets.values() if not target.parent.exists()}:
            stack.callback(_remove_if_empty, parent)
        programs: dict[str, ExportedClassifier] = {}
        folders: dict[str, Path] = {}
        for kind, target in targets.items():
            folders[kind] = stack.enter_context(replace_folder(target, marker=RECORD))
            convert(student, kind, folders[kind])
            programs[kind] = ExportedClassifier(folders[kind], "format")
            checked = compare(student, programs[kind], texts, kind)
            records[kind] = {"format": kind, **checked, "texts": len(texts), "texts_from": origin}
            console.step(bar, len(records), f"{kind}: agreement {checked['agreement']:.1%}")
        timed = timings(student, programs, texts)
        for kind, folder in folders.items():
            records[kind] |= timed[kind] | {
                "bytes": programs.pop(kind).bytes,
                "max_length": encode.usable_length(student.model, student.tokenizer, student.max_length),
                "student": _fingerprint(student),
                "versions": library_versions(["prompter", "torch", "transformers", *LIBRARIES[kind]]),
            }
            write_json(folder / RECORD, records[kind])
            list_files(folder, sorted(file.name for file in folder.iterdir()))
        console.step(bar, len(targets) + 1)
    return records


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _fingerprint(student: Student) -> str | None:
    """Return the SHA-256 of the student's weights, which tells whether a program is still its own."""
    with contextlib.suppress(InputError, OSError):
        files = sorted(model_folder(student.spec).glob("model*.safetensors"))
        return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()
    return None
