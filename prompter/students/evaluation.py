"""`prompter evaluate`: how good, how big, how fast, for one or several classifiers on one task.

Each model answers each row once; from these answers come all metrics, their intervals and the tests between students. Then
the models are timed beside each other, in turns, one text a call and 32 texts a call.
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from distill.common.hub import model_folder
from distill.teachers.base import Teacher
from distill.teachers.http_teacher import HttpTeacher
from distill.teachers.loading import load_teacher
from distill.teachers.names import teacher_name
from distill.teachers.prediction_cache import CachedTeacher, predictions_file
from distill.teachers.transformers_teacher import TransformersTeacher
from eval.classifiers.measures import measure, pairs
from eval.classifiers.metrics import CALIBRATION_BINS, HUB, hub_metric
from eval.classifiers.resampling import LEVEL, RESAMPLES
from eval.classifiers.scoring import size_and_speed
from eval.data.labelled import EvaluationData
from eval.data.tasks import Task, describe, match_labels, task_data
from eval.toy import located
from prompter.runtime.console import Console, quieten
from prompter.runtime.shipped import find_task
from prompter.runtime.versions import library_versions
from prompter.students.evaluate_config import PRINT, EvaluateConfig

ASKED_AT_ONCE = 256
"""Rows between two steps of a bar."""

TIMED_TEXTS = {1: 16, 32: 64}
"""Texts that speed is measured on, by texts per call."""

ROUNDS = 15
"""Timed passes of each model; the median counts. Many short turns are less disturbed by other work than a few long ones."""


@dataclasses.dataclass
class Model:
    """A classifier that is measured.

    Attributes:
        name: As the user named it.
        classifier: It itself, of whatever kind; it is timed.
        ask: The same, or its answers kept between runs.
        student: Whether it is one, not the teacher that students are compared with.
    """

    name: str
    classifier: Teacher
    ask: Teacher
    student: bool


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Measure.

    Args:
        config: What to measure, on what.

    Returns:
        `task`, `models` (one row each, the teacher first), `pairs`, `notes`, and how it was measured; NaN stands where a
        figure has no value.

    Raises:
        InputError: Anything a user can put right.
    """
    with quieten(), Console(config.quiet or config.json == PRINT) as show:
        task = find_task(config.task)
        metrics = list(dict.fromkeys([*task.metrics, *(name for name in config.metric if not name.startswith(HUB))]))
        hub = {name: hub_metric(name) for name in config.metric if name.startswith(HUB)}
        data = task_data(task, config.data, config.limit)
        notes: list[str] = []
        models = load(config, task, notes)
        predictions = {model.name: answer(model, data, show) for model in models}
        for name, given in predictions.items():
            if unusable := int(given.isnan().any(dim=1).sum()):
                notes.append(f"{name} gave no usable answer to {unusable:,} of {len(data):,} rows; they count as wrong.")
        taught = predictions[models[0].name] if config.teacher else None
        speeds = timed(models, data, show)
        rows = [
            {
                "model": model.name,
                "role": "student" if model.student else "teacher",
                "metrics": measure(
                    predictions[model.name], data, metrics, taught if model.student else None, hub, config.seed
                ),
                "parameters": speeds[model.name].get("parameters"),
                "bytes": size_on_disk(model),
                "milliseconds": speeds[model.name].get("milliseconds"),
                "texts_per_second": speeds[model.name].get("texts_per_second"),
            }
            for model in models
        ]
    return {
        "task": {"name": task.name, "version": task.version, "data": config.data or task.data} | describe(data, task),
        "models": rows,
        "pairs": pairs({m.name: predictions[m.name] for m in models if m.student}, data.labels),
        "notes": notes,
        "interval": {"kind": "percentile bootstrap", "level": LEVEL, "resamples": RESAMPLES, "seed": config.seed},
        "primary_metric": metrics[0],
        "calibration_bins": CALIBRATION_BINS,
        "device": config.device,
        "versions": library_versions(),
    }


def load(config: EvaluateConfig, task: Task, notes: list[str]) -> list[Model]:
    """Load the models, the teacher first, and hold their class names against the task's.

    Raises:
        InputError: One is no classifier, or its classes contradict the task's.
    """
    specs = ([config.teacher] if config.teacher else []) + config.models
    models: list[Model] = []
    for spec in specs:
        student = spec != config.teacher
        found = load_teacher(located(spec, "teacher"), config.device, field="model" if student else "teacher")
        if isinstance(found, HttpTeacher):  # it tells its classes by name, so that their order is ours to choose
            found.labels = in_order(found.labels, task)
        if note := match_labels(found.labels, task, teacher_name(spec)):
            notes.append(note)
        kept = config.teacher_cache and (not student or isinstance(found, HttpTeacher))  # a student's answers are cheap
        ask = CachedTeacher(found, predictions_file() if kept else None, notes.append)
        name, same = teacher_name(spec), sum(teacher_name(model) == teacher_name(spec) for model in specs[: len(models)])
        models.append(Model(f"{name} ({same + 1})" if same else name, found, ask, student))
    return models


def in_order(names: list[str], task: Task) -> list[str]:
    """The names in the task's order where all are the task's; numbered names in the order of their numbers."""
    wanted = [label.casefold() for label in task.labels]
    if all(name.casefold() in wanted for name in names):
        return sorted(names, key=lambda name: wanted.index(name.casefold()))
    return sorted(names, key=lambda name: (len(name), name))


def answer(model: Model, data: EvaluationData, show: Console) -> Tensor:
    """Ask a model all rows: (N, K) log-probabilities."""
    bar = show.bar(model.name, len(data))
    parts = []
    for first in range(0, len(data), ASKED_AT_ONCE):
        rows = slice(first, first + ASKED_AT_ONCE)
        parts.append(model.ask(data.texts[rows], None if data.text_pairs is None else data.text_pairs[rows]))
        show.step(bar, min(first + ASKED_AT_ONCE, len(data)))
    return torch.cat(parts)


def timed(models: list[Model], data: EvaluationData, show: Console) -> dict[str, dict[str, Any]]:
    """Parameters and speed of each model; a service or function is not timed, for its answers may cost.

    Returns:
        For each name `parameters`, `milliseconds` (of a call with one text, the median) and `texts_per_second` by texts
        per call; nothing for what is not timed.
    """
    at_hand = {model.name: model.classifier for model in models if isinstance(model.classifier, TransformersTeacher)}
    found: dict[str, dict[str, Any]] = {model.name: {} for model in models}
    bar, done = show.bar("timing", len(at_hand) * (ROUNDS + 1) * len(TIMED_TEXTS)), 0

    def step() -> None:
        nonlocal done
        done += 1
        show.step(bar, done)

    for batch, limit in TIMED_TEXTS.items():
        measured = size_and_speed(
            at_hand, data.texts, batch, text_pairs=data.text_pairs, rounds=ROUNDS, limit=limit, after_pass=step
        )
        for name, figures in measured.items():
            found[name]["parameters"] = figures["parameters"]
            found[name].setdefault("texts_per_second", {})[str(batch)] = figures["texts_per_second"]
            if batch == 1:
                found[name]["milliseconds"] = figures["milliseconds_per_call"]
    return found


def size_on_disk(model: Model) -> int | None:
    """Bytes of the model's safetensors files; None where there is no folder."""
    if not isinstance(model.classifier, TransformersTeacher):
        return None
    return sum(file.stat().st_size for file in model_folder(model.classifier.path).glob("model*.safetensors"))
