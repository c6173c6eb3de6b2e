"""The models and data of a run: teacher, policy, writer, student, evaluation data, and texts for the baselines."""

from dataclasses import dataclass
from pathlib import Path

from distill.checkpoints.checksums import sample_of_weights
from distill.common.errors import InputError
from distill.processes.group import ALONE, Processes
from distill.student import Student, load_student
from distill.teachers.names import teacher_name
from distill.teachers.prediction_cache import CachedTeacher
from eval.classifiers.calibration import set_calibration
from eval.classifiers.opening import open_named
from eval.classifiers.scoring import answer
from eval.data.labelled import EvaluationData, load_evaluation, load_labelled, load_pairs, second_texts_for
from eval.data.sentences import read_sentences
from eval.toy import located
from prompter.generation.config import TRANSFORMERS
from prompter.generation.opening import AnyWriter, open_writer
from prompter.generation.outside.outside_writer import OutsideWriter
from prompter.generation.policy import TopicPolicy
from prompter.generation.prompts import class_names
from prompter.pairs.relations import pair_policy
from prompter.pairs.second_texts import SecondTexts
from prompter.runtime.console import Console
from prompter.training.baseline_names import BASELINE_SOURCES
from prompter.training.baseline_texts import SCREENED
from prompter.training.settings import RunConfig, Settings


@dataclass
class TeacherAndData:
    """What every student is compared with: the teacher, and labelled data for reports (None without `eval_data`)."""

    teacher: CachedTeacher
    evaluation: EvaluationData | None


@dataclass
class Models(TeacherAndData):
    """What a run with a prompter loads.

    Attributes:
        policy: The policy, not trained yet.
        writer: The frozen writer.
        corpus: General sentences, for the baselines whose source it is (`BASELINE_SOURCES`).
        real: Real texts, for the baselines whose source they are, but `supervised`.
        labelled: Real texts with labels, for the baseline `supervised`; else None.
        second_texts: Makes the second texts, for a teacher of pairs; else None.
        real_pairs: The second texts of `real`, for a teacher of pairs; else None.
    """

    policy: TopicPolicy
    writer: AnyWriter
    corpus: list[str]
    real: list[str]
    labelled: EvaluationData | None
    second_texts: SecondTexts | None = None
    real_pairs: list[str] | None = None


def load_teacher_and_data(
    run: RunConfig, console: Console, task: str | None = None, processes: Processes = ALONE
) -> TeacherAndData:
    """Open the teacher, read the evaluation data, and ask the teacher about it.

    Args:
        run: Settings of the run.
        console: Shows what is to be said.
        task: What a text is, for a teacher that is a language model.
        processes: Those that will ask the teacher together.

    Raises:
        InputError: The teacher or the data cannot be opened, or they do not fit each other.
    """

    def opened(labels: list[str]) -> CachedTeacher:
        quiet = run.quiet or not processes.first
        return open_named(run, console.say, labels=labels, asking=run.asking(task), quiet=quiet, processes=processes)

    # The first process downloads or trains what is missing, and pays for the query by which a black box tells its classes.
    teacher = opened(run.teacher_labels) if processes.first else None
    labels, counters = processes.from_first(lambda: (teacher.labels, teacher.state()) if teacher else ([], {}))
    if teacher is None:
        teacher = opened(labels)
        teacher.restore(counters)
    evaluation = load_evaluation(run, teacher.labels, teacher.kind.name)
    if evaluation is not None:
        evaluation.teacher_log_probs = answer(teacher, evaluation)
    return TeacherAndData(teacher, evaluation)


