"""The plan: which method, which student, which settings, and the measured row that each choice follows.

The rules follow docs/benchmarks.md and docs/log.md. A rule without a row has no place here.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from distill.common.errors import InputError
from distill.common.files import read_yaml
from distill.kinds.classes import PAIR, SINGLE
from distill.kinds.names import OF_SCORES
from distill.student import FROM_CONFIG, TEACHER_LAYERS
from distill.students.static import STATIC
from eval.classifiers.health import PILOT
from prompter.compressing.config import GENERATOR, CompressConfig
from prompter.compressing.looking import MODEL, Looked
from prompter.editing.config import EditSettings
from prompter.runtime.shipped import config_path

TEXTS, CRAFTED, PROMPTED, BOTH = "texts", "as-dfd", "prompted", "both"
"""The methods of a plan: your own texts; samples crafted from the teacher's gradients; texts of a language model; half of the
queries for such samples, and then on the same student half for such texts."""

LAYERS = {"tiny": 2, "small": 4, "base": 6}
"""Most layers of a student of the teacher's layers."""

PRETRAINED = {
    "tiny": "gaunernst/bert-tiny-uncased",
    "small": "gaunernst/bert-small-uncased",
    "base": "distilbert/distilbert-base-uncased",
}
"""Students that know the language already, for a teacher whose layers are not at hand; Apache-2.0, English."""

FRESH_RATE, PRETRAINED_RATE = 1e-3, 3e-4
"""Peak learning rates: of the benchmarks' students, and of one that has learnt before (configs/ag_news.yaml; `BOTH`)."""

FEWEST_EACH = 2 * PILOT
"""Fewest queries of either half of `BOTH`: with less, a pilot would take most of it, and a prompter learns next to nothing."""

QUERIES_PER_UPDATE, FEWEST_UPDATES, MOST_UPDATES = 10, 300, 2400
"""Student updates: 600 for 6,000 queries and 1,200 for 16,000 in docs/benchmarks/real.md."""

TOY_PAIRS = "toy:pairs"
"""A toy teacher of pairs, and the toy language model that writes them."""

WRITING = {"toy": "configs/toy/prompted.yaml", TOY_PAIRS: "configs/toy/pairs.yaml"}
"""Configurations that say how the toy language models write; others write as in configs/ag_news.yaml."""

TASK_KEYS = {
    *("teacher", "teacher_labels", "generator", "student", "budget", "task_description", "label_descriptions", "request"),
    *("eval_data", "eval_split", "eval_text_column", "eval_text_pair_column", "eval_label_column", "eval_every", "eval_limit"),
    *("compare", "real_data", "method", "student_updates", "student_learning_rate"),
}
"""Keys of a shipped configuration that belong to its task or its student, and not to the way of writing."""

STUDENTS_PAGE, REAL_PAGE, TOY_PAGE = "docs/benchmarks/students.md", "docs/benchmarks/real.md", "docs/benchmarks/toy.md"
COMPRESS_PAGE = "docs/benchmarks/compress.md"


@dataclass(frozen=True)
class Reason:
    """Why the plan is as it is.

    Attributes:
        words: One sentence.
        source: The page and the row that it follows; "" where it follows from the call.
    """

    words: str
    source: str = ""


@dataclass(frozen=True)
class Plan:
    """What will be done.

    Attributes:
        method: `TEXTS`, `CRAFTED`, `PROMPTED` or `BOTH`.
        student: What the student is made from, as `--student` takes it.
        generator: The language model that writes; None where none does.
        updates: Student updates; of `BOTH`, half of them on each.
        learning_rate: Their peak learning rate.
        last_rate: Of `BOTH`, that of the second half, on texts; None of the others.
        training: Further settings of the student's training.
        writing: Settings of the prompter and the writer.
        reasons: Why.
        notes: What the user should know beforehand.
    """

    method: str
    student: str
    generator: str | None
    updates: int
    learning_rate: float
    last_rate: float | None = None
    training: dict[str, Any] = field(default_factory=dict)
    writing: dict[str, Any] = field(default_factory=dict)
    reasons: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()

    def stored(self) -> dict[str, Any]:
        """Return the plan as a file holds it."""
        return asdict(self)

    @classmethod
    def read(cls, stored: dict[str, Any]) -> "Plan":
        """Return the plan that a file holds.

        Raises:
            TypeError, KeyError: The file holds something else.
        """
        reasons = tuple(Reason(**reason) for reason in stored["reasons"])
        return cls(**{**stored, "reasons": reasons, "notes": tuple(stored["notes"])})


