"""The methods that make texts or embeddings by gradients, by name; and a student of one, for the bench.

They differ from the prompter in what they need: the teacher's weights, some a corpus, some a language model of their own
(see docs/explanation/methods.md). What they make goes to the same distillation loop, and is paid for in the same queries.
"""

import dataclasses
import time
from typing import Any

from distill.distiller import Distiller
from distill.methods.synthesizer import Synthesizer, white_box
from distill.methods.table import METHODS, method_of
from distill.teachers.prediction_cache import CachedTeacher
from eval.data.sentences import read_sentences
from eval.toy import located
from prompter.runtime.console import Console
from prompter.runtime.opening import open_run
from prompter.training.baselines import finish, measured
from prompter.training.settings import Settings
from prompter.training.setup import load_teacher_and_data, new_student

TOY_MODELS = {"masked_lm": "masked-lm", "rewriter": "rewriter"}
"""Settings of methods that may be called `toy`, and what then stands for them."""


def with_toy_models(config: Any, quiet: bool) -> Any:
    """A method's settings with the names of embedded models replaced by folders of the cache."""
    named = {field.name for field in dataclasses.fields(config)} & set(TOY_MODELS)
    return dataclasses.replace(config, **{name: located(getattr(config, name), TOY_MODELS[name], quiet) for name in named})


def new_synthesizer(
    config: Any, teacher: CachedTeacher, distiller: Distiller, corpus: list[str], seed: int, device: str
) -> Synthesizer:
    """The method whose settings these are, set against the distiller's student."""
    return method_of(config).new(config, teacher, distiller, corpus, seed, device)


def tell(synthesizer: Synthesizer, budget: int, rows: int, corpus: list[str], show: Console) -> None:
    """Say what one should know before the work begins.

    How much of the corpus crosses vocabularies, whether most queries of the budget will give the student no text for want of a
    common vocabulary, and whether the corpus repeats.
    """
    if synthesizer.coverage:
        shares = ", ".join(f"{share:.0%} to the {whose}'s vocabulary" for whose, share in synthesizer.coverage.items())
        show.say(f"{synthesizer.name}: of the corpus's tokens {shares} cross.")
        if rows < budget / 2:
            show.say(
                f"{synthesizer.name}: of {budget:,} queries only about {rows:,} give the student a text; the teacher spells "
                "the others in its own way. A model with the teacher's vocabulary wastes fewer."
            )
    if corpus and rows > len(corpus):
        show.say(f"corpus: {len(corpus):,} sentences for up to {rows:,} texts; it is read {rows / len(corpus):.1f} times.")


def train_method(name: str, settings: Settings) -> dict[str, Any]:
    """Distil a student by a method, at the cost of a control; no checkpoint is kept.

    Args:
        name: One of `METHODS`.
        settings: As for `prompter train`, with those of the method.

    Returns:
        As `prompter.training.baselines.train_baseline`; `texts` are the rows that the student learnt from, embeddings among them.

    Raises:
        InputError: Anything a user can put right.
    """
    run, training = settings.run, settings.distill
    with open_run(run.output_dir, quiet=run.quiet) as (_, show):
        loaded = load_teacher_and_data(run, show)
        inside = white_box(loaded.teacher, name)
        corpus = read_sentences(str(run.corpus)) if METHODS[name].needs_corpus else []
        method = with_toy_models(settings.method, run.quiet)
        start = time.perf_counter()
        distiller = Distiller(new_student(settings, loaded), training, run.budget, run.seed, inside)
        synthesizer = new_synthesizer(method, loaded.teacher, distiller, corpus, run.seed, run.device)
        distiller.planned_queries = synthesizer.rows(run.budget)
        tell(synthesizer, run.budget, distiller.planned_queries, corpus, show)
        bar = show.bar(f"{name}: queries", run.budget)
        spent = rows = 0
        while spent < run.budget:
            step = synthesizer.step(run.budget - spent)
            distiller.consume(step.batch)
            spent += step.queries
            rows += len(step.batch)
            show.step(bar, spent)
        if training.student_restart:
            distiller.restart(new_student(settings, loaded))
        finish(distiller, show)
        figures = {
            "texts": rows,
            "queries": spent,
            "updates": distiller.updates_done,
            "seconds": round(time.perf_counter() - start, 1),
        }
        return figures | measured(loaded, distiller.student)
