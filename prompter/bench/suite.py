"""Suites: comparisons, read from one YAML file and laid out as cells.

    name: toy
    settings: {student_updates: 400}          # of `prompter train`, for every cell
    tasks:
      sentiment: {teacher: toy:sentiment, generator: toy, eval_data: toy:sentiment, real_data: toy:sentiment, corpus: toy}
    methods: [prompted, no-novelty, unprompted, {hot-prompter: {writer_temperature: 1.3}}]
    students: ["bert:layers=2,hidden=64"]
    budgets: [1000, 3000]
    seeds: [0, 1, 2]
    more:                                     # further combinations; keys that are left out are as above
      - {budgets: [3000], seeds: [0], students: ["teacher-layers:0,2"]}
      - {budgets: [9000], settings: {student_updates: 1200}}

A method is a named set of settings. It is one of `PROMPTERS`, a baseline, a published method (`distill.methods.table`), or a
method of the user's own: settings of the prompter or, with a key `method`, of a published method or a baseline. Each cell is
checked like the flags of `prompter train` before the first one runs, so a mistake in the last line costs no time.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from distill.common.errors import InputError, did_you_mean
from distill.common.files import read_yaml
from distill.common.yaml_text import as_written
from distill.methods.table import METHODS
from eval.data.config import EvaluationDataSettings
from prompter.runtime.shipped import config_path
from prompter.training.baseline_names import BASELINES
from prompter.training.settings import Settings, settings_from

PROMPTED = "prompted"

PROMPTERS: dict[str, dict[str, Any]] = {
    PROMPTED: {},
    "prompted-grpo": {"algorithm": "grpo"},
    "prompted-rloo": {"algorithm": "rloo"},
    "untrained": {"algorithm": "none"},
    "no-confidence": {"reward_confidence": 0.0},
    "no-certainty": {"reward_certainty": 0.0},
    "no-disagreement": {"reward_disagreement": 0.0},
    "no-novelty": {"reward_novelty": 0.0},
}
"""Prompters by name, and the settings that each of them changes."""

METHOD_SETTINGS = {name: {item.name for item in fields(method.settings)} for name, method in METHODS.items()}
"""Settings that only one method has. A suite may give them once for all cells; each cell takes those that it needs."""

AXES = ("tasks", "methods", "students", "budgets", "seeds")
KEYS = ("name", "settings", *AXES, "more")

DECIDED = {"student": "students", "budget": "budgets", "seed": "seeds", "compare": "methods"}
"""Settings that a suite gives to each cell itself, and the axes that they come from."""

MEASURED_BY = ("teacher", *(item.name for item in fields(EvaluationDataSettings)))
"""Settings that decide what a score says. The rows of one table share them."""

NO_UPLOAD = "is not for a suite, whose cells would replace each other there: leave it out, and upload what is best afterwards"


@dataclass(frozen=True)
class Cell:
    """One student that is distilled once.

    Attributes:
        task: Name of the task in the suite.
        method: Name of the method in the suite.
        student: The student.
        budget: Texts that the student learns from. Each costs a teacher query.
        seed: Seed of all random numbers.
        text: The kind of texts that the student learns from: "prompted", or the name of a baseline or a published method.
        settings: Settings of `prompter train`, without `output_dir`.
    """

    task: str
    method: str
    student: str
    budget: int
    seed: int
    text: str
    settings: dict[str, Any]

    @property
    def key(self) -> tuple[str, str, str, int, int]:
        """Return what tells this cell from all others of a suite."""
        return self.task, self.method, self.student, self.budget, self.seed

    @property
    def name(self) -> str:
        """Return a readable name, which is also part of the folder's name."""
        return "--".join(_slug(str(part)) for part in self.key)

    def parsed(self, folder: str | Path) -> Settings:
        """Return the checked settings of a run in a folder.

        Raises:
            InputError: A key is unknown, or a value is wrong or missing.
        """
        unused = set().union(*METHOD_SETTINGS.values()) - METHOD_SETTINGS.get(self.text, set())
        settings = {key: value for key, value in self.settings.items() if key not in unused}
        settings |= {"compare": [self.text] if self.text in BASELINES else [], "output_dir": str(folder), "quiet": True}
        return settings_from(settings, method=METHODS[self.text].settings if self.text in METHODS else None)


@dataclass(frozen=True)
class Suite:
    """A suite: its name, and its cells in the order in which they run.

    The cells run seed by seed, so that all methods have a first result early.
    """

    name: str
    cells: list[Cell]


