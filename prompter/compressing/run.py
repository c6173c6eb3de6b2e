"""The work of `prompter compress`: look, plan, carry out, measure.

`plan.json` is written before the first query and decides what a later call with the same settings does. `summary.json` is
written last and marks the folder as finished. Everything between is the work of `train` and `distill`, which go on where a
killed call stopped.
"""

import dataclasses
import time
from pathlib import Path
from typing import Any

from distill.common.errors import InputError
from distill.common.files import write_json
from distill.common.precision import computing_as
from distill.teachers.loading import identity
from distill.teachers.names import teacher_name
from prompter.compressing.config import NO_EXPORT, NOT_COMPARED, PLAN, SUMMARY, CompressConfig
from prompter.compressing.finished import FINISHED, check_finished, fingerprint
from prompter.compressing.looking import (
    Looked,
    look_at_teacher,
    open_local,
    try_student,
    why_not_crafted,
    why_unreachable,
)
from prompter.compressing.planning import Plan, make_plan
from prompter.compressing.result import summarise, write_result
from prompter.compressing.steps import FIRST, RUN, STUDENT, Step, carry_out, steps
from prompter.compressing.stored import check_student, read_plan, read_summary
from prompter.compressing.timing import estimate
from prompter.compressing.words import plan_lines
from prompter.runtime.console import Console, quieten
from prompter.runtime.opening import open_console
from prompter.runtime.run_folder import LOCK, RunFolder, check_empty, default_values, differences, without_progress
from prompter.runtime.versions import library_versions
from prompter.saved.hub import upload_model
from prompter.saved.terms import set_terms

BEGUN = (f".{FIRST}.work", f".{STUDENT}.work")
"""Folders in which `distill` works before a student is there."""


def compress(config: CompressConfig) -> dict[str, Any] | None:
    """Compress a teacher.

    Args:
        config: What to compress, into what.

    Returns:
        The content of `plan.json` with `dry_run`, else of `summary.json`; None if Ctrl-C stopped the work.

    Raises:
        InputError: Anything that the user can correct. Before the first query nothing is written.
    """
    if config.dry_run:
        with quieten(), Console(True) as console, computing_as(config):
            return new_plan(config, console)[0]
    folder = RunFolder(config.to, "to")
    try:
        return _work(config, folder)
    finally:
        folder.close()


def _work(config: CompressConfig, folder: RunFolder) -> dict[str, Any] | None:
    with open_console(config.quiet, folder.path, "run the command again") as console, computing_as(config):
        stored = _stored(config, folder.path)
        if stored is not None and (finished := _finished(config, folder.path)):
            if not config.push_to_hub:
                console.say(f"{folder.path} is finished; nothing to do.")
            return _uploaded(config, finished, console)
        if stored is None:
            stored, todo = new_plan(config, console)
        else:
            todo = steps(config, Plan.read(stored["plan"]), _known(config, stored, console))
        for line in plan_lines(stored, config.explain):
            console.say(line)
        write_json(folder.path / PLAN, stored)
    done: dict[str, Any] = {}
    check_finished(config.to, stored.get(FINISHED, {}))
    for step in todo:
        if done:
            with quieten(), Console(True) as silent, computing_as(config):
                _known(config, stored, silent)  # a teacher may be replaced while the run goes on
            check_finished(config.to, stored[FINISHED])
        try:
            summary = carry_out(step)
        except InputError:
            if _only_planned(folder.path):
                (folder.path / PLAN).unlink()  # nothing has begun, so nothing stays
            raise
        if summary is None:
            return None
        done[step.folder.name] = summary
        if step is not todo[-1]:
            stored[FINISHED] = stored.get(FINISHED, {}) | {step.folder.name: fingerprint(step.folder)}
            write_json(folder.path / PLAN, stored)
    with open_console(config.quiet, folder.path, "run the command again") as console, computing_as(config):
        start = time.perf_counter()
        summary = summarise(config, stored, done, console)
        steps_took = sum(step["seconds"] for step in done.values())  # those of earlier calls, too
        summary["seconds"] = round(steps_took + time.perf_counter() - start, 1)
        write_result(folder.path, summary, stored)
        write_json(folder.path / SUMMARY, summary)
        return _uploaded(config, summary, console)


