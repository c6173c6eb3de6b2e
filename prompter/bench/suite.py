"""Suites: what is compared with what, read from one YAML file and laid out as cells.

    name: toy
    settings: {student_updates: 400}          # of `prompter train`, for every cell
    tasks:
      sentiment: {teacher: toy:sentiment, generator: toy, eval_data: toy:sentiment, real_data: toy:sentiment, corpus: toy}
    methods: [prompted, no-novelty, unprompted, {hot-prompter: {writer_temperature: 1.3}}]
    students: ["bert:layers=2,hidden=64"]
    budgets: [1000, 3000]
    seeds: [0, 1, 2]
    more:                                     # further combinations; what one leaves out is as above
      - {budgets: [3000], seeds: [0], students: ["teacher-layers:0,2"]}
      - {budgets: [9000], settings: {student_updates: 1200}}

A method is a set of settings with a name: one of `PROMPTERS`, a control, one of the methods that follow gradients
(`prompter.students.methods`), or one's own, of the prompter or, with a key `method`, of another of them. Every cell is parsed like the
flags of `prompter train` before the first one runs, so a mistake in the last line costs nothing.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from distill.common.errors import InputError, did_you_mean
from distill.common.files import read_yaml
from distill.methods.table import METHODS
from prompter.runtime.shipped import config_path
from prompter.training.baseline_names import BASELINES
from prompter.training.settings import Settings, settings_from

PROMPTED = "prompted"

PROMPTERS: dict[str, dict[str, Any]] = {
    PROMPTED: {},
    "prompted-grpo": {"algorithm": "grpo"},
    "prompted-rloo": {"algorithm": "rloo"},
    "no-confidence": {"reward_confidence": 0.0},
    "no-certainty": {"reward_certainty": 0.0},
    "no-disagreement": {"reward_disagreement": 0.0},
    "no-novelty": {"reward_novelty": 0.0},
}
"""Prompters by name, and what sets each apart from the settings of its suite. The controls are methods, too."""

OF_METHODS = {name: {field.name for field in fields(method.settings)} for name, method in METHODS.items()}
"""The settings that only a method has; a suite may give them once, for whichever cells have a use for them."""

AXES = ("tasks", "methods", "students", "budgets", "seeds")
KEYS = ("name", "settings", *AXES, "more")


@dataclass(frozen=True)
class Cell:
    """One student, distilled once.

    Attributes:
        task: Name of the task in its suite.
        method: Name of the method.
        student: What is distilled.
        budget: Texts that the student learns from, each a teacher query.
        seed: Of everything drawn.
        text: "prompted", or the control or other method whose text it learns from.
        settings: Those of `prompter train`, without a folder of the run.
    """

    task: str
    method: str
    student: str
    budget: int
    seed: int
    text: str
    settings: dict[str, Any]

    @property
    def name(self) -> str:
        """A name for people and folders."""
        return "--".join(_slug(str(part)) for part in (self.task, self.method, self.student, self.budget, self.seed))

    def parsed(self, folder: str | Path) -> Settings:
        """The settings, checked, of a run in that folder.

        Raises:
            InputError: A key is unknown, or a value is wrong or missing.
        """
        unused = set().union(*OF_METHODS.values()) - OF_METHODS.get(self.text, set())
        settings = {key: value for key, value in self.settings.items() if key not in unused}
        settings |= {"compare": [self.text] if self.text in BASELINES else [], "output_dir": str(folder), "quiet": True}
        return settings_from(settings, method=METHODS[self.text].settings if self.text in METHODS else None)


@dataclass(frozen=True)
class Suite:
    """A suite: its name and its cells, in the order in which they run: seed by seed, so that a first table comes early."""

    name: str
    cells: list[Cell]


def read_suite(file: str | Path, changes: Sequence[str] = ()) -> Suite:
    """Read a suite.

    Args:
        file: The YAML file; `configs/bench/toy.yaml` and others come with the package.
        changes: Settings of tasks to replace, `TASK.KEY=VALUE`, for instance to point at local copies.

    Raises:
        InputError: The file cannot be read, a key or method is unknown, an axis is empty, or a cell's settings are wrong.
    """
    path = config_path(str(file))
    content = read_yaml(path)
    _check_keys(content, KEYS, str(path))
    tasks = {
        str(name): dict(_mapping(task, f"{path}: task '{name}'"))
        for name, task in _mapping(content.get("tasks", {}), f"{path}: tasks").items()
    }
    for change in changes:
        _apply(change, tasks)
    settings = _mapping(content.get("settings") or {}, f"{path}: settings")
    cells: dict[str, Cell] = {}
    efforts: dict[tuple[str, str, int], tuple[int, int]] = {}
    grids = [{}, *(content.get("more") or [])]
    for number, grid in enumerate(grids):
        where = f"{path}: more, entry {number}" if number else str(path)
        _check_keys(_mapping(grid, where), (*AXES, "settings"), where)
        common = {**settings, **_mapping(grid.get("settings") or {}, f"{where}: settings")}
        axes = {axis: grid.get(axis, list(tasks) if axis == "tasks" else content.get(axis)) for axis in AXES}
        for axis, values in axes.items():
            if not isinstance(values, list) or not values:
                raise InputError(f"{where}: '{axis}' is {values!r}, expected a list of at least one entry")
        methods = [_method(entry, where) for entry in axes["methods"]]
        for seed, task, student, budget, (method, text, own) in itertools.product(
            axes["seeds"], axes["tasks"], axes["students"], axes["budgets"], methods
        ):
            if task not in tasks:
                raise InputError(f"{where}: unknown task '{task}'.{did_you_mean(str(task), tasks)}")
            merged = {**common, **tasks[task], **own, "student": student, "budget": budget, "seed": seed}
            cell = Cell(task, method, str(student), budget, seed, text, merged)
            try:
                parsed = cell.parsed("unused")
                training = parsed.distill
                if not parsed.run.eval_data:
                    raise InputError("eval_data is missing: a comparison needs labelled data to report on")
            except InputError as error:
                raise InputError(f"{where}: task '{task}', method '{method}': {error}") from None
            effort = (training.student_updates, training.student_batch_size)
            if efforts.setdefault((task, student, budget), effort) != effort:
                raise InputError(
                    f"{where}: task '{task}', method '{method}': {effort[0]} updates of {effort[1]} texts, but "
                    f"{efforts[task, student, budget]} for other methods; what is compared has to cost the same"
                )
            if cells.setdefault(cell.name, cell).settings != merged:
                raise InputError(
                    f"{where}: task '{task}', method '{method}', student '{student}', {budget} queries, seed {seed} is there "
                    "already, with other settings; give a method of your own: '- NAME: {setting: value}'"
                )
    return Suite(_slug(str(content.get("name") or path.stem)), list(cells.values()))


def _method(entry: Any, where: str) -> tuple[str, str, dict[str, Any]]:
    """A method's name, whose text it is, and its settings."""
    known = [*PROMPTERS, *BASELINES, *METHODS]
    if isinstance(entry, str):
        if entry not in known:
            raise InputError(
                f"{where}: unknown method '{entry}'.{did_you_mean(entry, known)} Known are {', '.join(known)}; "
                "one of your own is written '- NAME: {setting: value}'"
            )
        return entry, PROMPTED if entry in PROMPTERS else entry, PROMPTERS.get(entry, {})
    if isinstance(entry, Mapping) and len(entry) == 1:
        ((name, own),) = entry.items()
        if isinstance(own, Mapping) and name not in known:
            text = str(own.get("method", PROMPTED))
            if text != PROMPTED and text not in METHODS:
                raise InputError(f"{where}: method '{name}' is of method '{text}', expected one of {', '.join(METHODS)}")
            return str(name), text, {key: value for key, value in own.items() if key != "method"}
    raise InputError(f"{where}: method {entry!r}; expected a known name, or a new one with its settings")


def _apply(change: str, tasks: dict[str, dict[str, Any]]) -> None:
    found = re.fullmatch(r"([^.=]+)\.(\w+)=(.*)", change, re.DOTALL)
    if not found:
        raise InputError(f"set is '{change}', expected TASK.KEY=VALUE, for example ag_news.teacher=path/to/teacher")
    task, key, value = found.groups()
    if task not in tasks:
        raise InputError(f"set names task '{task}', expected one of {', '.join(tasks)}.{did_you_mean(task, tasks)}")
    tasks[task][key] = value


def _check_keys(content: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in content:
        if key not in known:
            hint = did_you_mean(str(key), known) or f" Expected some of {', '.join(known)}."
            raise InputError(f"{where}: unknown key '{key}'.{hint}")


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: {value!r}, expected lines of the form 'key: value'")
    return value


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-.")
