"""`prompter train`: from settings to a run folder with a prompter, a student, a summary and a report.

The steps in order: load teacher, policy and writer; alternate rollouts and student updates until the budget is spent; make the
student's remaining updates; train the same student on other text, for comparison; measure and write everything.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from trl import GRPOTrainer, RLOOTrainer

from distill.checkpoints.checksums import CHECKSUMS, list_files
from distill.common.errors import InputError, WorthlessError
from distill.common.files import read_json, write_json
from distill.distiller import Distiller
from distill.processes.group import Processes
from distill.processes.launch import start
from eval.classifiers import health
from eval.classifiers.disagreement import disagreements
from eval.report.run_report import write_report
from prompter.deploying.export import export_new
from prompter.exporting.run_dataset import write_run_dataset
from prompter.generation.config import NOTHING
from prompter.generation.opening import check_served
from prompter.rl.rollouts import Rollouts
from prompter.rl.scorer import RewardFunction, Scorer, own_terms
from prompter.runtime.clock import Clock
from prompter.runtime.console import LOGGER, Console
from prompter.runtime.opening import open_run
from prompter.runtime.run_folder import RunFolder, default_values
from prompter.runtime.versions import library_versions
from prompter.saved.hub import upload_model
from prompter.saved.manifest import PROMPTER_MANIFEST, save_prompter, training_summary
from prompter.saved.model_card import write_prompter_card
from prompter.saved.terms import set_terms
from prompter.training.baselines import show_updates
from prompter.training.callback import LOGS, RolloutCallback
from prompter.training.settings import NOT_COMPARED, PARTS, Settings
from prompter.training.setup import Models, load_models, new_student, weights_of
from prompter.training.summary import run_health, summarise, write_run_student_card
from prompter.training.trainer_factory import Schedule, policy_trainer
from prompter.training.untrained import untrained_rollouts

SUMMARY = "summary.json"

LISTED = (SUMMARY, "metrics.jsonl", "samples.jsonl", "disagreement.json")
"""Files of a finished run whose checksums are kept, for the report."""

REPORT = "report.html"

HEALTH = "health.json"
"""Why the pilot stopped a run, which has no summary; the report reads it."""


def train(
    settings: Settings,
    reward_funcs: RewardFunction | Sequence[RewardFunction] = (),
    reward_weights: float | Sequence[float] | None = None,
) -> dict[str, Any] | None:
    """Train a prompter and a student.

    Args:
        settings: All settings.
        reward_funcs: Further terms of the reward, see `prompter.rl.scorer.RewardFunction`; one alone needs no list.
        reward_weights: Weight of each further term; all 1 if None.

    Returns:
        The summary, as in `summary.json`, or None if Ctrl-C stopped the run. Of several processes, the first one returns it;
        the others return an empty one when their work is done.

    Raises:
        InputError: Anything that the user can correct. A run that has not begun leaves no file behind.
    """
    run = settings.run
    functions, weights = own_terms(reward_funcs, reward_weights)
    processes = start(run.device)
    with processes.together():
        if processes.size > 1:
            check_processes(settings, functions, weights, processes)
        with open_run(run.output_dir, quiet=run.quiet, writes=processes.first) as (folder, console):
            return _train(settings, functions, weights, processes, folder, console)


def check_processes(
    settings: Settings,
    reward_funcs: Sequence[RewardFunction],
    reward_weights: Sequence[float] | None,
    processes: Processes,
) -> None:
    """Refuse processes that cannot work on the same run.

    Raises:
        InputError: They have other settings or versions, or there are more of them than texts of a student update.
    """
    own = {"reward_funcs": [getattr(function, "__name__", type(function).__name__) for function in reward_funcs]}
    weights = {"reward_weights": None if reward_weights is None else list(reward_weights)}
    processes.check_same(settings.flat() | own | weights | library_versions())
    if settings.distill.student_batch_size < processes.size:
        raise InputError(
            f"student_batch_size is {settings.distill.student_batch_size}, expected at least one text for each of the "
            f"{processes.size} processes: raise it, or start fewer"
        )


def _train(
    settings: Settings,
    reward_funcs: Sequence[RewardFunction],
    reward_weights: Sequence[float] | None,
    processes: Processes,
    folder: RunFolder,
    console: Console,
) -> dict[str, Any] | None:
    """Train in an open folder; see `train`."""
    run = settings.run
    processes.from_first(lambda: folder.check_place(run.resume))
    if processes.from_first(lambda: run.resume and (folder.path / SUMMARY).exists()):
        if not processes.first:
            return {}
        return finish(finished_summary(settings, folder, console), settings, folder, console)
    clock = Clock()
    with clock("teacher and writer"):
        models = load_models(settings, console, processes)
        remembered = processes.from_first(folder.found_batch_size)
        size = min(processes.gather(models.writer.settle_batch_size(remembered)))  # what fits for all of them
        models.writer.config = replace(models.writer.config, writer_batch_size=size)
    student = new_student(settings, models)
    asked = settings.policy.writes == NOTHING
    scorer = Scorer(models.teacher, student, settings.reward, clock, reward_funcs, reward_weights, processes, not asked)
    callback, trainer = prepare(settings, models, scorer, folder, console, clock)
    processes.from_first(lambda: folder.open_config(settings.flat(), run.resume, NOT_COMPARED, default_values(*PARTS)))
    if processes.first and size and not settings.writer.writer_batch_size:
        folder.keep_batch_size(size)
    check_served(models.writer, folder.path / "writer.json")
    finished = play(callback, trainer)
    if found := [] if finished else callback.pilot_findings():
        stop_after_pilot(folder, callback, found)
    if not finished:
        return None
    with clock("final student updates"):
        if settings.distill.student_restart:
            callback.distiller.restart(new_student(settings, models))
        callback.distiller.finish(show_updates(console, settings.distill.student_updates))
    processes.leave()
    if not processes.first:
        return {}
    summary = write_run_results(settings, models, folder, callback, console)
    return finish(summary, settings, folder, console)


def finish(summary: dict[str, Any], settings: Settings, folder: RunFolder, console: Console) -> dict[str, Any]:
    """Convert and upload what a finished run has made, where that is asked for, and add what came of it to the summary."""
    run, path, named = settings.run, folder.path, settings.flat()
    if run.export:
        summary = summary | {"programs": export_new(path / "student", run.export, [], console)}
    set_terms(path / "student", run, named["teacher"], console.say)
    set_terms(path / "prompter", run, named["policy"] or named["generator"], console.say)
    if run.push_to_hub:
        places = {"student": run.push_to_hub, "prompter": f"{run.push_to_hub}-prompter"}
        for name, place in places.items():
            console.say(f"{name}: {upload_model(path / name, place, run.public, 'train')}")
    return summary


def finished_summary(settings: Settings, folder: RunFolder, console: Console) -> dict[str, Any]:
    """Return the summary of a finished run.

    Raises:
        InputError: The run was made with other settings.
    """
    folder.open_config(settings.flat(), True, NOT_COMPARED, default_values(*PARTS))
    console.say(f"{folder.path} is finished; nothing to do.")
    if not (folder.path / CHECKSUMS).exists():  # it and the report are the last files of a run
        list_results(folder.path)
    if not (folder.path / REPORT).exists():
        write_report(folder.path)
    return dict(read_json(folder.path / SUMMARY))


def prepare(
    settings: Settings, models: Models, scorer: Scorer, folder: RunFolder, console: Console, clock: Clock
) -> tuple[RolloutCallback, GRPOTrainer | RLOOTrainer | None]:
    """Build everything that the rollouts need. Nothing is written yet. There is no trainer if the policy is left untrained.

    Raises:
        InputError: Settings do not fit each other or the models.
    """
    run, policy = settings.run, models.policy
    if settings.candidates.candidates > 1 and settings.policy.writes == "text":
        raise InputError(
            f"candidates is {settings.candidates.candidates}, expected 1 with writes: text, "
            "because no writer continues the topics: give --candidates 1, or --writes topic"
        )
    if settings.candidates.candidate_tokens and settings.policy.writes == "subject":
        raise InputError(
            f"candidate_tokens is {settings.candidates.candidate_tokens}, expected 0 with writes: subject, because the writer "
            "cannot go on with a text whose request is about a subject: leave it out, or give --writes topic"
        )
    if settings.policy.writes in ("subject", NOTHING) and not settings.writer.in_context:
        needs = "names the subject" if settings.policy.writes == "subject" else "is all that the writer reads"
        raise InputError(f"in_context is false, expected true with writes: {settings.policy.writes}: the class prompt {needs}")
    processes = scorer.processes
    schedule = Schedule.of(settings.policy, len(policy.labels), run.budget, processes.size)
    teacher = models.teacher.white_box
    distiller = Distiller(scorer.student, settings.distill, run.budget, run.seed, teacher, processes=processes)
    rollouts = Rollouts(
        policy,
        models.writer,
        scorer,
        settings.candidates,
        schedule.steps,
        run.seed,
        clock,
        processes,
        models.second_texts,
    )
    weights = processes.from_first(lambda: weights_of(settings))
    callback = RolloutCallback(settings, schedule, folder, rollouts, distiller, models.evaluation, console, weights)
    if not settings.policy.learns:
        return callback, None
    return callback, policy_trainer(settings, policy, schedule, rollouts, folder.checkpoints, [callback], processes.size)


def play(callback: RolloutCallback, trainer: GRPOTrainer | RLOOTrainer | None) -> bool:
    """Make rollouts until the budget is spent. A resumed run begins at its last checkpoint.

    Returns:
        False if Ctrl-C or the pilot stopped the run.
    """
    run, schedule, policy = callback.settings.run, callback.schedule, callback.rollouts.policy
    processes, checkpoint = callback.rollouts.processes, None
    if run.resume:
        checkpoint, broken = processes.from_first(callback.folder.last_checkpoint)
        for line in broken:
            callback.console.say(f"{line}; falling back to the one before." if checkpoint else f"{line}.")
        if checkpoint:
            callback.restore(checkpoint)
        elif processes.first:
            begin_again(callback)
    if callback.pilot_findings():
        return False
    with callback.stop.listening(), callback.clock("rounds"):
        if trainer is None:
            untrained_rollouts(callback)
        elif callback.update < schedule.rollouts:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        elif checkpoint:
            trainer._load_from_checkpoint(str(checkpoint))
    stopped = processes.any(callback.stop.made)  # perhaps in the last rollout, or while its checkpoint was written
    if stopped or callback.update < schedule.rollouts:
        return False
    if schedule.rest:  # too few queries for a rollout of the trainer, so the policy writes but does not learn
        targets = torch.arange(schedule.rest) % len(policy.labels)
        with callback.clock("rounds"):
            completions = callback.rollouts.topics(targets, schedule.rollouts)
            callback.update += 1
            callback.book(callback.rollouts.score(completions, targets, schedule.rollouts))
        callback.write_row({})
    return True


def begin_again(callback: RolloutCallback) -> None:
    """Say what a run loses that has no complete checkpoint to go on from, and empty its logs."""
    folder = callback.folder
    if rows := folder.read("metrics", whole=False):
        LOGGER.warning(
            "%s: no complete checkpoint is there, so the run begins again: its %s rollouts (%s queries) are lost, but answers "
            "in the cache cost nothing.",
            *(folder.path, len(rows), f"{rows[-1].get('queries', 0):,}"),
        )
    folder.cut_logs(dict.fromkeys(LOGS, 0))


def stop_after_pilot(folder: RunFolder, callback: RolloutCallback, found: list[dict[str, str]]) -> None:
    """End a run whose pilot says that it would be worthless. It is saved, and its report says why.

    Raises:
        WorthlessError: Always.
    """
    if callback.rollouts.processes.first:
        write_json(folder.path / HEALTH, health.health(callback.looks, callback.rollouts.policy.labels, {}))
        write_report(folder.path)
    callback.rollouts.processes.wait()  # a launcher ends the others when one has ended
    raise WorthlessError(f"{folder.path}: {health.pilot_line(found, callback.queries)}")


def write_run_results(
    settings: Settings, models: Models, folder: RunFolder, callback: RolloutCallback, console: Console
) -> dict[str, Any]:
    """Write prompter, student, dataset, summary and report; `summary.json` marks the run as finished."""
    path, named = folder.path, settings.flat()
    student, replay = callback.distiller.student, callback.distiller.replay
    training = training_summary(folder.read("metrics"))
    kind, weights = models.teacher.kind, callback.weights
    save_prompter(path / "prompter", settings, models.policy, models.writer, named, training, kind, weights)
    student.save(path / "student")
    summary = summarise(settings, models, folder, callback, console)
    apart = disagreements(student, models.evaluation, replay, settings.run.seed)
    summary["health"] = run_health(settings, models, callback, apart, console)
    manifest = read_json(path / "prompter" / PROMPTER_MANIFEST)
    write_run_dataset(path / "dataset", replay, manifest, summary["health"]["findings"])
    write_json(path / "disagreement.json", apart)
    write_prompter_card(path / "prompter", folder.read("metrics"), folder.read("samples"), summary)
    write_run_student_card(path / "student", summary, folder.read("samples"))
    for name in (HEALTH, REPORT):  # of a pilot that had stopped the run
        (path / name).unlink(missing_ok=True)
    write_json(path / SUMMARY, summary)
    list_results(path)
    write_report(path)
    return summary


def list_results(path: Path) -> None:
    """Write the checksums of the files that the report of a finished run is made of."""
    list_files(path, [name for name in LISTED if (path / name).is_file()])
