"""The summary of a run: the baselines, scores and costs of all students, and the time that each part took."""

from pathlib import Path
from typing import Any

from distill.batch import SyntheticBatch
from distill.distiller import Distiller
from distill.held_out import HeldOut
from distill.kinds.found import kind_in, written
from eval.classifiers import agreement, health
from eval.classifiers.scoring import main_metric
from prompter.generation.config import NOTHING
from prompter.runtime.console import Console
from prompter.runtime.markdown import shown
from prompter.runtime.run_folder import RunFolder
from prompter.runtime.samples import PER_BATCH
from prompter.runtime.versions import library_versions
from prompter.saved.student_card import write_student_card
from prompter.training.baselines import distil_baseline, measure_students, show_updates
from prompter.training.callback import RolloutCallback
from prompter.training.cut_texts import cut_shares_of
from prompter.training.settings import Settings
from prompter.training.setup import Models, new_student

PARTS_OF_RUN = ("teacher and writer", "rounds", "final student updates", "controls")
"""Names under which the clock books all time of a run. They do not overlap."""

PROBE_SHARE = 0.25
"""Share of the texts that `probe` holds out: `eval.classifiers.agreement.MIN_TEXTS` of 400 texts."""

WITHIN_ROUNDS = ("writer", "screen", "teacher", "student answers", "own rewards", "student", "evaluation")
"""Names for parts of "rounds"."""


def summarise(
    settings: Settings, models: Models, folder: RunFolder, callback: RolloutCallback, console: Console
) -> dict[str, Any]:
    """Distil the baselines, measure all students, and return the summary.

    Args:
        settings: All settings of the run.
        models: What the run has loaded.
        folder: The run's folder.
        callback: Holds the student and the counters of the run.
        console: Shows bars.
    """
    run, clock, named = settings.run, callback.clock, settings.flat()
    student = callback.distiller.student
    seconds = clock.seconds["rounds"] + clock.seconds["final student updates"]
    cost = {"texts": callback.queries, "queries": callback.queries, "updates": callback.distiller.updates_done}
    students: dict[str, dict[str, Any]] = {"prompted": cost | {"seconds": round(seconds, 1)}}
    trained = {"prompted": student}
    for name in run.compare:
        with clock("controls"):
            trained[name], students[name] = distil_baseline(name, settings, models, folder, console)
    teacher: dict[str, Any] = {"name": named["teacher"]}
    if models.evaluation:
        metrics = measure_students(models, trained)
        teacher |= metrics.pop("teacher")
        for name, values in metrics.items():
            students[name] |= values
    else:
        students["prompted"]["parameters"] = student.num_parameters()
    own_rewards = callback.rollouts.scorer.own_weights
    return {
        "task": named["eval_data"] or named["teacher"],
        "labels": models.teacher.labels,
        **written(models.teacher.kind),
        "class_prompts": dict(zip(models.policy.labels, models.policy.prompts.texts, strict=True)),
        "teacher": teacher,
        **({"metric": main_metric(models.evaluation)} if models.evaluation else {}),
        "students": students,
        "teacher_queries": callback.queries,
        **run.cost(models.teacher.asked),
        "unusable_answers": callback.unusable,
        **cut_shares_of(callback.distiller.replay, models.teacher, {"prompted": student}, console),
        "seconds": round(sum(clock.seconds.get(name, 0.0) for name in PARTS_OF_RUN), 1),
        "time": seconds_by_part(clock.seconds),
        "seed": run.seed,
        "versions": library_versions(),
        **({"reward_funcs": own_rewards} if own_rewards else {}),
        "config": named,
    }


