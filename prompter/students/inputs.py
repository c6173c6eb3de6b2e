"""Load what `prompter distill` works with: sources, teacher, untrained students, corpus and evaluation data."""

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distill.checkpoints.checksums import sample_of_weights
from distill.common.errors import InputError
from distill.common.hub import HUB_ID
from distill.common.seeding import derive_seed
from distill.config import DistillConfig
from distill.held_out import is_held_out
from distill.kinds.classes import Classes
from distill.kinds.kind import Kind
from distill.kinds.scores import Score
from distill.methods.synthesizer import white_box
from distill.methods.table import METHODS
from distill.student import FROM_CONFIG, TEACHER_LAYERS, Student, load_student
from distill.students.static import FROM_TEACHER, STATIC
from distill.teachers.config import Asking
from distill.teachers.found import TOY, FoundTeacher
from distill.teachers.names import FUNCTION_NAME, URL_SCHEMES
from distill.teachers.prediction_cache import CachedTeacher
from eval.classifiers.opening import open_named
from eval.classifiers.scoring import answer
from eval.corpora.exported import READ_AS_ANSWERS
from eval.data.labelled import EvaluationData, load_evaluation
from eval.data.sentences import read_sentences
from eval.toy import located
from prompter.runtime.console import Console
from prompter.saved.manifest import find_prompter, fingerprint
from prompter.students.config import StudentsConfig
from prompter.students.settling import labels_of, settled_kind
from prompter.students.sources import DatasetSource, PrompterSource, Source, TextSource, open_source

HASHED_ROWS = 4096
"""Rows of a dataset that are hashed at once."""


@dataclass
class Inputs:
    """Everything that a call works with.

    Attributes:
        sources: Sources of texts. Empty if a method makes the texts.
        teacher: The teacher, or None if all texts hold its answers.
        kind: What the teacher's answers are.
        labels: Class names.
        students: Untrained students by name.
        evaluation: Labelled data for the report, or None.
        corpus: General texts for a method. Empty if it needs none.
        untrained: Makes a fresh student, by name.
        contents: What tells the content of each source, and the weights of each student's folder, from others; by setting and
            place. A checkpoint holds it.
    """

    sources: list[Source]
    teacher: CachedTeacher | None
    kind: Kind
    labels: list[str]
    students: dict[str, Student]
    evaluation: EvaluationData | None
    corpus: list[str]
    untrained: Callable[[str], Student]
    contents: dict[str, str]

    def restore(self, state: Mapping[str, Any]) -> None:
        """Check that a checkpoint was made with the same sources, students and teacher; restore the teacher's counters.

        Args:
            state: Content of the checkpoint; one of an earlier version does not say what the sources held.

        Raises:
            InputError: A source, a student's folder or the teacher has changed.
        """
        before = list(state.get("contents", self.contents).values())  # in order: places may be written in another way
        for number, (what, now) in enumerate(self.contents.items()):
            if before[number : number + 1] != [now]:
                raise InputError(
                    f"{what} has changed since this was begun, so results would be mixed: put it back as it was, or begin "
                    "anew in another folder"
                )
        if self.teacher is not None:
            self.teacher.restore(state)

    @property
    def targets(self) -> list[str]:
        """Names of what an answer may belong to, for instance the classes."""
        return self.kind.targets(self.labels)

    @property
    def synthetic(self) -> bool:
        """Whether all texts were made for the teacher; otherwise some are the user's own. A method makes all that it uses."""
        return all(source.synthetic for source in self.sources)


