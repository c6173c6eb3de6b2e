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
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.common.errors import InputError, did_you_mean
from distill.common.files import read_yaml
from distill.common.yaml_text import as_written
from distill.kinds.names import IOB, OUTSIDE, begins, fault_of_tags, placed_tags
from eval.data.config import LOWER_IS_BETTER, METRICS_OF_KIND

if TYPE_CHECKING:
    from eval.data.labelled import EvaluationData

KINDS = {"single": (1,), "pair": (2,), "multi_label": (1,), "score": (1, 2), "tokens": (1,)}
"""Numbers of text columns that each kind of task may have."""

FEWEST_LABELS = {"multi_label": 1, "score": 1}
"""Fewest labels of a kind where one is enough."""

NUMBERED = re.compile(r"(?:LABEL_)?(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: Name of the task, which is that of its file.
        kind: `single` (one text, one class), `pair` (two texts, one class), `multi_label` (one text, each label or not),
            `score` (one text or two, one number), or `tokens` (a tag for each word).
        labels: K different names, in the order in which the data numbers them: classes (K >= 2), labels, the tags in the IOB
            format, or the one name of what a score says.
        data: File, folder, hub id, or `toy:TASK`. A relative path is first looked for beside the task's file.
        text_columns: One column, or two for pairs; of `tokens` the column of the words.
        label_column: Column of the labels: indices or names, lists of them, numbers. None where there are `label_columns`.
        metrics: Names of the kind from `METRICS_OF_KIND`; the first is the primary metric, for which retention is computed.
        version: Number >= 1, raised whenever results before and after are not comparable.
        config: Configuration of a hub id.
        split: Split of a folder or hub id.
        revision: Branch or commit of a hub id.
        label_columns: Of `multi_label`, K columns of zeros and ones in the order of the labels, instead of `label_column`.
        range: Of `score`, the lowest and the highest number, if they are known.

    Raises:
        InputError: A value has the wrong type or is impossible.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    data: str
    text_columns: tuple[str, ...]
    label_column: str | None
    metrics: tuple[str, ...]
    version: int
    config: str | None = None
    split: str = "test"
    revision: str | None = None
    label_columns: tuple[str, ...] = ()
    range: tuple[float, float] | None = None

    @property
    def answers(self) -> str:
        """The kind of models that the task is for, as `--kind` takes it; the columns say how many texts a score is about."""
        return "score_pair" if self.kind == "score" and len(self.text_columns) == 2 else self.kind

    def __post_init__(self) -> None:
        """Check types, choices and counts."""
        if not isinstance(self.label_column, str | None):
            raise InputError(f"label_column is {self.label_column!r}, expected one name; several columns are label_columns")
        for field in ("kind", "data", "label_column", "split", "config", "revision"):
            value = getattr(self, field)
            optional = field in ("config", "revision") or (field == "label_column" and self.label_columns)
            if not (isinstance(value, str) and value) and not (value is None and optional):
                raise InputError(f"{field} is {value!r}, expected text; put quotes around it")
        for field in ("labels", "text_columns", "metrics", "label_columns"):
            wrong = [item for item in getattr(self, field) if not isinstance(item, str)]
            if wrong:
                raise InputError(f"{field} holds {wrong[0]!r}, expected text; put quotes around it")
        if self.kind not in KINDS:
            hint = "; a score of two texts is of the kind 'score', with two text_columns" if self.kind == "score_pair" else ""
            raise InputError(f"kind is '{self.kind}', expected one of: {', '.join(KINDS)}{hint}")
        self._check_labels()
        if len(self.text_columns) not in KINDS[self.kind]:
            raise InputError(
                f"text_columns are {list(self.text_columns)}, expected {' or '.join(map(str, KINDS[self.kind]))} for the kind "
                f"'{self.kind}'"
            )
        if len(set(self.text_columns)) < len(self.text_columns):
            raise InputError(f"text_columns are {list(self.text_columns)}, expected two different ones")
        self._check_metrics()
        if isinstance(self.version, bool) or not isinstance(self.version, int) or self.version < 1:
            raise InputError(f"version is {self.version!r}, expected a whole number >= 1")

    def _check_labels(self) -> None:
        """Check what depends on the kind: the labels, their columns, and the range."""
        fewest = FEWEST_LABELS.get(self.kind, 2)
        if len(self.labels) < fewest or len(set(self.labels)) < len(self.labels):
            some = "two" if fewest == 2 else "one"
            raise InputError(f"labels are {list(self.labels)}, expected {some} or more different names")
        if self.kind == "score" and len(self.labels) > 1:
            raise InputError(f"labels are {list(self.labels)}, expected one name for the kind 'score': what the number says")
        if self.kind == "tokens" and (fault := fault_of_tags(self.labels)):
            raise InputError(f"labels are {', '.join(self.labels)}, but {fault}; expected {IOB}")
        if self.label_columns and (self.kind != "multi_label" or self.label_column is not None):
            raise InputError("label_columns are for the kind 'multi_label', instead of label_column: leave one of them out")
        if self.label_columns and len(self.label_columns) != len(self.labels):
            raise InputError(
                f"label_columns names {len(self.label_columns)}, expected one for each of the {len(self.labels)} labels, in "
                "their order"
            )
        if self.range is not None:
            self._check_range(self.range)

    def _check_range(self, ends: tuple[float, ...]) -> None:
        if self.kind != "score":
            raise InputError(f"range is for the kind 'score', not for '{self.kind}': leave it out")
        numbers = all(isinstance(end, int | float) and not isinstance(end, bool) and math.isfinite(end) for end in ends)
        if len(ends) != 2 or not numbers or ends[0] >= ends[1]:
            raise InputError(f"range is {list(ends)}, expected the lowest and the highest number: [0, 5]")

    def _check_metrics(self) -> None:
        known = METRICS_OF_KIND[self.kind]
        if not self.metrics:
            raise InputError(f"metrics is empty, expected some of: {', '.join(known)}")
        check_metrics(self.metrics, self.kind, "metrics")
        if self.metrics[0] in LOWER_IS_BETTER:
            raise InputError(f"metrics begins with {self.metrics[0]}; put a metric first for which higher is better")


def check_metrics(names: Sequence[str], kind: str, field: str) -> None:
    """Refuse metrics that are unknown, or that another kind of classifier has.

    Raises:
        InputError: There is one.
    """
    known = METRICS_OF_KIND[kind]
    for name in names:
        if name not in known:
            kinds = [other for other, metrics in METRICS_OF_KIND.items() if name in metrics]
            of_others = f" (it is for the kind {' or '.join(kinds)})" if kinds else ""
            raise InputError(
                f"{field} names '{name}'{of_others}, expected some of: {', '.join(known)}.{did_you_mean(name, known)}"
            )


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
    if "label_columns" in values:
        values.setdefault("label_column", None)
    for name, field in fields.items():
        if name not in values and field.default is dataclasses.MISSING:
            raise InputError(f"{file}: has no key '{name}'; a task needs it")
    values = {name: value if name in ("version", "range") else as_written(value) for name, value in values.items()}
    for name in ("labels", "text_columns", "metrics", "label_columns", "range"):
        if name not in values or (name == "range" and values[name] is None):
            continue
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
        InputError: The data cannot be read, a column is missing, a label does not belong to the task, the data declares
            some of the task's class names but not all, or all rows have one class.
        NotReachable: The data is on the hub, which cannot be reached.
    """
    from eval.data.labelled import load_labelled  # heavy, and listing tasks reads no data

    source = where or (f"{task.data}:{task.config}" if task.config else task.data)
    first, *second = task.text_columns
    data = load_labelled(
        source,
        task.split,
        first,
        task.label_column or task.label_columns,
        task.labels,
        limit,
        pair_column=second[0] if second else None,
        revision=None if where else task.revision,
        kind=task.kind,
        span=task.range,
    )
    names = data.class_names
    if names and not alike_names(names, task.labels) and {n.casefold() for n in names} & {n.casefold() for n in task.labels}:
        raise InputError(
            f"{source}: column '{task.label_column}' has the classes {', '.join(names)}, the task {task.name} "
            f"{', '.join(task.labels)}; write the data's names into the task"
        )
    if alike := _alike(data, task):
        some = f"all {len(data)} rows drawn have" if limit and limit <= len(data) else f"all {len(data)} rows have"
        raise InputError(f"{source}: {some} {alike[0]}, which cannot measure a classifier; give data of {alike[1]}")
    return data


def _alike(data: "EvaluationData", task: Task) -> tuple[str, str] | None:
    """Return what all rows have in common, and what is wanted; None where their labels differ."""
    first = data.labels[0]
    if task.kind == "tokens":
        return None if any(map(any, data.labels)) or task.labels[0] != OUTSIDE else (f"no tag but {OUTSIDE}", "some entity")
    if any(label != first for label in data.labels):
        return None
    if task.kind == "score":
        return f"the score {first:g}", "at least two scores"
    if task.kind == "multi_label":
        given = ", ".join(name for name, yes in zip(task.labels, first, strict=True) if yes)
        return (f"the labels {given}" if given else "no label"), "at least two sets of labels"
    return f"the class '{task.labels[first]}'", "at least two classes"


def match_labels(own: Sequence[str], task: Task, model: str, declared: Sequence[str] | None = None) -> str | None:
    """Compare a model's class names with those of a task.

    Args:
        own: The model's class names, in the order of its outputs.
        task: The task.
        model: Name of the model, for messages.
        declared: Class names as the data declares and numbers them.

    Returns:
        None if the names are equal, ignoring case. If the model only numbers its classes (`LABEL_0`), a note that they are
        taken in the task's order.

    Raises:
        InputError: The names, their order or their number differ; or the model only numbers its classes, and data and task
            have the same names in another order, so that a number could mean either.
    """
    if same_names(own, task.labels) or (task.kind == "score" and len(own) == 1):  # a single output needs no name
        return None
    numbers = [NUMBERED.fullmatch(name) for name in own]
    if len(own) == len(task.labels) and [int(n[1]) for n in numbers if n] == list(range(len(own))):
        if declared and alike_names(declared, task.labels) and not same_names(declared, task.labels):
            raise InputError(
                f"model: {model} only numbers its classes, and the data numbers them {', '.join(declared)}, the task "
                f"{task.name} {', '.join(task.labels)}; write the task's labels in the model's order, and name the model's "
                "classes in its config.json (id2label)"
            )
        return f"{model} only numbers its classes; they are taken to be {', '.join(task.labels)}, in this order."
    order = alike_names(own, task.labels)
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


def alike_names(first: Sequence[str], second: Sequence[str]) -> bool:
    """Return whether two lists hold the same names in any order, ignoring case."""
    return sorted(map(str.casefold, first)) == sorted(map(str.casefold, second))


def describe(data: "EvaluationData", task: Task) -> dict[str, Any]:
    """Return the number of rows, `rows`, and what they hold.

    This is `classes`, the rows of each class or with each label; of tokens `words` and `entities`, by type; of scores their
    `lowest`, `mean` and `highest`.
    """
    if task.kind == "score":
        mean = sum(data.labels) / len(data)
        return {"rows": len(data), "lowest": min(data.labels), "mean": mean, "highest": max(data.labels)}
    if task.kind == "tokens":
        tags = placed_tags(task.labels)
        entities = dict.fromkeys((tag[2:] for tag in tags if tag != OUTSIDE), 0)
        for row in ([tags[tag] for tag in row] for row in data.labels):
            for before, tag in zip([OUTSIDE, *row], row, strict=False):
                if tag != OUTSIDE and begins(before, tag):
                    entities[tag[2:]] += 1
        return {"rows": len(data), "words": sum(map(len, data.labels)), "entities": entities}
    if task.kind == "multi_label":
        counts = [sum(column) for column in zip(*data.labels, strict=True)]
    else:
        counts = [data.labels.count(index) for index in range(len(task.labels))]
    return {"rows": len(data), "classes": dict(zip(task.labels, counts, strict=True))}
