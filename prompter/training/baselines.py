"""Baselines: the same student at the same cost, trained on other text, within a run or alone."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from rich.progress import TaskID

from distill.batch import SyntheticBatch, joined
from distill.common.files import read_json, write_json
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.student import Student, load_student
from eval.classifiers.scoring import main_metric, score, size_and_speed
from prompter.generation.prompts import Contexts
from prompter.runtime.console import Console
from prompter.runtime.opening import open_run
from prompter.runtime.run_folder import RunFolder
from prompter.training.baseline_texts import (
    ASKED,
    HOT,
    SCREENED,
    SCREENED_CANDIDATES,
    SELECTED,
    SELECTED_SHARE,
    answered_batches,
    baseline_pairs,
    baseline_texts,
    labelled_batches,
    most_confident,
    screened_batches,
)
from prompter.training.settings import Settings
from prompter.training.setup import Models, TeacherAndData, load_models, new_student

BASELINE_SAMPLES = 12
"""Number of texts of a baseline that are kept for people to look at."""


def show_updates(console: Console, total: int) -> Callable[[int, float], None]:
    """Return a function that shows the student's updates and losses on a bar, which appears with the first update."""
    bars: list[TaskID] = []

    def shown(done: int, loss: float) -> None:
        if not bars:
            bars.append(console.bar("student updates", total, done))
        console.step(bars[0], done, f"loss {loss:.3f}")

    return shown


def distil_baseline(
    name: str, settings: Settings, models: Models, folder: RunFolder, console: Console
) -> tuple[Student, dict[str, Any]]:
    """Distil a student from the text of a baseline, at the cost of the run. A finished baseline is loaded.

    Args:
        name: One of `prompter.training.baseline_names.BASELINES`.
        settings: All settings of the run.
        models: What the run has loaded.
        folder: The run's folder.
        console: Shows bars.

    Returns:
        The student, and its row of the summary: texts, queries, updates and seconds.
    """
    run = settings.run
    path = folder.path / "controls" / name
    if (path / "done.json").exists():
        done = load_student(
            str(path), labels=models.teacher.labels, seed=run.seed, device=run.device, kind=models.teacher.kind
        )
        done.max_length = settings.distill.student_max_length
        return done, read_json(path / "done.json")
    console.say(f"Baseline: the same student from {name} text")
    start, asked_before = time.perf_counter(), models.teacher.queries
    student, training = new_student(settings, models), _training(name, settings)
    distiller = Distiller(student, training, run.budget, run.seed, teacher=models.teacher.white_box)
    samples: list[str] = []
    batches = _watched(_batches(name, settings, models, console), name, run.budget, samples, console)
    if name == SELECTED:
        batches = iter([most_confident(joined(list(batches)), SELECTED_SHARE)])
    online = name != SELECTED and not training.student_restart
    distiller.run(batches, online=online, on_update=show_updates(console, training.student_updates))
    cost = {
        "texts": distiller.seen,
        "queries": models.teacher.queries - asked_before,
        "updates": distiller.updates_done,
        "seconds": round(time.perf_counter() - start, 1),
    }
    student.save(path)
    if not any(row.get("control") == name for row in folder.read("control_samples")):  # else of a call that was killed here
        folder.append("control_samples", [{"control": name, "text": text} for text in samples])
    write_json(path / "done.json", cost)
    return student, cost


def _watched(
    batches: Iterator[SyntheticBatch], name: str, budget: int, samples: list[str], console: Console
) -> Iterator[SyntheticBatch]:
    """Yield the batches, show them on a bar, and put the first texts into `samples`."""
    bar, asked = console.bar(f"{name}: queries", budget), 0
    for batch in batches:
        pairs = [""] * len(batch) if batch.text_pairs is None else [f" / {pair}" for pair in batch.text_pairs]
        samples += [text + pair for text, pair in zip(batch.texts, pairs, strict=True)][: BASELINE_SAMPLES - len(samples)]
        asked += len(batch)
        console.step(bar, asked)
        yield batch


def _training(name: str, settings: Settings) -> DistillConfig:
    """Return the settings of the student; the baseline `supervised` learns from labels, without the teacher."""
    if name != "supervised":
        return settings.distill
    return dataclasses.replace(settings.distill, student_hard_label_weight=1.0, student_hidden_weight=0.0)


