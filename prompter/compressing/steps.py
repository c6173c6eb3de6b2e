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
from prompter.compressing.planning import BOTH, CRAFTED, PROMPTED, TEXTS, Plan
from prompter.generation.config import PolicyConfig, WriterConfig
from prompter.rl.config import CandidateConfig
from prompter.runtime.parser import fill, names_of
from prompter.runtime.run_folder import CONFIG, default_values
from prompter.students.config import StudentsConfig, distill_settings
from prompter.training.settings import PARTS, settings_from

RUN, FIRST, STUDENT, DATASET = "run", "first_student", "student", "dataset"
"""Folders in that of the result: the run of a prompter, the student of as-dfd that the last one goes on from, the student, the
texts with the teacher's answers."""

ONLINE_SHARE = 0.25
"""Share of the updates of as-dfd that is made while its samples come in."""


@dataclass(frozen=True)
class Step:
    """One call of a verb.

    Attributes:
        verb: `train` or `distill`.
        values: Its settings by name.
    """

    verb: str
    values: dict[str, Any]

    @property
    def folder(self) -> Path:
        """Where its result lies."""
        return Path(self.values["output_dir" if self.verb == "train" else "to"])

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


def updates_of(plan: Plan) -> int:
    """Return the student updates of each method of a plan."""
    return max(1, plan.updates // 2) if plan.method == BOTH else plan.updates


def queries_of(plan: Plan, budget: int) -> tuple[int, int]:
    """Return how many queries go to as-dfd, and how many to texts of a language model."""
    texts = {PROMPTED: budget, BOTH: budget // 2}.get(plan.method, 0)
    return budget - texts if plan.method in (CRAFTED, BOTH) else 0, texts


def training_values(plan: Plan) -> dict[str, Any]:
    """Return the settings of the student's training by name; of `BOTH`, those of its first half."""
    return {"student_updates": updates_of(plan), "student_learning_rate": plan.learning_rate} | plan.training


def crafting_values(plan: Plan) -> dict[str, Any]:
    """Return the same for as-dfd."""
    return training_values(plan) | {"student_online_share": plan.training.get("student_online_share", ONLINE_SHARE)}


def training_settings(plan: Plan) -> DistillConfig:
    """Return as settings, as `distill` will have them, how the student begins to learn."""
    crafted = plan.method in (CRAFTED, BOTH)
    values = crafting_values(plan) if crafted else training_values(plan)
    return fill((DistillConfig,), [("", {"student_restart": crafted}), ("", values)])[0]


def writing_settings(config: CompressConfig, plan: Plan) -> tuple[PolicyConfig, WriterConfig, int]:
    """Return settings of policy and writer, and the number of texts that are written for each one that is asked about."""
    parts = (PolicyConfig, WriterConfig, CandidateConfig)
    known = names_of(parts)
    values = {key: value for key, value in plan.writing.items() if key in known}
    policy, writer, candidates = fill(parts, [("", values | {"task_description": config.task_description})])
    return policy, writer, candidates.candidates


def steps(config: CompressConfig, plan: Plan, looked: Looked) -> list[Step]:
    """Return the steps in their order.

    The run comes before as-dfd: its pilot is the likelier one to stop, and nothing else is spent then. Each step goes on by
    itself after a kill, whatever the order.

    Args:
        config: The call.
        plan: What will be done.
        looked: The teacher.
    """
    folder, shared = Path(config.to), config.shared()
    crafted, written = queries_of(plan, config.budget)
    student = {"student": [plan.student], "to": str(folder / STUDENT), "calibrate_to": config.calibrate_to}
    real = {name: getattr(config, name) for name in REAL} if config.eval_data else {}
    if plan.method == TEXTS:
        texts = {"sources": [config.texts], "text_column": config.text_column, "text_split": config.text_split}
        return [Step("distill", {**shared, **student, **training_values(plan), **real, **texts, "budget": config.budget})]
    craft = {**shared, **student, **crafting_values(plan), "method": CRAFTED, "budget": crafted}
    if plan.method == CRAFTED:
        return [Step("distill", craft | real)]
    # The student of the run only guides the prompter: it learns while the texts come in. The last step trains the one that
    # is kept, and holds texts out for it.
    guide = training_values(plan) | {
        "student": plan.student, "student_updates": max(1, updates_of(plan) // 2),
        "student_online_share": 1.0, "student_restart": False,
    }  # fmt: skip
    run = {
        "generator": plan.generator,
        "writer": config.writer,
        "task_description": config.task_description,
        "budget": written,
    }
    train = Step("train", {**shared, **guide, **plan.writing, **run, "output_dir": str(folder / RUN)})
    learn = {**shared, **student, **training_values(plan), **real, "sources": [str(folder / RUN / DATASET)]}
    if not looked.local and not config.eval_data:  # nothing is left to ask a black box
        learn = {name: value for name, value in learn.items() if name not in ("teacher", "teacher_labels", "teacher_price")}
    if plan.method == PROMPTED:
        return [train, Step("distill", learn)]
    learn |= {"student": [str(folder / FIRST)], "student_learning_rate": plan.last_rate}
    learn |= {"student_tokenizer": None, "student_words": None}  # it has its own by now
    return [train, Step("distill", craft | {"to": str(folder / FIRST)}), Step("distill", learn)]


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

        begun = (step.folder / CONFIG).is_file()
        settings = settings_from(step.values | {"resume": begun})
        with computing_as(settings.run):
            return train(settings)
    from prompter.students.run import distill

    found = distill_settings(step.values)
    with computing_as(found[0]):
        return distill(*found)