def teacher_layers(count: int, size: str) -> str | None:
    """Return a student of every second layer of a teacher, from its first; None for a teacher of one layer.

    Examples:
        >>> teacher_layers(6, "tiny"), teacher_layers(12, "base"), teacher_layers(4, "base"), teacher_layers(1, "tiny")
        ('teacher-layers:0,2', 'teacher-layers:0,2,4,6,8,10', 'teacher-layers:0,2', None)
    """
    if count < 2:
        return None
    chosen = list(range(0, count, 2))[: LAYERS[size]]
    return TEACHER_LAYERS + ",".join(map(str, chosen))


def make_plan(
    config: CompressConfig,
    looked: Looked,
    makeable: Callable[[str], str],
    craftable: Callable[[str], str],
    reachable: Callable[[str], str],
) -> Plan:
    """Choose method, student and settings.

    Args:
        config: The call.
        looked: The teacher.
        makeable: Returns why a student cannot be made, or "".
        craftable: Returns why as-dfd cannot teach a student, or "".
        reachable: Returns why a language model cannot be had, or "".

    Raises:
        InputError: No method fits what was given; the message says what to give.
    """
    student, reasons, notes = _student(config, looked, makeable)
    if looked.answers != SINGLE.name:
        notes.append(f"The rows behind the plan are of one class for a text; of the kind {looked.answers} none is measured.")
    if looked.answers == PAIR.name:
        notes.append(
            "It is taken for a teacher of two texts. To ask an NLI model zero-shot, give your own classes as teacher_labels; "
            "if it reads one text, --kind single."
        )
    method, generator = _method(config, looked, craftable(student), reachable, reasons, notes)
    updates = max(FEWEST_UPDATES, min(MOST_UPDATES, config.budget // QUERIES_PER_UPDATE))
    fresh = student.startswith((TEACHER_LAYERS, STATIC)) or FROM_CONFIG.fullmatch(student) is not None
    rate = FRESH_RATE if fresh else PRETRAINED_RATE
    training, writing = {}, {}
    if method in (PROMPTED, BOTH):
        shipped = _shipped(WRITING.get(generator or "", "configs/ag_news.yaml"))
        if generator == TOY_PAIRS:  # the words by which this language model knows the classes
            shipped["label_descriptions"] = read_yaml(config_path(WRITING[TOY_PAIRS]))["label_descriptions"]
        training = {key: value for key, value in shipped.items() if key.startswith("student_")}
        writing = {key: value for key, value in shipped.items() if not key.startswith("student_")}
        if config.label_descriptions:
            writing["label_descriptions"] = config.label_descriptions
        if config.edit_labels:
            writing |= {item.name: getattr(config, item.name) for item in fields(EditSettings)}
    elif given := [name for name in ("edit_labels", "label_descriptions") if getattr(config, name)]:
        raise InputError(
            f"{given[0]} is for texts of a language model, and the plan has none: give --generator with one and leave --texts "
            f"out, or leave {given[0]} out"
        )
    if looked.toy:
        training |= {k: v for k, v in _shipped("configs/toy/as-dfd.yaml").items() if k.startswith("student_")}
    last = min(rate, PRETRAINED_RATE) if method == BOTH else None
    return Plan(method, student, generator, updates, rate, last, training, writing, tuple(reasons), tuple(notes))


def _student(config: CompressConfig, looked: Looked, makeable: Callable[[str], str]) -> tuple[str, list[Reason], list[str]]:
    """Return what the student is made from, and why."""
    if config.student:
        if fault := makeable(config.student):
            raise InputError(fault)
        notes = []
        if FROM_CONFIG.fullmatch(config.student):
            notes = [
                "A student of random weights loses about ten points against one that knows the language "
                f"({STUDENTS_PAGE}; {REAL_PAGE}, 6,000 queries)."
            ]
        return config.student, [Reason(f"Student {config.student}: you named it.")], notes
    why = "the teacher's weights are not at hand"
    if looked.kind == MODEL:
        spec = teacher_layers(looked.layers, config.size) if looked.layers else None
        why = (
            makeable(spec).removeprefix("student: ").partition(";")[0].rstrip(".")
            if spec
            else "it has no layers that can be left out"
        )
        if spec and not why:
            words = (
                f"Student {spec}: layers of the teacher, which know its words already; random weights gave 75 to 78 % on AG "
                "News where these gave 85 to 88 %."
            )
            return (
                spec,
                [Reason(words, f"{STUDENTS_PAGE}, column AG News, teacher-layers:0,2; {REAL_PAGE}, 6,000 queries")],
                [],
            )
    spec = PRETRAINED[config.size]
    if fault := makeable(spec):
        short = fault.removeprefix("student: ").partition(";")[0]
        raise InputError(
            f"student: {why}, and {short}: give --student with the folder of a small "
            "pre-trained encoder; bert:layers=2,hidden=128 with --student_tokenizer has random weights, and loses about ten "
            "points"
        )
    words = f"Student {spec}: small and pre-trained, as {why}; a student that knows words learns more from any text."
    return spec, [Reason(words, f"{STUDENTS_PAGE}, columns 'word vectors'")], []


def _method(
    config: CompressConfig,
    looked: Looked,
    why_not: str,
    reachable: Callable[[str], str],
    reasons: list[Reason],
    notes: list[str],
) -> tuple[str, str | None]:
    """Return the method and the language model, and add why.

    Args:
        config: The call.
        looked: The teacher.
        why_not: Why as-dfd cannot teach the student, or "".
        reachable: See `make_plan`.
        reasons: Get why it is so.
        notes: Get what the user should know.
    """
    if config.texts:
        words = (
            "Your own texts, and nothing else: no other text taught as much as text of the right kind, nor helped beside it."
        )
        reasons.append(Reason(words, f"{STUDENTS_PAGE}, row real; {REAL_PAGE}, rows real"))
        if config.generator:
            notes.append(f"The language model {config.generator} is not used: your texts are.")
        return TEXTS, None
    if config.data_free and why_not:
        raise InputError(f"data_free leaves as-dfd alone, which is impossible here ({why_not}): give --texts, or leave it out")
    generator = config.generator or (_toy_generator(looked) if looked.toy else GENERATOR)
    alone = why_not or _why_not_both(config, looked, reachable)
    if not alone:
        words = (
            f"Method both, as-dfd and then texts of {generator}, on one student: it was ahead of either alone, by 1.5 points "
            "on SST-2 and by 0.4 on AG News (three seeds)."
        )
        reasons.append(Reason(words, f"{COMPRESS_PAGE}, row both"))
    elif not why_not and not config.generator:
        words = (
            "Method as-dfd, without any text: for a student of the teacher's layers it gave 87.9 ± 0.1 % on AG News, the best "
            "text that was not real 86.9; on SST-2, 75.9 ± 0.9, and a prompter's texts 77.7."
        )
        rows = f"{STUDENTS_PAGE}, row as-dfd; {COMPRESS_PAGE}, row as-dfd; {TOY_PAGE}, student teacher-layers:0"
        reasons.append(Reason(words, rows))
        if not config.data_free:
            notes.append(f"Texts of a language model are left out: {alone}.")
        return CRAFTED, None
    else:
        because = f"as-dfd is impossible here ({why_not})" if why_not else f"you named a language model, and {alone}"
        words = (
            f"Method prompted, texts of {generator}: {because}. Learning openings gave 6 to 8 points over a prompter that had "
            "not learnt (one seed, a student of random weights)."
        )
        reasons.append(Reason(words, "docs/log.md, 2026-11-26, 'learning, in context'"))
    if _only_numbered(looked):
        notes.append("The classes are only numbered, and the language model is asked for them by name: give --teacher_labels.")
    if looked.labels is None and looked.answers not in OF_SCORES:
        notes.append("The language model is asked for the classes by name: give --teacher_labels if the teacher names none.")
    if not config.task_description and generator not in WRITING:
        notes.append('Say what a text is, for the language model: --task_description "a short news report".')
    return (PROMPTED if alone else BOTH), generator


def _toy_generator(looked: Looked) -> str:
    """Return the language model of the embedded world for a toy teacher."""
    return TOY_PAIRS if looked.name == TOY_PAIRS else "toy"


def _why_not_both(config: CompressConfig, looked: Looked, reachable: Callable[[str], str]) -> str:
    """Return why texts of a language model are not added to as-dfd, or "" if they are.

    A language model that the user names is used. The default one is used where it knows what to write, as in the measurements:
    half of the queries for poor texts would cost more than good texts bring.
    """
    if config.data_free:
        return "data_free says so"
    if config.budget < 2 * FEWEST_EACH:
        return f"a budget of {config.budget:,} is too small to be halved, below {2 * FEWEST_EACH:,} queries"
    if config.generator:
        return ""
    if looked.toy:
        return f"on the toy task as-dfd alone is the best ({COMPRESS_PAGE}); --generator toy adds them"
    if not config.task_description:
        return (
            "the language model would not know what to write; both together did better on SST-2: give --task_description "
            '"a short news report", in your words'
        )
    if _only_numbered(looked):
        return "the classes are only numbered: give --teacher_labels with their names"
    if fault := reachable(GENERATOR):
        return f"{GENERATOR} {fault}: give --generator with the folder of a language model"
    return ""


def _only_numbered(looked: Looked) -> bool:
    """Return whether the teacher's classes have no names; a score is not asked for by its name."""
    if looked.answers in OF_SCORES or not looked.labels:
        return False
    return all(label.startswith("LABEL_") or label.isdigit() for label in looked.labels)


def _shipped(name: str) -> dict[str, Any]:
    """Return the settings of a shipped configuration that do not belong to its task."""
    return {key: value for key, value in read_yaml(config_path(name)).items() if key not in TASK_KEYS}
