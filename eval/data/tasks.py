"""Tasks: the data and metrics that a classifier is measured with, as YAML files of a dozen lines.

    kind: pair
    labels: [entailment, not_entailment]
    data: nyu-mll/glue
    config: rte
    split: validation
    text_columns: [sentence1, sentence2]
    label_column: label
    metrics: [accuracy, macro_f1]
    version: 1

The format follows lm-evaluation-harness; a task does not name models. `labels` are in the order in which the data numbers
its classes. A model whose own class names contradict them is refused, because a classifier that is measured with swapped
classes gets a wrong number that looks like any other.

Reading a task loads no heavy library, so that listing tasks is fast.
"""

import dataclasses
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.common.errors import InputError, did_you_mean
from distill.common.files import read_yaml
from distill.common.yaml_text import as_written
from eval.data.config import METRIC_NAMES

if TYPE_CHECKING:
    from eval.data.labelled import EvaluationData

KINDS = {"single": 1, "pair": 2}
"""Number of text columns of each kind of task."""

NUMBERED = re.compile(r"(?:LABEL_)?(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: Name of the task, which is that of its file.
        kind: `single` (one text) or `pair` (two).
        labels: K >= 2 different class names, in the order in which the data numbers them.
        data: File, folder, hub id, or `toy:TASK`. A relative path is first looked for beside the task's file.
        text_columns: One column, or two for pairs.
        label_column: Column of the labels: indices or names.
        metrics: Names from `METRIC_NAMES`; the first is the primary metric, for which retention is computed.
        version: Number >= 1, raised whenever results before and after are not comparable.
        config: Configuration of a hub id.
        split: Split of a folder or hub id.
        revision: Branch or commit of a hub id.

    Raises:
        InputError: A value has the wrong type or is impossible.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    data: str
    text_columns: tuple[str, ...]
    label_column: str
    metrics: tuple[str, ...]
    version: int
    config: str | None = None
    split: str = "test"
    revision: str | None = None

    def __post_init__(self) -> None:
        """Check types, choices and counts."""
        for field in ("kind", "data", "label_column", "split", "config", "revision"):
            value = getattr(self, field)
            if not (isinstance(value, str) and value) and not (value is None and field in ("config", "revision")):
                raise InputError(f"{field} is {value!r}, expected text; put quotes around it")
        for field in ("labels", "text_columns", "metrics"):
            wrong = [item for item in getattr(self, field) if not isinstance(item, str)]
            if wrong:
                raise InputError(f"{field} holds {wrong[0]!r}, expected text; put quotes around it")
        if self.kind not in KINDS:
            raise InputError(f"kind is '{self.kind}', expected one of: {', '.join(KINDS)}")
        if len(self.labels) < 2 or len(set(self.labels)) < len(self.labels):
            raise InputError(f"labels are {list(self.labels)}, expected two or more different names")
        if len(self.text_columns) != KINDS[self.kind]:
            raise InputError(
                f"text_columns are {list(self.text_columns)}, expected {KINDS[self.kind]} for the kind '{self.kind}'"
            )
        if not self.metrics:
            raise InputError(f"metrics is empty, expected some of: {', '.join(METRIC_NAMES)}")
        for metric in self.metrics:
            if metric not in METRIC_NAMES:
                known = ", ".join(METRIC_NAMES)
                raise InputError(f"metrics names '{metric}', expected some of: {known}.{did_you_mean(metric, METRIC_NAMES)}")
        if self.metrics[0] == "expected_calibration_error":
            raise InputError("metrics begins with expected_calibration_error; put a metric first for which higher is better")
        if isinstance(self.version, bool) or not isinstance(self.version, int) or self.version < 1:
            raise InputError(f"version is {self.version!r}, expected a whole number >= 1")


def read_task(file: Path) -> Task:
    """Read a task from its YAML file.

    Raises:
        InputError: The file is not YAML, a key is missing or unknown (the nearest known key is suggested), or a value is
            wrong; see `Task`.
    """
    values = read_yaml(file)
    fields = {field.name: field for field in dataclasses.fields(Task) if field.name != "name"}
    for key in values:
        if key not in fields:
            hint = did_you_mean(str(key), fields) or f" A task has {', '.join(fields)}."
            raise InputError(f"{file}: unknown key '{key}'.{hint}")
    for name, field in fields.items():
        if name not in values and field.default is dataclasses.MISSING:
            raise InputError(f"{file}: has no key '{name}'; a task needs it")
    values = {name: value if name == "version" else as_written(value) for name, value in values.items()}
    for name in ("labels", "text_columns", "metrics"):
        if not isinstance(values[name], list):
            raise InputError(f"{file}: {name} is {values[name]!r}, expected a list: [first, second]")
        values[name] = tuple(values[name])
    if isinstance(values["data"], str):
        values["data"] = os.path.expanduser(values["data"])
    if isinstance(values["data"], str) and (beside := file.parent / values["data"]).exists():
        values["data"] = str(beside)
    try:
        return Task(file.stem, **values)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def task_data(task: Task, where: str | None = None, limit: int = 0) -> "EvaluationData":
    """Read a task's evaluation data.

    Args:
        task: The task.
        where: File or folder to read instead of the task's own data.
        limit: Number of rows to draw, always the same rows; 0 for all.

    Raises:
        InputError: The data cannot be read, a column is missing, a label does not belong to the task, the data numbers the
            same class names in another order, or all rows have one class.
        NotReachable: The data is on the hub, which cannot be reached.
    """
    from eval.data.labelled import load_labelled  # heavy, and listing tasks reads no data

    source = where or (f"{task.data}:{task.config}" if task.config else task.data)
    first, *second = task.text_columns
    data = load_labelled(
        source,
        task.split,
        first,
        task.label_column,
        task.labels,
        limit,
        pair_column=second[0] if second else None,
        revision=None if where else task.revision,
    )
    names = data.class_names
    if names and not same_names(names, task.labels) and {n.casefold() for n in names} & {n.casefold() for n in task.labels}:
        raise InputError(
            f"{source}: column '{task.label_column}' numbers its classes {', '.join(names)}, the task {task.name} "
            f"{', '.join(task.labels)}; write the task's labels in the data's order"
        )
    present = sorted(set(data.labels))
    if len(present) < 2:
        some = f"all {len(data)} rows drawn have" if limit and limit <= len(data) else f"all {len(data)} rows have"
        raise InputError(
            f"{source}: {some} the class '{task.labels[present[0]]}', which cannot measure a classifier; give data of at "
            "least two classes"
        )
    return data


def match_labels(own: Sequence[str], task: Task, model: str) -> str | None:
    """Compare a model's class names with those of a task.

    Args:
        own: The model's class names, in the order of its outputs.
        task: The task.
        model: Name of the model, for messages.

    Returns:
        None if the names are equal, ignoring case. If the model only numbers its classes (`LABEL_0`), a note that they are
        taken in the task's order.

    Raises:
        InputError: The names, their order or their number differ.
    """
    if same_names(own, task.labels):
        return None
    numbers = [NUMBERED.fullmatch(name) for name in own]
    if len(own) == len(task.labels) and [int(n[1]) for n in numbers if n] == list(range(len(own))):
        return f"{model} only numbers its classes; they are taken to be {', '.join(task.labels)}, in this order."
    order = sorted(map(str.casefold, own)) == sorted(map(str.casefold, task.labels))
    raise InputError(
        f"model: {model} predicts {len(own)} classes ({', '.join(own)}), the task {task.name} has {len(task.labels)} "
        f"({', '.join(task.labels)}){': the same names in another order' if order else ''}; give a model of this task, or a "
        "task file and data with the model's names in the model's order"
    )


def same_names(first: Sequence[str], second: Sequence[str]) -> bool:
    """Return whether two lists hold the same names in the same order, ignoring case.

    Examples:
        >>> same_names(["NEGATIVE", "POSITIVE"], ["negative", "positive"])
        True
    """
    return [name.casefold() for name in first] == [name.casefold() for name in second]


def describe(data: "EvaluationData", task: Task) -> dict[str, Any]:
    """Return the number of rows, in all and of each class."""
    counts = [data.labels.count(index) for index in range(len(task.labels))]
    return {"rows": len(data), "classes": dict(zip(task.labels, counts, strict=True))}
