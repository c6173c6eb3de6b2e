"""`prompter train`: from settings to a run folder with a prompter, a student, a summary and a report.

The order is the data's way: load teacher, policy, writer and student; rounds until the budget is spent; the student's
remaining updates; the same student from other text, for comparison; the figures.
"""

import os
from typing import Any

import torch
from trl import GRPOTrainer, RLOOTrainer

from distill.common.errors import InputError
from distill.common.files import read_json, write_json
from distill.distiller import Distiller
from eval.classifiers.disagreement import disagreements
from eval.report.run_report import write_report
from prompter.exporting.run_dataset import write_run_dataset
from prompter.rl.rollouts import Rollouts
from prompter.rl.scorer import Scorer
from prompter.runtime.clock import Clock
from prompter.runtime.console import Console
from prompter.runtime.opening import open_run
from prompter.runtime.run_folder import RunFolder
from prompter.runtime.versions import library_versions
from prompter.saved.manifest import PROMPTER_MANIFEST, save_prompter, training_summary
from prompter.saved.model_card import write_prompter_card
from prompter.training.baselines import distil_baseline, finish, measure
from prompter.training.callback import LOGS, RolloutCallback
from prompter.training.settings import NOT_COMPARED, Settings
from prompter.training.setup import Models, load, new_student, new_writer, with_toy_files
from prompter.training.trainer_factory import Schedule, policy_trainer


def train(settings: Settings) -> dict[str, Any] | None:
    """Run the whole job.

    Args:
        settings: All settings.

    Returns:
        The summary as written to `summary.json`, or None where Ctrl-C stopped the run.

    Raises:
        InputError: Anything a user can put right; nothing half-written is left behind.
    """
    one_process()
    run = settings.run
    with open_run(run.output_dir, quiet=run.quiet) as (folder, show):
        named = settings.flat()  # as the user named things; toy names become paths below
        if run.resume and (folder.path / "summary.json").exists():
            folder.open_config(named, run.resume, NOT_COMPARED)
            show.say(f"{folder.path} is finished; nothing to do.")
            if not (folder.path / "report.html").exists():  # the very last that a run writes
                write_report(folder.path)
            return read_json(folder.path / "summary.json")
        clock = Clock()
        settings = with_toy_files(settings, show, clock)
        models = load(settings, show)
        callback, trainer = prepare(settings, models, folder, show, clock)
        folder.open_config(named, run.resume, NOT_COMPARED)
        if not play(callback, trainer):
            return None
        with clock("final student updates"):
            if settings.distill.student_restart:
                callback.distiller.restart(new_student(settings, models))
            finish(callback.distiller, show)
        training = training_summary(folder.read("metrics"))
        assert callback.rollouts.writer is not None
        save_prompter(folder.path / "prompter", settings, models.policy, callback.rollouts.writer, named, training)
        callback.distiller.student.save(folder.path / "student")
        summary = conclude(settings, models, folder, callback, show, named)
        distiller = callback.distiller
        write_run_dataset(folder.path / "dataset", distiller.replay, read_json(folder.path / "prompter" / PROMPTER_MANIFEST))
        apart = disagreements(distiller.student, models.evaluation, distiller.replay, run.seed)
        write_json(folder.path / "disagreement.json", apart)
        write_prompter_card(folder.path / "prompter", folder.read("metrics"), folder.read("samples"), summary)
        write_json(folder.path / "summary.json", summary)
        write_report(folder.path)
        return summary


def prepare(
    settings: Settings, models: Models, folder: RunFolder, show: Console, clock: Clock
) -> tuple[RolloutCallback, GRPOTrainer | RLOOTrainer]:
    """Build everything the rounds need; nothing is written yet.

    Raises:
        InputError: There are to be candidates, but no writer to write them, or one that writes less than the screen looks at.
    """
    run, policy = settings.run, models.policy
    if settings.candidates.candidates > 1 and settings.policy.writes == "text":
        raise InputError(
            f"candidates is {settings.candidates.candidates}, expected 1 where the policy writes the texts (writes: text): "
            "there is no writer to continue a topic more than once"
        )
    schedule = Schedule.of(settings.policy, len(policy.labels), run.budget)
    student = new_student(settings, models)
    distiller = Distiller(student, settings.distill, run.budget, run.seed, teacher=models.teacher.white_box)
    scorer = Scorer(models.teacher, student, settings.reward, clock)
    rollouts = Rollouts(policy, scorer, settings.candidates, schedule.steps, run.seed, clock)
    callback = RolloutCallback(settings, schedule, folder, rollouts, distiller, models.evaluation, show)
    trainer = policy_trainer(settings, policy, schedule, rollouts, folder.checkpoints, [callback])
    rollouts.write_with(new_writer(settings, policy))
    return callback, trainer


