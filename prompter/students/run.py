"""`prompter distill`: students from saved prompters, exported datasets, the user's own texts, or a method.

The call works in a folder `.NAME.work` beside the target, which holds its log and its checkpoints. The target appears at the
end, complete.
"""

import dataclasses
import math
import shutil
from pathlib import Path
from typing import Any

from distill.common.errors import InputError
from distill.common.files import read_json, read_yaml, replace_folder, write_json, write_text
from distill.config import MOST_TEXTS, DistillConfig
from distill.methods.t3 import TextToText
from distill.teachers.names import teacher_name
from prompter.deploying.export import export_new
from prompter.runtime.console import Console
from prompter.runtime.opening import open_console, open_run
from prompter.runtime.run_folder import CONFIG, check_is_folder, default_values, differences
from prompter.runtime.samples import PER_BATCH
from prompter.saved.hub import upload_model
from prompter.saved.past import past_of
from prompter.saved.rewriter import REWRITER_FOLDER
from prompter.saved.student_card import write_student_card
from prompter.saved.terms import set_terms
from prompter.students.config import NOT_COMPARED, StudentsConfig
from prompter.students.inputs import load_inputs, total_texts
from prompter.students.work import LOG, SAMPLES, SUMMARY_FILE, TRACKERS, Distillation


def distill(config: StudentsConfig, training: DistillConfig, method: Any = None) -> dict[str, Any] | None:
    """Distil the students.

    Args:
        config: What to distil from, and into what.
        training: How to train the students.
        method: Settings of `config.method`, if there is one.

    Returns:
        The summary as in `summary.json`, or None if Ctrl-C stopped the work.

    Raises:
        InputError: The user can fix the cause; the message says how. Nothing half-written is left at `config.to`.
    """
    parts = [config, training, *([method] if method else [])]
    named = {key: value for part in parts for key, value in dataclasses.asdict(part).items()}
    named["teacher"] = teacher_name(config.teacher)
    defaults = default_values(*parts)
    check_is_folder("to", config.to)
    target = Path(config.to).resolve()
    work_folder = target.with_name(f".{target.name}.work")
    if finished := _finished(target, named, defaults):
        _remove_left(work_folder, named, defaults)
        with open_console(config.quiet, target) as console:
            return _finish(config, target, finished, [], console)
    with open_run(work_folder, "to", config.quiet) as (folder, console):
        inputs = load_inputs(config, training, console)
        total = total_texts(config, inputs.sources)
        planned = max(1, round(total * (1 - config.held_out)))  # the expected number; each text is held out at random
        if config.epochs:
            updates = math.ceil(config.epochs * planned / training.student_batch_size)
            training = dataclasses.replace(training, student_updates=updates)
        training = _keeping_all(training, total, console)
        # Built before anything is written, so that a method that refuses its inputs leaves no folder behind.
        work = Distillation(config, training, inputs, planned, folder, console, method)
        folder.open_config(named, config.resume, NOT_COMPARED, defaults)
        if not work.run():
            return None
        summary = work.summary() | {"config": named}
        for figures in summary["students"].values():
            if past := past_of(figures["spec"]):
                figures["went_on_from"] = past
        _write(work, target, summary)
    shutil.rmtree(work_folder, ignore_errors=True)  # the students are complete, whatever comes of the rest
    with open_console(config.quiet, target) as console:
        return _finish(config, target, summary, work.held_out.texts, console)


def _keeping_all(training: DistillConfig, texts: int, console: Console) -> DistillConfig:
    """Return the settings with a replay for all texts: dropping the oldest helps only where the first texts are worse.

    Raises:
        InputError: They are more than a replay can hold.
    """
    if texts > MOST_TEXTS:
        raise InputError(
            f"from: {texts:,} texts, of which at most {MOST_TEXTS:,} can be held: give fewer, such as some shards"
        )
    given = training.replay_capacity
    if given != DistillConfig.replay_capacity and given < texts:
        console.say(f"replay_capacity is {given:,}, but distill keeps all of its {texts:,} texts: it is not used.")
    return dataclasses.replace(training, replay_capacity=texts)


def _write(work: Distillation, target: Path, summary: dict[str, Any]) -> None:
    """Write the folder of the students in one step."""
    config, log = work.config, work.folder
    samples = log.read(SAMPLES)[-PER_BATCH:]
    with replace_folder(target, marker=SUMMARY_FILE) as temporary:
        for name, student in work.inputs.students.items():
            path = temporary if len(work.inputs.students) == 1 else temporary / name
            student.save(path)
            write_student_card(path, name, summary, samples)
        if isinstance(work.synthesizer, TextToText):
            names = {"teacher": work.teacher_name, "corpus": str(config.corpus)}
            work.synthesizer.save_rewriter(temporary / REWRITER_FOLDER, work.method.rewriter, **names)
        write_text(temporary / f"{LOG}.jsonl", (log.path / f"{LOG}.jsonl").read_text(encoding="utf-8"))
        if work.synthesizer:
            shutil.copy(log.path / f"{SAMPLES}.jsonl", temporary)
        if config.report_to and (trackers := log.path / TRACKERS).exists():
            shutil.copytree(trackers, temporary / TRACKERS)
        write_json(temporary / SUMMARY_FILE, summary)


def _finish(
    config: StudentsConfig, target: Path, summary: dict[str, Any], texts: list[str], console: Console
) -> dict[str, Any]:
    """Convert and upload finished students, where that is asked for; return the summary with what came of it."""
    if config.export:
        summary = summary | {"programs": _export(config, target, summary, texts, console)}
    single = len(summary["students"]) == 1
    folders = {name: target if single else target / name for name in summary["students"]}
    for folder in folders.values():
        set_terms(folder, config, summary["teacher"], console.say)
    if config.push_to_hub:
        for name, folder in folders.items():
            place = config.push_to_hub if single else f"{config.push_to_hub}-{name}"
            console.say(f"{name}: {upload_model(folder, place, config.public, 'distill')}")
    return summary


def _export(
    config: StudentsConfig, target: Path, summary: dict[str, Any], texts: list[str], console: Console
) -> dict[str, dict[str, Any]]:
    """Convert each student; return what `prompter_export.json` says, by format, and by student where there are several."""
    programs: dict[str, dict[str, Any]] = {}
    for name in summary["students"]:
        single = len(summary["students"]) == 1
        made = export_new(target if single else target / name, config.export, texts, console)
        programs |= {kind if single else f"{name} {kind}": record for kind, record in made.items()}
    return programs


def _remove_left(work_folder: Path, named: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Remove the work of a finished call that was killed right after it had written the students."""
    file = work_folder / CONFIG
    if file.is_file() and not differences(read_yaml(file), named, defaults, NOT_COMPARED):
        shutil.rmtree(work_folder, ignore_errors=True)


def _finished(target: Path, named: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any] | None:
    """Return the summary of a finished call, or None if the target is free.

    Raises:
        InputError: The target holds something else, or students with other settings.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return None
    summary = read_json(target / SUMMARY_FILE) if (target / SUMMARY_FILE).is_file() else None
    made = summary.get("config", {}) if isinstance(summary, dict) else None
    if not isinstance(summary, dict) or not isinstance(made, dict):
        raise InputError(f"to: '{target}' already holds something else: choose another folder")
    differing = differences(made, named, defaults, NOT_COMPARED)
    if differing:
        raise InputError(
            f"to: '{target}' holds students made with other settings ({'; '.join(differing)}): choose another folder"
        )
    return summary