@dataclass
class Seen:
    """What the cells that were checked so far have in common with those that they are compared with.

    Attributes:
        efforts: Updates and their batch size, by task, student and budget.
        measured: The settings `MEASURED_BY`, by task and student.
    """

    efforts: dict[tuple[str, str, int], tuple[int, int]] = field(default_factory=dict)
    measured: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)


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
        str(as_written(name)): dict(_mapping(task, f"{path}: task '{name}'"))
        for name, task in _mapping(content.get("tasks", {}), f"{path}: tasks").items()
    }
    for change in changes:
        _apply(change, tasks)
    settings = _mapping(content.get("settings") or {}, f"{path}: settings")
    more = content.get("more") or []
    if not isinstance(more, list):
        raise InputError(f"{path}: 'more' is {more!r}, expected a list of combinations, such as '- {{seeds: [1]}}'")
    cells: dict[tuple[str, str, str, int, int], Cell] = {}
    seen = Seen()
    for number, grid in enumerate([{}, *more]):
        where = f"{path}: more, entry {number}" if number else str(path)
        _check_keys(_mapping(grid, where), (*AXES, "settings"), where)
        common = {**settings, **_mapping(grid.get("settings") or {}, f"{where}: settings")}
        axes = {axis: as_written(grid.get(axis, list(tasks) if axis == "tasks" else content.get(axis))) for axis in AXES}
        for axis, values in axes.items():
            if not isinstance(values, list) or not values:
                raise InputError(f"{where}: '{axis}' is {values!r}, expected a list of at least one entry")
        for raw in _cells(axes, tasks, common, where):
            cell = _checked(raw, seen, where)
            if cells.setdefault(cell.key, cell).settings != cell.settings:
                raise InputError(
                    f"{where}: task '{cell.task}', method '{cell.method}', student '{cell.student}', {cell.budget} queries, "
                    f"seed {cell.seed} is there already, with other settings; give a method of your own: '- NAME: {{setting: "
                    "value}'"
                )
    return Suite(_slug(str(content.get("name") or path.stem)), list(cells.values()))


def _cells(
    axes: Mapping[str, list[Any]], tasks: Mapping[str, dict[str, Any]], common: Mapping[str, Any], where: str
) -> Iterator[Cell]:
    """Yield the cells of all combinations."""
    methods = [_method(entry, where) for entry in axes["methods"]]
    for seed, task, student, budget, (method, text, own) in itertools.product(
        axes["seeds"], axes["tasks"], axes["students"], axes["budgets"], methods
    ):
        if not isinstance(task, str) or task not in tasks:
            raise InputError(f"{where}: unknown task '{task}'.{did_you_mean(str(task), tasks)}")
        if "=" in str(student).partition(":")[0] and not Path(str(student)).exists():
            raise InputError(
                f"{where}: students: '{student}' is part of a student: put quotes around it, as in "
                '["bert:layers=2,hidden=64"]; without them its commas separate students'
            )
        given = {**common, **tasks[task], **own}
        _check_given(given, f"{where}: task '{task}', method '{method}'")
        merged = {**given, "student": student, "budget": budget, "seed": seed}
        yield Cell(task, method, str(student), budget, seed, text, merged)


def _check_given(settings: Mapping[str, Any], where: str) -> None:
    """Refuse settings that would be passed over, or that one cell after another would upload to."""
    for key in settings:
        name = str(key).replace("-", "_")
        if name in DECIDED:
            raise InputError(f"{where}: {name} is one of the suite's '{DECIDED[name]}': change these, and leave {name} out")
        if name == "push_to_hub":
            raise InputError(f"{where}: push_to_hub {NO_UPLOAD}")


def _checked(cell: Cell, seen: Seen, where: str) -> Cell:
    """Return a cell with the numbers that its settings hold, however they were written.

    Raises:
        InputError: Its settings are wrong, or it makes other updates than the cells that it is compared with, or is measured
            in another way.
    """
    where = f"{where}: task '{cell.task}', method '{cell.method}'"
    try:
        parsed = cell.parsed("unused")
        if not parsed.run.eval_data:
            raise InputError("eval_data is missing: a comparison needs labelled data to report on")
        if parsed.run.push_to_hub:  # of a file that 'config' names
            raise InputError(f"push_to_hub {NO_UPLOAD}")
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    values = parsed.flat()
    numbers = {name: values[name] for name in ("budget", "seed")}
    cell = replace(cell, **numbers, settings=cell.settings | numbers)
    effort = (parsed.distill.student_updates, parsed.distill.student_batch_size)
    others = seen.efforts.setdefault((cell.task, cell.student, cell.budget), effort)
    if others != effort:
        raise InputError(
            f"{where}: {effort[0]} updates of {effort[1]} texts, but {others} for other methods; what is compared has to cost "
            "the same"
        )
    measured = {name: values[name] for name in MEASURED_BY}
    first = seen.measured.setdefault((cell.task, cell.student), measured)
    for name, value in measured.items():
        if value != first[name]:
            raise InputError(
                f"{where}: {name} is {value!r}, but {first[name]!r} for others of the task; what is compared has to be "
                "measured alike: give it a task of its own"
            )
    return cell


def _method(entry: Any, where: str) -> tuple[str, str, dict[str, Any]]:
    """Return a method's name, the kind of its texts (`Cell.text`), and its settings."""
    known = [*PROMPTERS, *BASELINES, *METHODS]
    if isinstance(entry, str):
        if entry not in known:
            raise InputError(
                f"{where}: unknown method '{entry}'.{did_you_mean(entry, known)} Known are {', '.join(known)}; "
                "write a method of your own as '- NAME: {setting: value}'"
            )
        return entry, PROMPTED if entry in PROMPTERS else entry, PROMPTERS.get(entry, {})
    if isinstance(entry, Mapping) and len(entry) == 1:
        ((name, own),) = entry.items()
        name = as_written(name)
        if isinstance(own, Mapping) and name not in known:
            text = str(own.get("method", PROMPTED))
            if text not in (PROMPTED, *BASELINES, *METHODS):
                expected = ", ".join((PROMPTED, *METHODS, *BASELINES))
                raise InputError(f"{where}: method '{name}' is of method '{text}', expected one of {expected}")
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
    return re.sub(r"[^\w.]+", "-", text).strip("-.")