def _uploaded(config: CompressConfig, summary: dict[str, Any], console: Console) -> dict[str, Any]:
    """Put the terms that this call gives into the student's card, upload it where that is asked for; return the summary.

    Raises:
        InputError: The hub refuses; everything here is complete, and the same call tries again.
    """
    set_terms(Path(config.to) / STUDENT, config, None, console.say)  # the last step has taken over those of the teacher
    if config.push_to_hub:
        url = upload_model(Path(config.to) / STUDENT, config.push_to_hub, config.public, "compress")
        console.say(f"Uploaded: {url}")
    return summary


def new_plan(config: CompressConfig, console: Console) -> tuple[dict[str, Any], list[Step]]:
    """Look at the teacher, and return what `plan.json` will hold, and the steps. Nothing is written, and no query is spent."""
    looked = look_at_teacher(config, console)
    students: dict[str, Any] = {}

    def makeable(spec: str) -> str:
        try:
            students[spec] = try_student(spec, config, looked)
        except InputError as error:
            return str(error)
        return ""

    plan = make_plan(config, looked, makeable, lambda spec: why_not_crafted(students[spec], config, looked), why_unreachable)
    seconds = estimate(config, plan, looked, students[plan.student])
    student = students[plan.student]
    todo = steps(config, plan, looked)
    settings = dataclasses.asdict(config) | {"teacher": looked.name, "writer": teacher_name(config.writer)}
    return {
        "settings": settings,
        "teacher": looked.facts(),
        "plan": plan.stored(),
        "student_parameters": student.num_parameters(),
        "seconds": seconds,
        "commands": [step.command() for step in todo],
        "versions": library_versions(),
    }, todo


def _finished(config: CompressConfig, folder: Path) -> dict[str, Any] | None:
    """Return the summary of a finished folder; None if it is not finished, or lacks a format that is asked for now.

    Raises:
        InputError: The summary is damaged, or the student has gone.
    """
    if not (folder / SUMMARY).is_file():
        return None
    summary = read_summary(folder)
    check_student(folder, summary["programs"])
    wanted = {kind for kind in config.export if kind != NO_EXPORT}
    return summary if wanted <= set(summary["programs"]) else None


def _only_planned(folder: Path) -> bool:
    """Return whether a folder holds a plan that nothing was done for yet."""
    return {file.name for file in folder.iterdir()} <= {LOCK, PLAN}


def _nothing_made(folder: Path) -> bool:
    """Return whether the first step has ended before it had anything to go on with."""
    others = [file for file in folder.iterdir() if file.name not in (LOCK, PLAN)]
    return all(file.is_dir() and file.name in (RUN, *BEGUN) and without_progress(file) for file in others)


def _stored(config: CompressConfig, folder: Path) -> dict[str, Any] | None:
    """Return the plan that the folder holds; None if nothing was done for it yet.

    Raises:
        InputError: The folder holds something else, or what other settings have made.
    """
    if _only_planned(folder):
        return None
    if not (folder / PLAN).is_file():
        check_empty(folder, "to")
        return None
    stored = read_plan(folder)
    given = dataclasses.asdict(config) | {"teacher": teacher_name(config.teacher), "writer": teacher_name(config.writer)}
    if differing := differences(stored["settings"], given, default_values(config), NOT_COMPARED):
        if _nothing_made(folder):
            return None
        raise InputError(
            f"to: '{folder}' was begun with other settings ({'; '.join(differing)}): give the same, or choose another folder"
        )
    return stored


def _known(config: CompressConfig, stored: dict[str, Any], console: Console) -> Looked:
    """Return what the plan knows of the teacher.

    Raises:
        InputError: A local teacher has changed since, or has gone.
    """
    facts = stored["teacher"]
    if facts.get("identity") is None:
        return Looked(**facts)
    teacher = open_local(config, console)
    if identity(teacher.teacher) != facts["identity"]:
        raise InputError(
            f"teacher: {facts['name']} has changed since '{config.to}' was begun: put it back, or choose another folder"
        )
    return Looked(**facts, teacher=teacher)
