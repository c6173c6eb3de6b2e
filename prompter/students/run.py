"""`prompter distill`: students from saved prompters, exported datasets, text of one's own, or another method.

While it works, everything lies in a folder beside the target, `.NAME.work`, with its log and its checkpoints; the target
appears whole at the end.
"""

import dataclasses
import math
import shutil
from pathlib import Path
from typing import Any

from distill.common.errors import InputError
from distill.common.files import read_json
from distill.config import DistillConfig
from distill.teachers.names import teacher_name
from prompter.runtime.opening import open_console
from prompter.runtime.run_folder import RunFolder
from prompter.students.config import NOT_COMPARED, StudentsConfig
from prompter.students.inputs import load, total_texts
from prompter.students.work import SUMMARY, Distillation


def distill(config: StudentsConfig, training: DistillConfig, method: Any = None) -> dict[str, Any] | None:
    """Distil the students.

    Args:
        config: What to distil from, into what.
        training: How the students are trained.
        method: Settings of `config.method`, where there is one.

    Returns:
        The summary as written to `summary.json`, or None where Ctrl-C stopped the work.

    Raises:
        InputError: Anything a user can put right; nothing half-written is left at `config.to`.
    """
    named = dataclasses.asdict(config) | dataclasses.asdict(training) | (dataclasses.asdict(method) if method else {})
    named["teacher"] = teacher_name(config.teacher)
    target = Path(config.to).resolve()
    if finished := _finished(target, named):
        return finished
    folder = RunFolder(target.with_name(f".{target.name}.work"), "to")
    done = False
    try:
        with open_console(config.quiet, folder.path) as show:
            inputs = load(config, training, show)
            total = total_texts(config, inputs.sources)
            planned = max(1, round(total * (1 - config.held_out)))  # up to what chance decides
            if config.epochs:
                updates = math.ceil(config.epochs * planned / training.student_batch_size)
                training = dataclasses.replace(training, student_updates=updates)
            # Every text is kept: forgetting the oldest helps only where the first texts were worse.
            training = dataclasses.replace(training, replay_capacity=total)
            # What a method cannot work with is refused before anything lies in the folder.
            work = Distillation(config, training, inputs, planned, folder, show, method)
            folder.open_config(named, config.resume, NOT_COMPARED)
            if not work.run():
                return None
            summary = work.summary() | {"config": named}
            work.write(target, summary)
            done = True
            return summary
    finally:
        folder.close()
        if done:
            shutil.rmtree(folder.path, ignore_errors=True)


def _finished(target: Path, named: dict[str, Any]) -> dict[str, Any] | None:
    """The summary of a call that has ended already, None where the target is free.

    Raises:
        InputError: The target holds something else, or students of other settings.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return None
    if not (target / SUMMARY).is_file():
        raise InputError(f"to: '{target}' holds something else already; choose another folder")
    summary: dict[str, Any] = read_json(target / SUMMARY)
    then = summary.get("config", {})
    differing = sorted(k for k in named | then if k not in NOT_COMPARED and named.get(k) != then.get(k))
    if differing:
        raise InputError(
            f"to: '{target}' holds students made with other settings ({', '.join(differing)}); choose another folder"
        )
    return summary