def load_inputs(config: StudentsConfig, training: DistillConfig, console: Console) -> Inputs:
    """Load or build what the settings name.

    Raises:
        InputError: Something is missing, cannot be read, or does not fit the rest.
    """
    sources = [
        open_source(
            path,
            seed=derive_seed(config.seed, "source", index),
            device=config.device,
            base=config.base,
            column=config.text_column,
            split=config.text_split,
            pair_column=config.text_pair_column,
        )
        for index, path in enumerate(config.sources)
    ]
    made_for = next((source.teacher for source in sources if source.teacher), None)
    found = None if config.teacher else made_for
    asking = made_for.asking(config.asking(), config.teacher) if made_for else config.asking()
    teacher = _open_teacher_if_needed(config, training, sources, found, asking, console)
    # Two kinds are refused before their names are compared.
    settled_kind(sources, teacher.kind if teacher else None, asking.kind, [])
    labels = labels_of(sources, teacher.labels if teacher else config.teacher_labels or None)
    kind = settled_kind(sources, teacher.kind if teacher else None, asking.kind, labels)
    kind = settle_texts(sources, kind, teacher is not None)
    check_shares(config, sources)
    new = any(":" in spec and not spec.startswith((TEACHER_LAYERS, STATIC)) for spec in config.student)
    tokenizer = config.student_tokenizer
    words = located(config.student_words, "writer", config.quiet) if config.student_words else None
    if teacher is None and found is not None and new and tokenizer is None:
        tokenizer = _tokenizer_of(found, config)
    specs = dict(zip(folder_names(config.student), config.student, strict=True))

    def untrained(name: str) -> Student:
        return load_student(
            specs[name],
            labels=labels,
            teacher=teacher.white_box if teacher else None,
            tokenizer=tokenizer if ":" in specs[name] and not specs[name].startswith(STATIC) else config.student_tokenizer,
            words=words if FROM_CONFIG.fullmatch(specs[name]) or not new else None,
            seed=config.seed,
            device=config.device,
            kind=kind,
        )

    students = {name: untrained(name) for name in specs}
    corpus = read_sentences(str(config.corpus)) if config.method and METHODS[config.method].needs_corpus else []
    evaluation = _load_evaluation(config, labels, kind, teacher)
    contents = {f"from: {source.name}": content_of(source) for source in sources}
    begun = {spec: place for spec in config.student if (place := Path(spec).expanduser()).is_dir()}
    contents |= {f"student: {spec}": sample_of_weights(place) or "" for spec, place in begun.items()}
    return Inputs(sources, teacher, kind, labels, students, evaluation, corpus, untrained, contents)


def content_of(source: Source) -> str:
    """Return a hash of what a source hands out, in hexadecimal digits: of its rows, or of the prompter that writes them."""
    digest = hashlib.sha256()
    if isinstance(source, PrompterSource):
        return fingerprint(find_prompter(source.name))
    if isinstance(source, DatasetSource):
        for start in range(0, source.table.num_rows, HASHED_ROWS):
            digest.update(json.dumps(source.table.slice(start, HASHED_ROWS).to_pydict(), default=str).encode())
    else:
        for row in _texts_of(source):
            digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def settle_texts(sources: list[Source], kind: Kind, certain: bool) -> Kind:
    """Let all sources hand out single texts, or all of them pairs, and return the kind of their answers.

    Args:
        sources: The sources.
        kind: The kind of the teacher.
        certain: Whether the teacher itself says its kind. Otherwise the texts of the sources count.

    Raises:
        InputError: A source has the other number of texts.
    """
    known = {source.name: source.pairs for source in sources if source.pairs is not None}
    if certain:
        known = {"the teacher (--kind)": kind.texts == 2} | known
    first, pairs = next(iter(known.items()), ("", kind.texts == 2))
    shown = {True: "pairs of texts", False: "single texts"}
    for other, found in known.items():
        if found != pairs:
            raise InputError(f"from: {first} has {shown[bool(pairs)]}, {other} has {shown[bool(found)]}: give one kind only")
    for source in sources:
        if isinstance(source, TextSource):
            source.settle(bool(pairs))
    if pairs == (kind.texts == 2):
        return kind
    if not isinstance(kind, Classes | Score):
        raise InputError(f"from: {first} has {shown[bool(pairs)]}, which a teacher of the kind {kind.name} does not read")
    return replace(kind, texts=2 if pairs else 1)


def check_shares(config: StudentsConfig, sources: list[Source]) -> None:
    """Refuse, before a query is spent, texts that are all held out, and a single text where one has to select the state.

    Raises:
        InputError: So it is. A source that writes its texts, or a method that makes them, is not looked at.
    """
    if not sources or any(source.rows is None for source in sources):
        return
    rows, held, kept = 0, False, set()
    for source in sources:
        texts = _texts_of(source)
        for text, pair in texts if source.answered or not config.budget else itertools.islice(texts, config.budget):
            rows += 1
            if is_held_out(text, pair, config.held_out):
                held = True
            else:
                kept.add((text, pair))
            if kept and (held or len(kept) > 1 or config.select == "last"):
                return  # something to learn from, and something to select by: held out, or to be held out
    if rows and not kept:
        raise InputError(f"from: all of {rows:,} texts are held out, so none is left to learn from: give more texts")
    if rows:
        raise InputError("from: one text cannot both teach a student and select its state: give more, or --select last")


