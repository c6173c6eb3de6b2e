"""What `prompter distill` works with: sources, teacher, untrained students, and data to report on."""

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from distill.common.errors import InputError
from distill.common.hub import HUB_ID
from distill.common.seeding import derive_seed
from distill.config import DistillConfig
from distill.methods.synthesizer import white_box
from distill.methods.table import METHODS
from distill.student import Student, load_student
from distill.teachers.loading import load_teacher
from distill.teachers.prediction_cache import CachedTeacher, predictions_file
from eval.data.labelled import EvaluationData, load_labelled
from eval.data.sentences import read_sentences
from eval.toy import located
from prompter.runtime.console import Console
from prompter.students.config import StudentsConfig
from prompter.students.sources import Source, labels_of, open_source


@dataclass
class Inputs:
    """What a call works with."""

    sources: list[Source]
    teacher: CachedTeacher | None
    labels: list[str]
    students: dict[str, Student]
    evaluation: EvaluationData | None
    corpus: list[str]
    untrained: Callable[[str], Student]


def total_texts(config: StudentsConfig, sources: list[Source]) -> int:
    """How many texts there will be, those that are held out included.

    Raises:
        InputError: A source without end needs a budget.
    """
    if config.method:
        return config.budget
    endless = [source.name for source in sources if source.rows is None]
    if endless and not config.budget:
        raise InputError(f"budget is missing: {', '.join(endless)} writes as many texts as the teacher may be asked about")
    answered = sum(source.rows or 0 for source in sources if source.answered)
    asked = sum(source.rows or 0 for source in sources if not source.answered)
    if config.budget:
        asked = config.budget if endless else min(asked, config.budget)
    return answered + asked


def load(config: StudentsConfig, training: DistillConfig, show: Console) -> Inputs:
    """Load or build what the configuration names."""
    sources = [
        open_source(
            path,
            seed=derive_seed(config.seed, "source", index),
            device=config.device,
            base=config.base,
            column=config.text_column,
            split=config.text_split,
        )
        for index, path in enumerate(config.sources)
    ]
    made_for = next((source for source in sources if source.teacher), None)
    spec = located(config.teacher or (made_for.teacher if made_for and made_for.teacher else ""), "teacher")
    names = config.teacher_labels or (made_for.teacher_labels if made_for and not config.teacher else [])
    unanswered = [source.name for source in sources if not source.answered]
    layers = any(name.startswith("teacher-layers:") for name in config.student) or training.student_hidden_weight > 0
    teacher = None
    if unanswered or config.teacher or layers or config.method:
        if not spec:
            whose = ", ".join(unanswered) or f"method '{config.method}'"
            raise InputError(f"teacher is missing: {whose} has no answers of one; give --teacher")
        asked = load_teacher(spec, config.device, labels=names or None)
        teacher = CachedTeacher(asked, predictions_file() if config.teacher_cache else None, show.say)
        if config.method:
            white_box(teacher, config.method)  # said before a student asks for what a black box has not
    labels = labels_of(sources, teacher.labels if teacher else None)
    # Where the teacher need not be asked, a student made from a config still reads as it does; a black box has no tokenizer.
    readable = teacher is None and (Path(spec).is_dir() or HUB_ID.fullmatch(spec))
    tokenizer = config.student_tokenizer or (spec if readable else None)
    specs = dict(zip(folder_names(config.student), config.student, strict=True))

    def untrained(name: str) -> Student:
        return load_student(
            specs[name],
            labels=labels,
            teacher=teacher.white_box if teacher else None,
            tokenizer=tokenizer if ":" in specs[name] else config.student_tokenizer,
            seed=config.seed,
            device=config.device,
        )

    students = {name: untrained(name) for name in specs}
    evaluation = None
    if config.eval_data:
        evaluation = load_labelled(
            located(config.eval_data, "test"),
            config.eval_split,
            config.eval_text_column,
            config.eval_label_column,
            labels,
            config.eval_limit,
        )
        if teacher is not None:
            evaluation.teacher_log_probs = teacher(evaluation.texts)
    corpus = (
        read_sentences(located(str(config.corpus), "corpus")) if config.method and METHODS[config.method].needs_corpus else []
    )
    return Inputs(sources, teacher, labels, students, evaluation, corpus, untrained)


def folder_names(specs: list[str]) -> list[str]:
    """A folder name for each student, from how it was specified.

    >>> folder_names(["bert:layers=2,hidden=64", "models/tiny", "other/tiny"])
    ['bert-layers2-hidden64', 'tiny', 'tiny-2']
    >>> folder_names(["models/tiny-2", "models/tiny", "other/tiny"])
    ['tiny-2', 'tiny', 'tiny-3']
    """
    names: list[str] = []
    for spec in specs:
        last = spec if ":" in spec else Path(spec).name
        name = re.sub(r"[^\w.]+", "-", last.replace("=", "")).strip("-.") or "student"
        numbered = (f"{name}-{number}" for number in itertools.count(2))
        names.append(name if name not in names else next(other for other in numbered if other not in names))
    return names
