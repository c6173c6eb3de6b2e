"""How long a plan will take on this machine, from a few seconds of each part of the work.

The estimate is rough: other work on the machine, the length of the texts and the cache of answers are not known. A service or
a function is not asked.
"""

import time

import torch

from distill.batch import SyntheticBatch
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.kinds.kind import Kind
from distill.kinds.words import words_of
from distill.methods.config import AsDfdConfig
from distill.student import Student
from eval.classifiers.scoring import size_and_speed
from prompter.compressing.config import CompressConfig
from prompter.compressing.looking import SENTENCE, Looked, second_texts
from prompter.compressing.planning import Plan
from prompter.compressing.steps import queries_of, training_settings, updates_of, writing_settings
from prompter.generation.opening import open_writer
from prompter.generation.policy import TopicPolicy
from prompter.students.methods import new_synthesizer

UPDATES, CRAFTED_QUERIES, WRITTEN = 3, 64, 16
"""Of each part as much as is timed."""

LEARNING = 1.8
"""What training the policy adds: 987 s in all, 435 s of them the policy (docs/log.md, 2026-11-26, 'learning, in context')."""


def estimate(config: CompressConfig, plan: Plan, looked: Looked, student: Student) -> dict[str, float]:
    """Return the seconds that each part of the work will take, about; a part that cannot be timed is missing.

    Args:
        config: The call.
        plan: What will be done.
        looked: The teacher.
        student: An untrained student of the plan; it is spent afterwards.
    """
    training = training_settings(plan)
    distiller = Distiller(student, training, config.budget, config.seed)
    crafted, written = queries_of(plan, config.budget)
    seconds: dict[str, float] = {}
    if crafted:
        assert looked.teacher is not None
        method = new_synthesizer(AsDfdConfig(), looked.teacher, distiller, [], config)  # type: ignore[arg-type]
        start = time.perf_counter()
        batch = method.step(CRAFTED_QUERIES).batch
        seconds["crafting"] = (time.perf_counter() - start) / CRAFTED_QUERIES * crafted
        distiller.add(batch)
    else:
        distiller.add(_made_up(training, len(student.labels), student.kind))
    if looked.teacher is not None and crafted < config.budget:
        pairs = second_texts(student.kind, 64)
        speed = size_and_speed({"teacher": looked.teacher.teacher}, [SENTENCE] * 64, 64, text_pairs=pairs, rounds=1)
        seconds["teacher"] = (config.budget - crafted) / speed["teacher"]["texts_per_second"]
    if written:
        each = _writing(config, plan, student.kind.targets(student.labels)) * student.kind.texts
        seconds["writing"] = each * written * LEARNING
    distiller.update(1)
    start = time.perf_counter()
    distiller.update(UPDATES)
    times = 1 + training.student_online_share * training.student_restart if crafted else 1
    times += (0.5 if not crafted else 1.5) * bool(written)  # the student of the run makes half as many
    seconds["student"] = (time.perf_counter() - start) / UPDATES * updates_of(plan) * times
    return {name: round(value, 1) for name, value in seconds.items()}


def _made_up(training: DistillConfig, classes: int, kind: Kind) -> SyntheticBatch:
    """Return texts with made-up answers, as many as an update takes."""
    rows = training.student_batch_size
    texts = [f"{SENTENCE} {row}" for row in range(rows)]
    shape = (rows, len(words_of(texts[0])), classes) if kind.of_words else (rows, classes)
    answers, pairs = kind.answers(torch.zeros(shape)), second_texts(kind, rows)
    return SyntheticBatch(texts, answers, torch.full((rows,), -1), [""] * rows, "timing", pairs, kind=kind)


def _writing(config: CompressConfig, plan: Plan, labels: list[str]) -> float:
    """Return the seconds that the language model needs for one text about one of `labels`, its opening included.

    Raises:
        InputError: The language model cannot be loaded, or does not fit.
    """
    policy_settings, writer_settings, candidates = writing_settings(config, plan)
    assert plan.generator is not None
    length = policy_settings.topic_max_tokens
    policy = TopicPolicy.load(plan.generator, labels, policy_settings, length, config.device, config.seed, config.quiet)
    base = plan.generator
    writer = open_writer(config.writer, policy, base, base, writer_settings, config.device, quiet=config.quiet)
    targets = torch.arange(WRITTEN) % len(labels)
    start = time.perf_counter()
    writer.write(policy.topics(targets, config.seed, 0), config.seed, 0, targets=targets)
    return (time.perf_counter() - start) / WRITTEN * candidates
