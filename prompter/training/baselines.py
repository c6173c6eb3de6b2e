"""The same student at the same cost from a control's text, within a run or alone."""

import dataclasses
import time
from typing import Any

from distill.batch import SyntheticBatch, joined
from distill.common.files import read_json, write_json
from distill.distiller import Distiller
from distill.student import Student, load_student
from eval.classifiers.scoring import score, size_and_speed
from prompter.runtime.clock import Clock
from prompter.runtime.console import Console
from prompter.runtime.opening import open_run
from prompter.runtime.run_folder import RunFolder
from prompter.training.baseline_texts import (
    HOT,
    SELECTED,
    SELECTED_SHARE,
    answered_batches,
    baseline_texts,
    labelled_batches,
    most_confident,
)
from prompter.training.settings import Settings
from prompter.training.setup import Models, TeacherAndData, load, new_student, new_writer, with_toy_files

SAMPLES = 12
"""Texts of a control that are kept to be looked at."""


def finish(distiller: Distiller, show: Console) -> None:
    """The student's updates that are left when all queries are spent."""
    total = distiller.config.student_updates
    bar = show.bar("student updates", total, distiller.updates_done)
    distiller.finish(progress=lambda done, loss: show.step(bar, done, f"loss {loss:.3f}"))


def distil_baseline(
    name: str, settings: Settings, models: Models, folder: RunFolder, show: Console
) -> tuple[Student, dict[str, Any]]:
    """Distil the same student at the same cost from a control's text; a control already done is loaded."""
    run = settings.run
    path = folder.path / "controls" / name
    if (path / "done.json").exists():
        done = load_student(str(path), labels=models.teacher.labels, seed=run.seed, device=run.device)
        done.max_length = settings.distill.student_max_length
        return done, read_json(path / "done.json")
    show.say(f"Control: the same student from {name} text")
    start = time.perf_counter()
    student = new_student(settings, models)
    training = settings.distill
    if name == "supervised":  # there is nothing of a teacher in it
        training = dataclasses.replace(training, student_hard_label_weight=1.0, student_hidden_weight=0.0)
    distiller = Distiller(student, training, run.budget, run.seed, teacher=models.teacher.white_box)
    sampling = dataclasses.replace(settings.writer, **HOT) if name == "unprompted-hot" else settings.writer
    writing = show.bar(f"{name}: texts", run.budget)
    size, asked_before = settings.policy.rollout_size, models.teacher.queries
    if models.labelled is not None and name == "supervised":
        batches = labelled_batches(models.labelled, run.budget, len(models.teacher.labels), run.seed, size)
    else:
        texts, topics, targets = baseline_texts(
            name,
            run.budget,
            writer=new_writer(dataclasses.replace(settings, writer=sampling), models.policy),
            labels=models.policy.labels,
            corpus=models.corpus,
            real=models.real,
            seed=run.seed,
            progress=lambda done: show.step(writing, done),
        )
        batches = answered_batches(texts, topics, targets, models.teacher, name, size)
    show.step(writing, run.budget)
    bar = show.bar(f"{name}: queries", run.budget)
    seen = 0
    samples: list[str] = []
    to_select: list[SyntheticBatch] = []
    for batch in batches:
        samples += batch.texts[: SAMPLES - len(samples)]
        if name == SELECTED:
            to_select.append(batch)
        elif settings.distill.student_restart:
            distiller.add(batch)
        else:
            distiller.consume(batch)
        seen += len(batch)
        show.step(bar, seen)
    if to_select:
        selected = most_confident(joined(to_select), SELECTED_SHARE)
        distiller.add(selected)
        seen = len(selected)
    finish(distiller, show)
    figures = {
        "texts": seen,
        "queries": models.teacher.queries - asked_before,
        "updates": distiller.updates_done,
        "seconds": round(time.perf_counter() - start, 1),
    }
    student.save(path)
    folder.append("control_samples", [{"control": name, "text": text} for text in samples])
    write_json(path / "done.json", figures)
    return student, figures


def measure(models: TeacherAndData, trained: dict[str, Student]) -> dict[str, dict[str, Any]]:
    """Score the teacher and students on the evaluation data, and take their sizes and speeds side by side.

    Args:
        models: With evaluation data, on which the teacher was asked.
        trained: Students by name; none is called "teacher".

    Returns:
        Figures by name, those of the teacher under "teacher".
    """
    assert models.evaluation is not None
    figures = {name: score(model, models.evaluation) for name, model in trained.items()}
    figures["teacher"] = score(None, models.evaluation)
    # The teacher itself, not what is remembered of it; a service or function is not timed, for its answers may cost.
    timed = {"teacher": models.teacher.white_box} if models.teacher.white_box else {}
    for name, measured in size_and_speed({**timed, **trained}, models.evaluation.texts).items():
        figures[name] |= measured
    return figures


def measured(loaded: TeacherAndData, student: Student) -> dict[str, Any]:
    """A student's scores and size, and the teacher's accuracy, {} without evaluation data; nothing is timed."""
    if loaded.evaluation is None:
        return {}
    accuracy = score(None, loaded.evaluation)["accuracy"]
    return score(student, loaded.evaluation) | {"parameters": student.num_parameters(), "teacher_accuracy": accuracy}


def train_baseline(name: str, settings: Settings) -> dict[str, Any]:
    """Distil a student from a control's text alone, without a prompter; a control already done is only measured again.

    Args:
        name: One of `prompter.training.settings.CONTROLS`, which `settings.run.compare` names too.
        settings: As for `prompter train`.

    Returns:
        The control's row of a summary, and the teacher's `teacher_accuracy`, as far as there is evaluation data.

    Raises:
        InputError: Anything a user can put right.
    """
    with open_run(settings.run.output_dir, quiet=settings.run.quiet) as (folder, show):
        settings = with_toy_files(settings, show, Clock())
        models = load(settings, show)
        student, figures = distil_baseline(name, settings, models, folder, show)
        return figures | measured(models, student)
