"""Students of the methods that make texts or embeddings by gradients (docs/explanation/methods.md).

Unlike the prompter, the methods need the teacher's weights. Some need a corpus or a language model of their own. Their
texts go to the same distillation loop, and count the same teacher queries.
"""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

from distill.batch import SyntheticBatch
from distill.distiller import Distiller
from distill.methods.config import ZeroShotConfig
from distill.methods.synthesizer import Synthesizer, white_box
from distill.methods.table import METHODS, method_of
from distill.teachers.prediction_cache import CachedTeacher
from eval.data.sentences import read_sentences
from eval.toy import located
from prompter.runtime.console import Console
from prompter.runtime.opening import open_run
from prompter.students.config import StudentsConfig
from prompter.training.baselines import measured
from prompter.training.settings import RunConfig, Settings
from prompter.training.setup import load_teacher_and_data, new_student

TOY_MODELS = {"masked_lm": "masked-lm", "rewriter": "rewriter"}
"""Settings that name a method's own model, and the toy model that the name `toy` stands for."""


def new_synthesizer(
    method: Any, teacher: CachedTeacher, distiller: Distiller, corpus: list[str], config: StudentsConfig | RunConfig
) -> Synthesizer:
    """Make the synthesizer of a method for the student of a distiller.

    Args:
        method: Settings of the method.
        teacher: A teacher with weights.
        distiller: Trains the student.
        corpus: General texts, if the method needs them.
        config: Names the seed and the device.

    Raises:
        InputError: The teacher, the student or the corpus does not suit the method.
    """
    own = {field.name for field in dataclasses.fields(method)} & set(TOY_MODELS)
    places = {name: located(getattr(method, name), TOY_MODELS[name], config.quiet) for name in own}
    settings = dataclasses.replace(method, **places)
    if teacher.pairs and isinstance(settings, ZeroShotConfig):
        settings = dataclasses.replace(settings, sentence_pairs=True)
    return method_of(settings).new(settings, teacher, distiller, corpus, config.seed, config.device)


def announce_method(synthesizer: Synthesizer, budget: int, rows: int, corpus: list[str], console: Console) -> None:
    """Tell the user in advance what a method will waste or repeat.

    Args:
        synthesizer: The method.
        budget: Teacher queries to spend.
        rows: Texts that the student will probably get.
        corpus: General texts of the method.
        console: Shows the lines.
    """
    if synthesizer.coverage:
        shares = ", ".join(f"{share:.0%} to the {whose}'s vocabulary" for whose, share in synthesizer.coverage.items())
        console.say(f"{synthesizer.name}: of the corpus's tokens {shares} cross.")
        if rows < budget / 2:
            console.say(
                f"{synthesizer.name}: of {budget:,} queries only about {rows:,} give the student a text, because the teacher "
                "splits the other texts differently. A model with the teacher's vocabulary wastes fewer queries."
            )
    if corpus and rows > len(corpus):
        console.say(f"corpus: {len(corpus):,} sentences for up to {rows:,} texts; it is read {rows / len(corpus):.1f} times.")


def train_method(name: str, settings: Settings) -> dict[str, Any]:
    """Distil a student by a method, for the bench. No checkpoint is kept.

    Args:
        name: A name in `METHODS`.
        settings: Settings of `prompter train`, with those of the method.

    Returns:
        See `prompter.training.baselines.train_baseline`. `texts` counts the rows that the student learnt from, including
        embeddings.

    Raises:
        InputError: The user can fix the cause; the message says how.
    """
    run, training = settings.run, settings.distill
    with open_run(run.output_dir, quiet=run.quiet) as (_, console):
        loaded = load_teacher_and_data(run, console, settings.policy.task_description)
        teacher = white_box(loaded.teacher, name)
        corpus = read_sentences(str(run.corpus)) if METHODS[name].needs_corpus else []
        start = time.perf_counter()
        distiller = Distiller(new_student(settings, loaded), training, run.budget, run.seed, teacher)
        synthesizer = new_synthesizer(settings.method, loaded.teacher, distiller, corpus, run)
        distiller.planned_queries = synthesizer.rows(run.budget)
        announce_method(synthesizer, run.budget, distiller.planned_queries, corpus, console)
        queries_bar = console.bar(f"{name}: queries", run.budget)
        updates_bar = console.bar("student updates", training.student_updates)
        costs = {"texts": 0, "queries": 0}
        distiller.run(
            _batches(synthesizer, run.budget, costs),
            online=True,
            on_batch=lambda batch: console.step(queries_bar, costs["queries"]),
            on_update=lambda done, loss: console.step(updates_bar, done, f"loss {loss:.3f}"),
            fresh=(lambda: new_student(settings, loaded)) if training.student_restart else None,
        )
        seconds = round(time.perf_counter() - start, 1)
        return costs | {"updates": distiller.updates_done, "seconds": seconds} | measured(loaded, distiller.student)


def _batches(synthesizer: Synthesizer, budget: int, costs: dict[str, int]) -> Iterator[SyntheticBatch]:
    """Yield the batches of a method until the budget is spent, and count their `texts` and `queries` in `costs`."""
    while costs["queries"] < budget:
        step = synthesizer.step(budget - costs["queries"])
        costs["queries"] += step.queries
        costs["texts"] += len(step.batch)
        yield step.batch


def method_source(config: StudentsConfig) -> str:
    """Return what the student of a method learnt from, for its card."""
    return f"method {config.method}" + (f" on {config.corpus}" if config.corpus else "")