def _texts_of(source: Source) -> Iterator[tuple[str, str | None]]:
    """Yield the texts of a source with their second texts."""
    for number in itertools.count():
        portion = source.portion(number)
        if portion is None:
            return
        pairs: Sequence[str | None] = portion.text_pairs or [None] * len(portion.texts)
        yield from zip(portion.texts, pairs, strict=True)


def _tokenizer_of(found: FoundTeacher, config: StudentsConfig) -> str | None:
    """Return where the tokenizer of a teacher lies that is not opened; a black box has none.

    Raises:
        InputError: The teacher is a folder that is not there, or the user has to confirm it.
    """
    black_box = found.name.startswith(URL_SCHEMES) or FUNCTION_NAME.fullmatch(found.name)
    if not black_box and re.match(r"[./~\\]|[A-Za-z]:[/\\]", found.name) and not Path(found.name).is_dir():
        raise InputError(
            f"teacher: {found.file} names its teacher '{found.name}', whose tokenizer a new student would take, but there is "
            "no such folder here: give --teacher with the place where it is now, or --student_tokenizer with another tokenizer"
        )
    if not (found.name.startswith(TOY) or Path(found.name).is_dir() or HUB_ID.fullmatch(found.name)):
        return None
    found.check(config.trust_teacher, "--student_tokenizer with another tokenizer for the new student")
    return located(found.name, "teacher", config.quiet)


def _open_teacher_if_needed(
    config: StudentsConfig,
    training: DistillConfig,
    sources: list[Source],
    found: FoundTeacher | None,
    asking: Asking,
    console: Console,
) -> CachedTeacher | None:
    """Open the teacher if texts lack answers, if a student or a method needs its layers, or if the user named one."""
    unanswered = [source.name for source in sources if not source.answered]
    layers = any(map(_of_layers, config.student)) or training.student_hidden_weight > 0
    if not (unanswered or config.teacher or layers or config.method):
        return None
    if not config.teacher and found is None:
        if not unanswered and not config.method:
            needs = next(filter(_of_layers, config.student), "student_hidden_weight")
            raise InputError(
                f"teacher is missing: {needs} needs its layers, and no file beside the texts names it: give --teacher"
            )
        asker = f"{', '.join(unanswered)} holds" if unanswered else f"method '{config.method}' has"
        tables = any(isinstance(source, TextSource) for source in sources)
        known = f", or a table with the columns of answers ({READ_AS_ANSWERS})" if tables else ""
        raise InputError(f"teacher is missing: {asker} no answers of a teacher: give --teacher{known}")
    trusted = found.check(config.trust_teacher) if found else False
    spec, labels = (found.name, config.teacher_labels or found.labels) if found else (None, config.teacher_labels)
    teacher = open_named(config, console.say, spec, labels=labels, asking=asking, own=not trusted)
    if config.method:
        white_box(teacher, config.method)  # refuse a black box before a student asks for its layers
    return teacher


def _of_layers(student: str) -> bool:
    """Return whether a student is made of the teacher's layers."""
    return student.startswith((TEACHER_LAYERS, FROM_TEACHER))


def _load_evaluation(
    config: StudentsConfig, labels: list[str], kind: Kind, teacher: CachedTeacher | None
) -> EvaluationData | None:
    """Load the labelled data of the report, with the teacher's answers if there is a teacher."""
    evaluation = load_evaluation(config, labels, kind.name)
    if evaluation is not None and teacher is not None:
        evaluation.teacher_log_probs = answer(teacher, evaluation)
    return evaluation


def total_texts(config: StudentsConfig, sources: list[Source]) -> int:
    """Return how many texts there will be, including held-out texts.

    Raises:
        InputError: A source is endless, and there is no budget.
    """
    if config.method:
        return config.budget
    endless = [source.name for source in sources if source.rows is None]
    if endless and not config.budget:
        raise InputError(
            f"budget is missing: {', '.join(endless)} writes texts without end: give --budget with the number of queries"
        )
    answered = sum(source.rows or 0 for source in sources if source.answered)
    asked = sum(source.rows or 0 for source in sources if not source.answered)
    if config.budget:
        asked = config.budget if endless else min(asked, config.budget)
    return answered + asked


def folder_names(specs: list[str]) -> list[str]:
    """Return a folder name for each student, made from its specification.

    Examples:
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
