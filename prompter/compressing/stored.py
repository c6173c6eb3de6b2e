"""What a compression has stored: the plan and the summary, checked before anything is done with them."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from distill.checkpoints.checksums import check_folder, check_weights
from distill.common.errors import InputError
from distill.common.files import read_object
from prompter.compressing.config import PLAN, SUMMARY
from prompter.compressing.finished import FINISHED
from prompter.compressing.looking import Looked
from prompter.compressing.planning import Plan
from prompter.compressing.result import REPORT, next_commands, write_result, written_places
from prompter.compressing.steps import STUDENT
from prompter.compressing.words import plan_lines, result_lines

PLAN_KEYS = {"settings": dict, "teacher": dict, "plan": dict, "student_parameters": int, "seconds": dict, "commands": list}
"""Keys of `plan.json` that a later call reads, with their types."""

SUMMARY_KEYS = {
    **dict.fromkeys(("plan", "teacher", "agreement", "real", "models", "programs", "health"), dict),
    **dict.fromkeys(("settings", "versions", "written"), dict),
    **{"teacher_queries": int, "notes": list, "next": list},
}
"""The same of `summary.json`."""

REMEDY = "put the file back, or choose another folder"


def read_plan(folder: Path) -> dict[str, Any]:
    """Read `plan.json`.

    Raises:
        InputError: It is damaged, or another version has written something else there.
    """
    stored = read_object(folder / PLAN, PLAN_KEYS, REMEDY)
    finished = stored.get(FINISHED, {})
    if not isinstance(finished, dict) or not all(isinstance(hashed, str) for hashed in finished.values()):
        raise InputError(f"{folder / PLAN}: '{FINISHED}' holds something else than a checksum for each folder: {REMEDY}")
    if strange := [name for name in finished if Path(name).name != name or name in ("", ".", "..")]:
        raise InputError(f"{folder / PLAN}: '{FINISHED}' names '{strange[0]}', which is no folder of its own: {REMEDY}")
    _tried(folder / PLAN, lambda: (Plan.read(stored["plan"]), Looked(**stored["teacher"]), plan_lines(stored, True)))
    return stored


def read_summary(folder: Path) -> dict[str, Any]:
    """Read `summary.json` of a finished compression. Places in it are those of now: the folder may be a copy.

    Raises:
        InputError: See `read_plan`.
    """
    file = folder / SUMMARY
    summary = read_object(file, SUMMARY_KEYS, REMEDY)
    sizes = ("parameters", "bytes", "milliseconds")
    for name, row in summary["models"].items():
        if not isinstance(row, dict) or not all(isinstance(row.get(size), int | float | None) for size in sizes):
            raise InputError(f"{file}: 'models' holds something else than sizes for '{name}': {REMEDY}")
    findings = summary["health"].get("findings", [])
    codes = summary["health"].get("codes", [])
    if not isinstance(codes, list) or not isinstance(findings, list) or not all(map(_is_finding, findings)):
        raise InputError(f"{file}: 'health' holds something else than findings: {REMEDY}")
    placed: dict[str, Any] = _tried(file, lambda: _placed(summary, folder))
    _tried(file, lambda: result_lines(placed))
    return placed


def check_student(folder: Path, programs: Iterable[str]) -> None:
    """Refuse a finished compression whose student is no longer what it was.

    Args:
        folder: The folder of the compression.
        programs: Formats that the student was converted to.

    Raises:
        InputError: The student, or a program that it was converted to, has gone or is damaged.
    """
    student = folder / STUDENT
    weights = sorted(student.glob("*.safetensors"))
    if not weights or not (student / "config.json").is_file():
        raise InputError(f"to: '{student}' has gone, or lacks its weights: put it back, or choose another folder")
    if gone := [student / kind for kind in programs if not (student / kind).is_dir()]:
        raise InputError(f"to: '{gone[0]}' has gone: put it back, or choose another folder")
    check_folder(student, f"to: {student}")
    for file in weights:
        check_weights(file, f"to: {student}")


def write_result_again(folder: Path) -> Path:
    """Write the page of a finished compression from its files, and return it.

    Raises:
        InputError: The compression is not finished, a file is damaged, or the page cannot be written.
    """
    if not (folder / SUMMARY).is_file():
        raise InputError(f"{folder}: is not finished: go on with the command that began it")
    summary, stored = read_summary(folder), read_plan(folder)
    try:
        write_result(folder, summary, stored)
    except InputError:  # the page cannot be written; it is a ValueError, too
        raise
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, TemplateError) as error:
        raise InputError(f"{folder}: {SUMMARY} or {PLAN} is damaged ({error}): copy the folder again") from error
    return folder / REPORT


def _is_finding(row: Any) -> bool:
    return isinstance(row, dict) and all(isinstance(row.get(key), str) for key in ("code", "name", "words", "advice"))


def _placed(summary: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a summary whose paths and commands name this folder."""
    stages = [stage | {"folder": str(folder / Path(stage["folder"]).name)} for stage in summary.get("learnt", [])]
    programs, teacher = summary["programs"], summary["teacher"]
    return summary | {
        "learnt": stages,
        "written": written_places(folder, summary["plan"]["method"], programs),
        "next": next_commands(folder, teacher, programs),
    }


def _tried(file: Path, use: Callable[[], Any]) -> Any:
    """Return what a first use of a file's content gives, which meets every value of a wrong type in it.

    Raises:
        InputError: It met one.
    """
    try:
        return use()
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, IndexError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{file}: holds something else than a compression writes ({reason}): {REMEDY}") from error