def write_run_student_card(folder: Path, summary: dict[str, Any], samples: list[dict[str, Any]]) -> None:
    """Write the card of a run's student.

    Args:
        folder: Folder of the student, in that of the run.
        summary: Content of `summary.json`.
        samples: Rows of `samples.jsonl`; the newest are shown.

    Raises:
        InputError: The file cannot be written.
    """
    config, metrics = summary["config"], summary["students"]["prompted"]
    rows = [{"probability": row["confidence"]} | row for row in samples[-PER_BATCH:] if "confidence" in row]
    led = "led by an untrained prompter" if config["algorithm"] == "none" else "led by a trained prompter"
    about: dict[str, Any] = {
        "labels": summary["labels"],
        **written(kind_in(summary)),
        "teacher": summary["teacher"]["name"],
        "sources": [f"texts of {shown(config['generator'])}, {'without a prompter' if config['writes'] == NOTHING else led}"],
        "texts": metrics["texts"],
        "teacher_queries": summary["teacher_queries"],
        "held_out_texts": 0,
        "students": {"prompted": metrics | {"spec": config["student"]}},
        "health": summary["health"],
        "config": config,
        **{key: summary[key] for key in ("money_spent", "teacher_price", "teacher_calls") if key in summary},
    }
    run = Path(config["output_dir"])
    write_student_card(folder, "prompted", about, rows, f"{run.resolve().name} student", f"{config['output_dir']}/student")


def run_health(
    settings: Settings, models: Models, callback: RolloutCallback, apart: dict[str, Any], console: Console
) -> dict[str, Any]:
    """Return the entry `health` of the summary.

    The student's agreement is measured on the evaluation texts, if there are enough. Otherwise it is measured on the newest
    texts, before the student learnt from them. That student has made few updates, so if it agrees little, `probe` decides.

    Args:
        settings: All settings of the run.
        models: What the run has loaded.
        callback: Holds the looks and the texts of the run.
        apart: Content of `disagreement.json`.
        console: Shows bars.
    """
    labels = models.policy.labels
    found = apart.get("agreement") or health.agreement_found(callback.looks)
    if not found or (not found["on"].endswith(agreement.REAL) and found["kappa"] < health.LEARNING_KAPPA):
        found = probe(settings, models, callback, console)
    return health.health(callback.looks, labels, {"prompted": found})


def probe(settings: Settings, models: Models, callback: RolloutCallback, console: Console) -> dict[str, Any]:
    """Train the same student once more, without a quarter of the run's texts, and return its agreement on these texts.

    It costs no teacher query and changes nothing else.
    """
    replay, run = callback.distiller.replay, settings.run
    held = HeldOut(PROBE_SHARE)
    rows = len(replay)
    answers, targets, kind = replay.logprobs[:rows], replay.targets[:rows], replay.kind
    whole = SyntheticBatch(replay.texts, answers, targets, replay.topics, "prompted", replay.pairs, kind=kind)
    rest = held.take(whole)
    if len(held) < agreement.MIN_TEXTS:
        return {}
    console.say("Health: the same student once more, without a quarter of the texts, to measure its agreement on them")
    distiller = Distiller(new_student(settings, models), settings.distill, run.budget, run.seed, models.teacher.white_box)
    distiller.add(rest)
    distiller.finish(show_updates(console, settings.distill.student_updates))
    return agreement.agreement_on_held_out(held.logprobs, held.measure(distiller.student), kind)


def seconds_by_part(seconds: dict[str, float]) -> dict[str, float]:
    """Divide the time of a run into parts that do not overlap.

    Args:
        seconds: Time by name; the names in `WITHIN_ROUNDS` are parts of "rounds".

    Returns:
        Time by name, to a tenth of a second. "policy" is the rest of "rounds": sampling topics and training the policy.

    Examples:
        >>> seconds_by_part({"rounds": 10.0, "writer": 6.0, "student": 1.5, "controls": 3.0})
        {'writer': 6.0, 'student': 1.5, 'controls': 3.0, 'policy': 2.5}
    """
    parts = {name: value for name, value in seconds.items() if name != "rounds"}
    parts["policy"] = seconds["rounds"] - sum(seconds.get(name, 0.0) for name in WITHIN_ROUNDS)
    return {name: round(value, 1) for name, value in parts.items()}