def play(callback: RolloutCallback, trainer: GRPOTrainer | RLOOTrainer) -> bool:
    """Rounds until the budget is spent, from the last checkpoint on where the run is a resumed one.

    Returns:
        False where Ctrl-C stopped the rounds.
    """
    run, schedule, policy = callback.settings.run, callback.schedule, callback.rollouts.policy
    checkpoint = None
    if run.resume:
        checkpoint, broken = callback.folder.last_checkpoint()
        for line in broken:
            callback.show.say(f"{line}; falling back to the one before.")
        if checkpoint:
            callback.restore(checkpoint)
        else:
            callback.folder.cut_logs(dict.fromkeys(LOGS, 0))
    with callback.stop.listening(), callback.clock("rounds"):
        if callback.update < schedule.rollouts:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        elif checkpoint:
            trainer._load_from_checkpoint(str(checkpoint))
    if callback.stop.made and callback.update < schedule.rollouts:
        return False
    if schedule.rest:  # too few queries for a rollout to learn from: the policy only samples
        targets = torch.arange(schedule.rest) % len(policy.labels)
        completions = policy.topics(targets, run.seed, schedule.rollouts)
        callback.update += 1
        callback.book(callback.rollouts.score(completions, targets, schedule.rollouts))
        callback.write_row({})
    return True


def conclude(
    settings: Settings, models: Models, folder: RunFolder, callback: RolloutCallback, show: Console, named: dict[str, Any]
) -> dict[str, Any]:
    """Controls, scores, sizes and speeds: the summary."""
    run, clock = settings.run, callback.clock
    student = callback.distiller.student
    seconds = clock.seconds["rounds"] + clock.seconds["final student updates"]
    cost = {"texts": callback.queries, "queries": callback.queries, "updates": callback.distiller.updates_done}
    students: dict[str, dict[str, Any]] = {"prompted": cost | {"seconds": round(seconds, 1)}}
    trained = {"prompted": student}
    for name in run.compare:
        with clock("controls"):
            trained[name], students[name] = distil_baseline(name, settings, models, folder, show)
    teacher: dict[str, Any] = {"name": named["teacher"]}
    if models.evaluation:
        measured = measure(models, trained)
        teacher |= measured.pop("teacher")
        for name, figures in measured.items():
            students[name] |= figures
    else:
        students["prompted"]["parameters"] = student.num_parameters()
    return {
        "task": named["eval_data"] or named["teacher"],
        "labels": models.teacher.labels,
        "teacher": teacher,
        "students": students,
        "teacher_queries": callback.queries,
        "teacher_calls": models.teacher.asked,
        "unusable_answers": callback.unusable,
        "seconds": round(sum(clock.seconds.get(name, 0.0) for name in WHOLE), 1),
        "time": seconds_by_part(clock.seconds),
        "seed": run.seed,
        "versions": library_versions(),
        "config": named,
    }


WHOLE = ("teacher and writer", "rounds", "final student updates", "controls")
WITHIN_ROUNDS = ("writer", "screen", "teacher", "student answers", "student", "evaluation")


def seconds_by_part(seconds: dict[str, float]) -> dict[str, float]:
    """Where the time went, in parts that do not overlap; what is left of the rounds is the policy's side."""
    parts = {name: value for name, value in seconds.items() if name != "rounds"}
    parts["policy"] = seconds["rounds"] - sum(seconds.get(name, 0.0) for name in WITHIN_ROUNDS)
    return {name: round(value, 1) for name, value in parts.items()}


def one_process() -> None:
    """Refuse to run as one of several processes.

    Raises:
        InputError: A launcher started more than one.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("prompter train runs in one process: start it without a launcher, on one device")
