"""The steps of a plan: each is a verb with its settings, carried out by the function behind that verb."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.common.precision import computing_as
from distill.config import DistillConfig
from distill.teachers.names import teacher_name
from prompter.compressing.config import CompressConfig
from prompter.compressing.looking import Looked
from prompter.compressing.planning import CRAFTED, PROMPTED, Plan
from prompter.generation.config import PolicyConfig, WriterConfig
from prompter.rl.config import CandidateConfig
from prompter.runtime.parser import fill, names_of
from prompter.runtime.run_folder import default_values
from prompter.students.config import StudentsConfig, distill_settings
from prompter.training.settings import PARTS, settings_from

RUN, STUDENT, DATASET = "run", "student", "dataset"
"""Folders in that of the result: the run of a prompter, the student, the texts with the teacher's answers."""


@dataclass(frozen=True)
class Step:
    """One call of a verb.

    Attributes:
        verb: `train` or `distill`.
        values: Its settings by name.
    """

    verb: str
    values: dict[str, Any]

    def command(self) -> str:
        """Return the command line that does the same."""
        words = ["prompter", self.verb]
        defaults = default_values(*(PARTS if self.verb == "train" else (StudentsConfig, DistillConfig)))
        for name, value in self.values.items():
            if name in ("resume", "quiet") or value == defaults.get(name):
                continue
            value = teacher_name(value) if name in ("teacher", "writer") else value  # without a query, which may hold a key
            flag = "--from" if name == "sources" else f"--{name}"
            words += [flag, *map(str, value)] if isinstance(value, list) else [flag, str(value)]
        return shlex.join(words)


def training_values(config: CompressConfig, plan: Plan) -> dict[str, Any]:
    """Return the settings of the student's training by name."""
    return {"student_updates": plan.updates, "student_learning_rate": plan.learning_rate} | plan.training


def training_settings(config: CompressConfig, plan: Plan) -> DistillConfig:
    """Return the same as settings, as `distill` will have them."""
    return fill((DistillConfig,), [("", {"student_restart": plan.method == CRAFTED}), ("", training_values(config, plan))])[0]


def writing_settings(config: CompressConfig, plan: Plan) -> tuple[PolicyConfig, WriterConfig, int]:
    """Return settings of policy and writer, and the number of texts that are written for each one that is asked about."""
    parts = (PolicyConfig, WriterConfig, CandidateConfig)
    known = names_of(parts)
    values = {key: value for key, value in plan.writing.items() if key in known}
    policy, writer, candidates = fill(parts, [("", values | {"task_description": config.task_description})])
    return policy, writer, candidates.candidates


def steps(config: CompressConfig, plan: Plan, looked: Looked) -> list[Step]:
    """Return the steps in their order.

    Args:
        config: The call.
        plan: What will be done.
        looked: The teacher.
    """
    folder, shared = Path(config.to), config.shared()
    student = {"student": [plan.student], "to": str(folder / STUDENT), "calibrate_to": config.calibrate_to}
    student |= training_values(config, plan)
    real = {name: getattr(config, name) for name in REAL} if config.eval_data else {}
    if plan.method == CRAFTED:
        return [Step("distill", {**shared, **student, **real, "method": plan.method, "budget": config.budget})]
    if plan.method != PROMPTED:
        texts = {"sources": [config.texts], "text_column": config.text_column, "text_split": config.text_split}
        return [Step("distill", {**shared, **student, **real, **texts, "budget": config.budget})]
    # The student of the run only guides the prompter: it learns while the texts come in. The last step trains the one that
    # is kept, and holds texts out for it.
    guide = training_values(config, plan) | {
        "student": plan.student, "student_updates": max(1, plan.updates // 2),
        "student_online_share": 1.0, "student_restart": False,
    }  # fmt: skip
    run = {
        "generator": plan.generator,
        "writer": config.writer,
        "task_description": config.task_description,
        "budget": config.budget,
    }
    train = Step("train", {**shared, **guide, **plan.writing, **run, "output_dir": str(folder / RUN)})
    learn = {**shared, **student, **real, "sources": [str(folder / RUN / DATASET)]}
    if not looked.local and not config.eval_data:  # nothing is left to ask a black box
        learn = {name: value for name, value in learn.items() if name not in ("teacher", "teacher_labels", "teacher_price")}
    return [train, Step("distill", learn)]


REAL = (
    *("eval_data", "eval_split", "eval_text_column", "eval_text_pair_column", "eval_label_column", "eval_limit"),
    "eval_metric",
)
"""Settings of labelled data, which a report is made on."""


def carry_out(step: Step) -> Mapping[str, Any] | None:
    """Do a step, or go on with it; a finished one is only read.

    Returns:
        Its summary; None where Ctrl-C stopped it.

    Raises:
        InputError: See `prompter.training.run.train` and `prompter.students.run.distill`.
    """
    if step.verb == "train":
        from prompter.training.run import train

        settings = settings_from(step.values)
        with computing_as(settings.run):
            return train(settings)
    from prompter.students.run import distill

    found = distill_settings(step.values)
    with computing_as(found[0]):
        return distill(*found)
