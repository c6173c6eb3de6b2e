"""`prompter evaluate`: measure the quality, size and speed of one or several classifiers on one task.

With `calibrate`, students are calibrated on the user's texts instead.

Each model answers each row once. All metrics, their intervals and the tests between students come from these answers. Then
the models are timed in turns, with one text per call and with 32 texts per call.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from distill.common.errors import InputError
from distill.common.hub import load_config, model_folder
from distill.kinds.found import KIND_KEY
from distill.kinds.labels import MULTI_LABEL
from distill.kinds.names import AUTO, NOT_GIVEN, GivenKind, given_by
from distill.kinds.rows import below
from distill.kinds.scores import Score
from distill.portable.exported import ExportedClassifier
from distill.teachers.config import Asking
from distill.teachers.names import FUNCTION_NAME, UNNAMED_CLASSES, URL_SCHEMES, teacher_name
from distill.teachers.prediction_cache import CachedTeacher
from eval.classifiers.calibration import coverage, stored_calibration
from eval.classifiers.kinds.scores import spanned
from eval.classifiers.measures import constant_answer, measure, pairs
from eval.classifiers.metrics.classes import CALIBRATION_BINS
from eval.classifiers.metrics.hub import hub_metric
from eval.classifiers.opening import open_named, open_teacher
from eval.classifiers.resampling import LEVEL, RESAMPLES
from eval.classifiers.scoring import answer, size_and_speed
from eval.data.config import HUB, OF_ONE_CLASS
from eval.data.labelled import EvaluationData, load_texts
from eval.data.tasks import Task, check_metrics, describe, match_labels, task_data
from prompter.deploying.calibrating import calibrate_again, refuse_uncalibrated
from prompter.deploying.texts import origin_of, spread
from prompter.runtime.console import Console, quieten
from prompter.runtime.shipped import find_task
from prompter.runtime.versions import library_versions
from prompter.students.evaluate_config import PRINT, EvaluateConfig

ROWS_PER_STEP = 256
"""Rows between two steps of a bar."""

TIMED_TEXTS = {1: 16, 32: 64}
"""Number of texts for the timing, by texts per call."""

ROUNDS = 15
"""Timed passes of each model; the median counts. Other processes disturb many short passes less than a few long ones."""

FITTING = {
    "single": ("single",),
    "pair": ("pair", "single"),
    "multi_label": ("multi_label",),
    "score": ("score",),
    "score_pair": ("score_pair", "score"),
    "tokens": ("tokens",),
}
"""Kinds of models by the kind of the task. The files of a model need not say that it reads pairs of texts."""


@dataclass
class MeasuredModel:
    """A classifier to measure.

    Attributes:
        name: Name as the user wrote it.
        classifier: The classifier.
        student: False for the teacher that students are compared with.
    """

    name: str
    classifier: CachedTeacher
    student: bool


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Measure classifiers on a task.

    Args:
        config: What to measure, and on what.

    Returns:
        `task`, `models` (one row each, the teacher first), `constant` (what can be had without reading), `pairs`, `notes`, and
        the conditions of the measurement. A metric without a value is NaN. With `calibrate`, what `calibrate_again` returns,
        as `calibrated`, and `texts` instead.

    Raises:
        InputError: The user can fix the cause; the message says how.
    """
    if config.calibrate:
        return _calibrate(config)
    task = find_task(config.task)
    with quieten(), Console(config.quiet or config.json == PRINT) as console:
        more = [name for name in config.metric if not name.startswith(HUB)]
        check_metrics(more, task.kind, "metric")
        metrics = list(dict.fromkeys([*task.metrics, *more]))
        hub = {name: hub_metric(name) for name in config.metric if name.startswith(HUB)}
        data = task_data(task, config.data, config.limit)
        notes: list[str] = []
        models = open_models(config, task, notes, data.class_names)
        predictions = {model.name: predict(model, data, console) for model in models}
        fate = "are left out" if task.kind == "score" else "count as wrong"
        notes += [
            f"{name} gave no usable answer to {unusable:,} of {len(data):,} rows; they {fate}."
            for name, given in predictions.items()
            if (unusable := int(given.flatten(1).isnan().any(dim=1).sum()))
        ]
        notes += filter(None, (cut_note(model.name, model.classifier, data.texts, data.text_pairs) for model in models))
        if config.teacher and (spent := config.spent(models[0].classifier.asked)):
            notes.append(spent)
        speeds = measure_speed(models, data, console)
        of_teacher = predictions[models[0].name] if config.teacher else None
        decided_by, told = _compared_as(config, task, models, of_teacher)
        notes += told
        rows = []
        for model in models:
            compared = of_teacher if model.student else None
            measured = measure(predictions[model.name], data, metrics, compared, hub, config.seed, decided_by)
            rows.append(_row(model, measured, speeds[model.name]))
            if compared is not None and task.kind in (*OF_ONE_CLASS, MULTI_LABEL.name):
                rows[-1] |= _trust(model, predictions[model.name], compared)
    return {
        "task": {"name": task.name, "kind": task.kind, "version": task.version, "data": config.data or task.data}
        | describe(data, task),
        "models": rows,
        "constant": constant_answer(data, metrics),
        "pairs": pairs(
            {model.name: predictions[model.name] for model in models if model.student}, data, metrics[0], config.seed
        ),
        "notes": notes,
        "interval": {"kind": "percentile bootstrap", "level": LEVEL, "resamples": RESAMPLES, "seed": config.seed},
        "primary_metric": metrics[0],
        "calibration_bins": CALIBRATION_BINS,
        "device": config.device,
        "versions": library_versions(),
    }


