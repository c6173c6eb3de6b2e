"""Who takes part in a run: teacher, policy, writer, student, and the texts it is measured and compared on."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from distill.student import Student, load_student
from distill.teachers.loading import load_teacher
from distill.teachers.prediction_cache import CachedTeacher, predictions_file
from eval.data.labelled import EvaluationData, load_labelled, load_texts
from eval.data.sentences import read_sentences
from eval.toy import located
from prompter.generation.policy import TopicPolicy
from prompter.generation.writer import Writer
from prompter.runtime.clock import Clock
from prompter.runtime.console import Console
from prompter.training.settings import RunConfig, Settings


@dataclass
class TeacherAndData:
    """Who judges a student: the teacher, and labelled data to report on."""

    teacher: CachedTeacher
    evaluation: EvaluationData | None


@dataclass
class Models(TeacherAndData):
    """Who takes part in a run with a prompter."""

    policy: TopicPolicy
    corpus: list[str]
    real: list[str]
    labelled: EvaluationData | None


def load_teacher_and_data(run: RunConfig, show: Console) -> TeacherAndData:
    """Load teacher and evaluation data, and ask the one about the other."""
    teacher = CachedTeacher(
        load_teacher(run.teacher, run.device, labels=run.teacher_labels or None),
        predictions_file() if run.teacher_cache else None,
        show.say,
    )
    evaluation = None
    if run.eval_data:
        evaluation = load_labelled(
            run.eval_data,
            run.eval_split,
            run.eval_text_column,
            run.eval_label_column,
            teacher.labels,
            run.eval_limit,
            0,
        )
        evaluation.teacher_log_probs = teacher(evaluation.texts)
    return TeacherAndData(teacher, evaluation)


def load(settings: Settings, show: Console) -> Models:
    """Load or build what the settings name."""
    run = settings.run
    loaded = load_teacher_and_data(run, show)
    labels = loaded.teacher.labels
    length = settings.policy.topic_max_tokens
    if settings.policy.writes == "text":
        length = settings.writer.writer_max_new_tokens
    name = settings.policy.policy or run.generator
    needs_corpus = {"random-words", "corpus"} & set(run.compare)
    return Models(
        teacher=loaded.teacher,
        evaluation=loaded.evaluation,
        policy=TopicPolicy.load(name, labels, settings.policy, length, run.device),
        corpus=read_sentences(str(run.corpus)) if needs_corpus else [],
        real=load_texts(str(run.real_data), run.eval_text_column) if "real" in run.compare else [],
        labelled=load_labelled(str(run.real_data), "train", run.eval_text_column, run.eval_label_column, labels)
        if "supervised" in run.compare
        else None,
    )


def new_student(settings: Settings, models: TeacherAndData) -> Student:
    """The untrained student; the same for the same seed."""
    run = settings.run
    return load_student(
        run.student,
        labels=models.teacher.labels,
        teacher=models.teacher.white_box,
        tokenizer=run.student_tokenizer,
        seed=run.seed,
        device=run.device,
    )


def new_writer(settings: Settings, policy: TopicPolicy) -> Writer:
    """The frozen writer."""
    run = settings.run
    return Writer.beside(policy, settings.policy.policy or run.generator, run.generator, settings.writer, run.device)


def with_toy_files(settings: Settings, show: Console, clock: Clock) -> Settings:
    """The settings with the names of the embedded toy tasks replaced by files and folders of the cache."""
    run, policy = settings.run, settings.policy
    kinds = {
        "teacher": "teacher",
        "generator": "writer",
        "eval_data": "test",
        "real_data": "train",
        "corpus": "corpus",
    }
    names = [policy.policy, *(getattr(run, setting) for setting in kinds)]
    if not any(str(name).partition(":")[0] == "toy" for name in names):
        return settings
    with clock("teacher and writer"):
        paths: dict[str, Any] = {
            setting: located(getattr(run, setting), kind, run.quiet)
            for setting, kind in kinds.items()
            if getattr(run, setting)
        }
        run = dataclasses.replace(run, **paths)
        if policy.policy:
            policy = dataclasses.replace(policy, policy=located(policy.policy, "writer", run.quiet))
    return dataclasses.replace(settings, run=run, policy=policy)