def load_models(settings: Settings, console: Console, processes: Processes = ALONE) -> Models:
    """Load or make everything that the settings name, except the student.

    Args:
        settings: All settings of the run.
        console: Shows what is to be said.
        processes: Those that make the run together.

    Raises:
        InputError: Something cannot be opened, or does not fit.
    """
    run, compare = settings.run, settings.run.compare
    if processes.size > 1 and run.writer != TRANSFORMERS:
        raise InputError(f"writer is '{teacher_name(run.writer)}', which works for one process: start it without a launcher")
    loaded = load_teacher_and_data(run, console, settings.policy.task_description, processes)
    labels = loaded.teacher.labels
    targets = loaded.teacher.kind.targets(labels)
    if class_names(targets) != targets and not set(targets) <= set(settings.policy.descriptions()):
        console.say(
            f"The teacher only numbers its classes ({targets[0]}, ...), so the language model is asked for 'class 0', "
            "which it cannot know, and so on: name them with --teacher_labels, in the order of the outputs."
        )
    length = settings.policy.topic_max_tokens
    if settings.policy.writes == "text":
        length = settings.writer.writer_max_new_tokens
    base = settings.policy.policy or run.generator
    if not processes.first:
        processes.wait()  # until the first one has downloaded or trained what is missing
    words = pair_policy(settings.policy, targets) if loaded.teacher.pairs else settings.policy
    policy = TopicPolicy.load(base, targets, words, length, run.device, run.seed, run.quiet)
    writer = open_writer(run.writer, policy, base, run.generator, settings.writer, run.device, quiet=run.quiet)
    if processes.first:
        processes.wait()
    chosen = settings.candidates.candidates > 1 or SCREENED in compare
    if chosen and isinstance(writer, OutsideWriter) and writer.reader is None:
        raise InputError(
            f"writer is '{teacher_name(run.writer)}', which gives no hidden states to choose candidates by, and with "
            "lora_rank 0 no frozen model is here: give a lora_rank above 0, or --candidates 1"
        )
    sources = {BASELINE_SOURCES.get(name) for name in compare if name != "supervised"}  # that one reads labels, too
    labelled = None
    if "supervised" in compare:
        if loaded.teacher.kind.problem_type or loaded.teacher.kind.of_words:
            raise InputError(
                f"compare names supervised, which learns one class for a text, and the teacher is of the kind "
                f"{loaded.teacher.kind.name}: leave it out; real is the same texts with the teacher's answers"
            )
        columns = run.columns(loaded.teacher.kind.name)
        pair_column = run.pair_column(loaded.teacher.pairs)
        labelled = load_labelled(str(run.real_data), "train", *columns, labels, pair_column=pair_column)
    real: list[str] = []
    real_pairs: list[str] | None = None
    if "real_data" in sources:
        text_column, _ = run.columns(loaded.teacher.kind.name)
        real, real_pairs = load_pairs(str(run.real_data), text_column, pair_column=run.eval_text_pair_column)
        real_pairs = second_texts_for(loaded.teacher.pairs, real_pairs, str(run.real_data), run.eval_text_pair_column)
    return Models(
        teacher=loaded.teacher,
        evaluation=loaded.evaluation,
        policy=policy,
        writer=writer,
        corpus=read_sentences(str(run.corpus)) if "corpus" in sources else [],
        real=real,
        real_pairs=real_pairs,
        labelled=labelled,
        second_texts=SecondTexts(writer, targets, words) if loaded.teacher.pairs else None,
    )


def weights_of(settings: Settings) -> dict[str, str]:
    """Return what tells the weights of generator, policy and student from others, by setting, if they are on this machine."""
    names = {"generator": settings.run.generator, "policy": settings.policy.policy, "student": settings.run.student}
    places = {name: Path(located(model, "writer", settings.run.quiet)) for name, model in names.items() if model}
    samples = {name: sample_of_weights(place) for name, place in places.items() if place.exists()}
    return {name: sample for name, sample in samples.items() if sample}


def new_student(settings: Settings, loaded: TeacherAndData) -> Student:
    """Make the untrained student; the same seed gives the same weights."""
    run = settings.run
    student = load_student(
        run.student,
        labels=loaded.teacher.labels,
        teacher=loaded.teacher.white_box,
        tokenizer=run.student_tokenizer,
        words=located(run.student_words, "writer", run.quiet) if run.student_words else None,
        seed=run.seed,
        device=run.device,
        kind=loaded.teacher.kind,
    )
    set_calibration(student.model.config, None)  # it may come from a folder that was calibrated
    return student