def _calibrate(config: EvaluateConfig) -> dict[str, Any]:
    """Calibrate students on the user's texts, see `prompter.deploying.calibrating`."""
    assert config.calibrate
    with quieten(), Console(config.quiet or config.json == PRINT) as console:
        students = {
            model: open_teacher(model, device=config.device, cache=False, notice=console.say, field="model")
            for model in config.models
        }
        refuse_uncalibrated(students)  # before the texts are read, which may be of their kind, too
        texts = list(dict.fromkeys(load_texts(config.calibrate, config.text_column, config.text_split)))
        texts = spread(texts, config.limit) if config.limit else texts
        order = students[config.models[0]].labels
        named = config.teacher_labels or (order if str(config.teacher).startswith(UNNAMED_CLASSES) else [])
        teacher = open_named(config, console.say, labels=named, order=order, quiet=True)
        found = calibrate_again(students, teacher, texts, origin_of(config.calibrate), config.calibrate_to, console)
    return {"calibrated": found, "texts": len(texts), "teacher": teacher_name(config.teacher)}


def _compared_as(
    config: EvaluateConfig, task: Task, models: list[MeasuredModel], of_teacher: Tensor | None
) -> tuple[Score | None, list[str]]:
    """Return the kind whose steps say whether two scores agree, and a line about it: one range for all students.

    The range is the one that the user gives, else one that a student was distilled with, else that of the teacher's answers.
    """
    if of_teacher is None or task.kind != "score":
        return None, []
    given = [GivenKind("score", config.score_low, config.score_high)]
    for model in models:
        if model.classifier.local is not None:
            stored = given_by(getattr(load_config(model.classifier.local.path, "model"), KIND_KEY, None))
            given += [stored] if stored else []
    known = next(((kind.low, kind.high) for kind in given if (kind.low, kind.high) != (NOT_GIVEN.low, NOT_GIVEN.high)), None)
    kind = Score(*known) if known else spanned(of_teacher)
    whose = "" if known else ", the range of the teacher's answers (score_low, score_high)"
    return kind, [f"Two scores agree if they lie in the same fifth of {kind.low:.4g} to {kind.high:.4g}{whose}."]


def _trust(model: MeasuredModel, answers: Tensor, taught: Tensor) -> dict[str, Any]:
    """Return the entries of a student's row about its confidence: `calibration`, as stored with it, and `coverage`."""
    calibration, kind = None, model.classifier.kind
    if model.classifier.local is not None:
        name = model.classifier.local.path
        calibration = stored_calibration(load_config(name, "model"), f"model: {name}")
    return {
        "calibration": dataclasses.asdict(calibration) if calibration else None,
        "coverage": coverage(answers, taught, calibration, kind=kind),
    }


def cut_note(name: str, classifier: CachedTeacher, texts: list[str], text_pairs: list[str] | None) -> str:
    """Return a line about the share of texts that a model does not read to the end, or "" where there is none."""
    model = classifier.local
    share = model.cut_share(texts, text_pairs) if model else 0
    if model is None or not share:
        return ""
    return f"{name} reads {model.reads} tokens: {share:.1%} of the texts are cut (teacher_max_length)."


