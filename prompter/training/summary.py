"""The summary of a run: the baselines, scores and costs of all students, and the time that each part took."""

from typing import Any

from prompter.rl.config import TERMS
from prompter.runtime.console import Console
from prompter.runtime.run_folder import RunFolder
from prompter.runtime.versions import library_versions
from prompter.training.baselines import distil_baseline, measure_students
from prompter.training.callback import RolloutCallback
from prompter.training.cut_texts import cut_shares
from prompter.training.settings import Settings
from prompter.training.setup import Models

PARTS_OF_RUN = ("teacher and writer", "rounds", "final student updates", "controls")
"""Names under which the clock books all time of a run. They do not overlap."""

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
    own_rewards = {name: weight for name, weight in callback.rollouts.scorer.weights.items() if name not in TERMS}
    return {
        "task": named["eval_data"] or named["teacher"],
        "labels": models.teacher.labels,
        "teacher": teacher,
        "students": students,
        "teacher_queries": callback.queries,
        "teacher_calls": models.teacher.asked,
        "unusable_answers": callback.unusable,
        **cut_shares(models.teacher, {"prompted": student}, callback.distiller.replay.texts, console),
        "seconds": round(sum(clock.seconds.get(name, 0.0) for name in PARTS_OF_RUN), 1),
        "time": seconds_by_part(clock.seconds),
        "seed": run.seed,
        "versions": library_versions(),
        **({"reward_funcs": own_rewards} if own_rewards else {}),
        "config": named,
    }


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