def _batches(name: str, settings: Settings, models: Models, console: Console) -> Iterator[SyntheticBatch]:
    """Write or draw the texts of a baseline, and return them in batches with predictions or labels."""
    run, size = settings.run, settings.policy.rollout_size
    if name == "supervised":
        assert models.labelled is not None
        return labelled_batches(models.labelled, run.budget, len(models.teacher.labels), run.seed, size)
    writer = models.writer
    sampling = dataclasses.replace(settings.writer, writer_batch_size=writer.config.writer_batch_size)  # as it was found
    if name == "unprompted-hot":
        writer = writer.sampling(dataclasses.replace(sampling, **HOT))
    if name in (ASKED, SCREENED):
        writer = writer.sampling(sampling)
        words = dataclasses.replace(models.policy.config, writes="topic")  # the prompts name the classes, and no subjects
        writer.contexts = Contexts(writer.tokenizer, models.policy.labels, words)
    if name == SCREENED:
        candidates = settings.candidates.candidates
        candidates = candidates if candidates > 1 else SCREENED_CANDIDATES
        targets = torch.arange(run.budget) % len(models.policy.labels)
        return screened_batches(writer, models.teacher, targets, candidates, run.seed, size, models.second_texts)
    bar = console.bar(f"{name}: texts", run.budget)
    texts, topics, targets = baseline_texts(
        name,
        run.budget,
        writer=writer,
        labels=models.policy.labels,
        corpus=models.corpus,
        real=models.real,
        seed=run.seed,
        progress=lambda done: console.step(bar, done),
    )
    console.step(bar, run.budget)
    pairs = None
    if models.second_texts is not None:
        bar = console.bar(f"{name}: second texts", run.budget)
        corpora = models.corpus, models.real_pairs or []
        pairs = baseline_pairs(name, texts, targets, models.second_texts, *corpora, run.seed, size)
        console.step(bar, run.budget)
    return answered_batches(texts, topics, targets, models.teacher, name, size, pairs)


def measure_students(models: TeacherAndData, trained: dict[str, Student]) -> dict[str, dict[str, Any]]:
    """Score teacher and students on the evaluation data, and measure their sizes and speeds in turn.

    Args:
        models: Teacher and evaluation data, with the teacher's predictions.
        trained: Students by name; none is called "teacher".

    Returns:
        Metrics by name; the teacher's under "teacher".
    """
    assert models.evaluation is not None
    metrics = {name: score(model, models.evaluation) for name, model in trained.items()}
    metrics["teacher"] = score(None, models.evaluation)
    # The model itself is timed, without the cache. A service or function is not timed, since its answers may cost money.
    timed = {"teacher": models.teacher.white_box} if models.teacher.white_box else {}
    texts, pairs = models.evaluation.texts, models.evaluation.text_pairs
    for name, sizes in size_and_speed({**timed, **trained}, texts, text_pairs=pairs).items():
        metrics[name] |= sizes
    return metrics


def measured(loaded: TeacherAndData, student: Student) -> dict[str, Any]:
    """Return a student's scores and size, the task's metric and the teacher's, without timing; {} without evaluation data."""
    if loaded.evaluation is None:
        return {}
    metric, of_teacher = main_metric(loaded.evaluation), score(None, loaded.evaluation)
    own = {f"teacher_{name}": of_teacher[name] for name in ("accuracy", metric) if name in of_teacher}
    return score(student, loaded.evaluation) | {"parameters": student.num_parameters(), "metric": metric} | own


def train_baseline(name: str, settings: Settings) -> dict[str, Any]:
    """Distil a student from the text of a baseline alone, without a prompter. A finished baseline is only scored again.

    Args:
        name: One of `prompter.training.baseline_names.BASELINES`; `settings.run.compare` must name it, too.
        settings: As for `prompter train`.

    Returns:
        The baseline's row of a summary, and the teacher's scores if there is evaluation data; see `measured`.

    Raises:
        InputError: Anything that the user can correct.
    """
    with open_run(settings.run.output_dir, quiet=settings.run.quiet) as (folder, console):
        models = load_models(settings, console)
        student, cost = distil_baseline(name, settings, models, folder, console)
        return cost | measured(models, student)