def _row(model: MeasuredModel, metrics: dict[str, Any], speed: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a model, with its size and speed if they were measured."""
    return {
        "model": model.name,
        "role": "student" if model.student else "teacher",
        "metrics": metrics,
        "parameters": speed.get("parameters"),
        "bytes": size_on_disk(model),
        "milliseconds": speed.get("milliseconds"),
        "texts_per_second": speed.get("texts_per_second"),
    }


def open_models(
    config: EvaluateConfig, task: Task, notes: list[str], declared: list[str] | None = None
) -> list[MeasuredModel]:
    """Open the models, the teacher first, and compare their class names with those of the task.

    Args:
        config: Names the models and the teacher.
        task: The task.
        notes: Lines for the user. A model that only numbers its classes adds one.
        declared: Class names as the data declares and numbers them.

    Raises:
        InputError: A model is no classifier, or its classes contradict those of the task.
    """
    specs = ([config.teacher] if config.teacher else []) + config.models
    models: list[MeasuredModel] = []
    for spec in specs:
        student = spec != config.teacher
        classifier = open_teacher(
            spec,
            device=config.device,
            # The predictions of a student are cheap, so they are not stored unless the student is a service.
            cache=config.teacher_cache and (not student or spec.startswith(URL_SCHEMES)),
            notice=notes.append,
            field="model" if student else "teacher",
            order=task.labels,
            max_length=config.teacher_max_length,
            labels=(not student and config.teacher_labels) or (task.labels if spec.startswith(UNNAMED_CLASSES) else []),
            asking=_asking(config, spec, student, task),
        )
        if classifier.kind.name not in FITTING[task.answers]:
            raise InputError(
                f"{'model' if student else 'teacher'}: {spec} is of the kind {classifier.kind.name}, the task {task.name} of "
                f"the kind {task.answers}: give a model of this task, or a task of its kind"
            )
        if note := match_labels(classifier.labels, task, teacher_name(spec), declared):
            notes.append(note)
        name, same = teacher_name(spec), sum(teacher_name(model) == teacher_name(spec) for model in specs[: len(models)])
        models.append(MeasuredModel(f"{name} ({same + 1})" if same else name, classifier, student))
    return models


def _asking(config: EvaluateConfig, spec: str, student: bool, task: Task) -> Asking:
    """Return how a model is asked.

    Functions and services do not say what their answers are: it is what the task wants. A score may have any value, as it is
    only compared.
    """
    asking = Asking(rate=config.teacher_rate) if student else config.asking()
    silent = spec.startswith(URL_SCHEMES) or FUNCTION_NAME.fullmatch(spec) is not None
    kind = task.answers if config.kind == AUTO and silent else config.kind
    return dataclasses.replace(asking, kind=GivenKind(kind, -math.inf, math.inf))


def predict(model: MeasuredModel, data: EvaluationData, console: Console) -> Tensor:
    """Return a model's answers for all rows; those of taggers for the words of the data."""
    bar = console.bar(model.name, len(data))
    parts = []
    for first in range(0, len(data), ROWS_PER_STEP):
        part = data.part(first, first + ROWS_PER_STEP)
        parts.append(answer(model.classifier, part))
        console.step(bar, min(first + ROWS_PER_STEP, len(data)))
    return below(parts)


def measure_speed(models: list[MeasuredModel], data: EvaluationData, console: Console) -> dict[str, dict[str, Any]]:
    """Measure the parameters and the speed of each model. Services and functions are not timed, as their answers may cost.

    Returns:
        For each name `parameters`, `milliseconds` (median of a call with one text) and `texts_per_second` by texts per call.
        The dictionary of a model that is not timed is empty.
    """
    local = {model.name: model.classifier.teacher for model in models if model.classifier.local}
    found: dict[str, dict[str, Any]] = {model.name: {} for model in models}
    bar, done = console.bar("timing", len(local) * (ROUNDS + 1) * len(TIMED_TEXTS)), 0

    def step() -> None:
        nonlocal done
        done += 1
        console.step(bar, done)

    for batch, limit in TIMED_TEXTS.items():
        measured = size_and_speed(
            local, data.texts, batch, text_pairs=data.text_pairs, rounds=ROUNDS, limit=limit, after_pass=step
        )
        for name, metrics in measured.items():
            found[name]["parameters"] = metrics["parameters"]
            found[name].setdefault("texts_per_second", {})[str(batch)] = metrics["texts_per_second"]
            if batch == 1:
                found[name]["milliseconds"] = metrics["milliseconds_per_call"]
    return found


def size_on_disk(model: MeasuredModel) -> int | None:
    """Return the bytes of a model's safetensors files or program, or None if the model is no folder."""
    teacher = model.classifier.local
    if teacher is None:
        return None
    if isinstance(teacher, ExportedClassifier):
        return teacher.bytes
    return sum(file.stat().st_size for file in model_folder(teacher.path).glob("model*.safetensors"))
