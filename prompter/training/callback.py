"""What happens between two rollouts: the student learns from the rollout, and logs, samples and checkpoints are written.

The policy learns from a rollout, then the student trains on the replay, which holds this rollout, too. Each reward is computed
with the student of that moment, so training the student changes the rewards of the next rollout. TRL's trainer drives
the policy, and this callback does everything else. The alternation in this form is ours; PromptDFD (arXiv 2205.07523)
alternates the two as well, but its schedule is not known to us.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from distill.common.errors import InputError
from distill.common.files import read_json, write_json
from distill.distiller import Distiller
from distill.teachers.functions.importing import changed_sources
from eval.classifiers import health
from eval.classifiers.scoring import main_metric, score
from eval.data.labelled import EvaluationData
from prompter.rl.config import TERMS
from prompter.rl.rollouts import Rollouts
from prompter.rl.scorer import ScoredRollout
from prompter.runtime.console import Console
from prompter.runtime.interrupt import StopRequest
from prompter.runtime.run_folder import CHECKPOINT_MANIFEST, RunFolder
from prompter.runtime.samples import sample_rows
from prompter.training.settings import Settings
from prompter.training.trainer_factory import Schedule, kept_checkpoints

LOGS = ["metrics", "samples"]

COUNTERS, DISTILLER = "rounds.json", "distiller"
"""File and folder of a checkpoint: the counters of the run, and the state of the student's training."""

TERM = "reward/"
"""Prefix of the columns that hold the terms of the reward."""

RATE = "learning_rate"

TRAINER_METRICS = {
    "kl": "kl",
    "entropy": "entropy",
    "critic/loss": "critic_loss",
    "critic/explained_variance": "explained_variance",
    "clip_ratio/region_mean": "clip_share",
    RATE: RATE,
}
"""Metrics of TRL's log that our log takes over, with their names there; the others are timings or follow from these."""


def by_class(scored: ScoredRollout, labels: Sequence[str]) -> dict[str, float]:
    """Return the mean of the term `confidence` over the texts that each class was asked for, as columns of the log.

    A class whose texts are edited earns its reward by other means than the others, so a mean over all says little.
    """
    usable, targets = torch.isfinite(scored.reward), scored.batch.targets
    means = {label: scored.terms["confidence"][usable & (targets == index)].mean() for index, label in enumerate(labels)}
    return {f"confidence/{label}": round(float(mean), 6) for label, mean in means.items() if torch.isfinite(mean)}


def _is_term(name: str, value: Any) -> bool:
    """Return whether a column holds the mean of a term of the reward; it is None where no text had a usable answer."""
    return name.startswith(TERM) and value is not None


class RolloutCallback(TrainerCallback):
    """Trains the student after each rollout, writes logs and completes checkpoints.

    Args:
        settings: All settings of the run.
        schedule: How the budget is divided into rollouts.
        folder: The run's folder.
        rollouts: Holds the latest scored rollout.
        distiller: The student and its training.
        evaluation: Labelled data for reports, or None.
        console: Shows bars and samples.
        weights: What tells the weights of the run's models from others, by setting.

    Attributes:
        update: Number of rollouts done.
        queries: Number of teacher queries spent.
        unusable: Number of unusable predictions among them.
        looks: What the health of the run is judged by, one entry for each rollout; see `eval.classifiers.health`.
        stop: Knows whether Ctrl-C was pressed.
    """

    def __init__(
        self,
        settings: Settings,
        schedule: Schedule,
        folder: RunFolder,
        rollouts: Rollouts,
        distiller: Distiller,
        evaluation: EvaluationData | None,
        console: Console,
        weights: Mapping[str, str],
    ) -> None:
        self.weights = weights
        self.settings, self.schedule, self.folder, self.console = settings, schedule, folder, console
        self.rollouts, self.distiller, self.evaluation = rollouts, distiller, evaluation
        self.clock = rollouts.clock
        self.update = 0
        self.queries = 0
        self.unusable = 0
        self.looks: list[dict[str, Any]] = []
        self._said: set[str] = set()
        self._keep = kept_checkpoints(settings.policy)
        self.stop = StopRequest(console.say)
        self._row: dict[str, Any] = {}
        self._samples: list[dict] = []
        self._bar = console.bar("queries", settings.run.budget)

    # One rollout

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Count the rollout and train the student, after the last optimizer step of the rollout."""
        if state.global_step % self.schedule.steps:
            return
        self.update = state.global_step // self.schedule.steps
        scored = self.rollouts.latest
        assert scored is not None
        self.book(scored)
        ends = self.ends()
        last = self.update == self.schedule.rollouts
        control.should_save = last or self.update % self.settings.run.save_every == 0 or ends
        if ends:
            control.should_training_stop = True

    def ends(self) -> bool:
        """Return whether the run should end after this rollout, before its budget is spent: Ctrl-C, or the pilot."""
        stopped = self.rollouts.processes.any(self.stop.made)  # a signal may not reach all of them at the same rollout
        return stopped or bool(self.pilot_findings())

    def book(self, scored: ScoredRollout) -> None:
        """Count a rollout, train the student on it, and note its metrics and samples."""
        run = self.settings.run
        batch = scored.batch
        self.queries += len(batch)
        self.unusable += int((~batch.usable).sum())
        self.looks.append(health.look(batch, [self.distiller.replay], scored.student_answers))
        with self.clock("student"):
            learnt = self.distiller.consume(batch)
        self._row = {"update": self.update, "queries": self.queries, **scored.metrics()}
        if self.settings.writer.edit_labels:
            self._row |= by_class(scored, self.rollouts.policy.labels)
        self._row["student_loss"] = round(learnt["student_loss"], 6) if learnt else None
        self._row |= {"kappa": round(health.pooled(self.looks[-1:]).get("kappa", 0.0), 6), "health": self.looks[-1]}
        first = self.rollouts.processes.first
        if first and self.evaluation and run.eval_every and self.update % run.eval_every == 0:
            with self.clock("evaluation"):
                scores = score(self.distiller.student, self.evaluation)
            self._row |= {name: scores[name] for name in (next(iter(scores)), main_metric(self.evaluation))}
        rows = sample_rows(batch, self.rollouts.policy.labels, scored.terms | {"reward": scored.reward})
        self._samples = [{"update": self.update, "queries": self.queries, **row} for row in rows]

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write the rollout's row with TRL's metrics. TRL logs once per rollout: after the step, before a checkpoint."""
        if logs and self._row:
            present = {name: float(logs[key]) for key, name in TRAINER_METRICS.items() if logs.get(key) is not None}
            # Learning rates of 1e-6 are usual where all weights are tuned.
            figures = {name: float(f"{value:.6g}") if name == RATE else round(value, 6) for name, value in present.items()}
            self.write_row(figures)

    def write_row(self, trainer_metrics: dict[str, float]) -> None:
        """Append the rollout's row and samples to the logs, and show them."""
        row, self._row = self._row | trainer_metrics, {}
        if not self.rollouts.processes.first:
            return
        self.folder.append("metrics", [row])
        self.folder.append("samples", self._samples)
        loss = f" student loss {row['student_loss']:.3f}" if row["student_loss"] is not None else ""
        terms = " ".join(f"{name.removeprefix(TERM)} {value:.2f}" for name, value in row.items() if _is_term(name, value))
        rewards = f"reward {row['reward']:.3f} ({terms})" if row["reward"] is not None else "no usable answer"
        agree = f" agree {row['agreement']:.2f}" if row["agreement"] is not None else ""
        status = f"{rewards}{loss}{agree}"
        self.console.step(self._bar, self.queries, status)
        if self.update % self.settings.run.sample_every == 0 or self.update == 1:
            self.console.samples(self._samples, f"after {self.queries} queries")
        self._say_findings()

    # Health

    def pilot_findings(self) -> list[dict[str, str]]:
        """Return why the run should not go on: findings of its pilot.

        There are none while the pilot is not over, after the last whole rollout, or with `no_pilot`.
        """
        if not self.settings.run.pilot or self.update >= self.schedule.rollouts:
            return []
        if len(self.looks) < self.update:  # begun by an older version
            return []
        return health.stops(health.pilot(self.looks), self.rollouts.policy.labels)

    def _say_findings(self) -> None:
        """Show each finding once, in the round in which it appears."""
        if health.pilot(self.looks) is None:
            return
        if self.settings.run.pilot and (passed := health.pilot_passed(self.looks, self.rollouts.policy.labels)):
            self.console.say(passed)
        for finding in health.findings(self.looks, self.rollouts.policy.labels):
            if finding["code"] not in self._said:
                self._said.add(finding["code"])
                self.console.say(f"After {self.queries:,} queries: {health.line(finding)}")

    # Checkpoints

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Complete a checkpoint of TRL, which has saved policy, critic and their optimizers."""
        self.complete(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def complete(self, checkpoint: Path) -> None:
        """Add everything that TRL does not save to the folder of a checkpoint, and seal it."""
        self.rollouts.processes.wait()  # each has written the state of its random numbers
        self.rollouts.processes.from_first(lambda: self._complete(checkpoint))

    def _complete(self, checkpoint: Path) -> None:
        (checkpoint / "README.md").unlink(missing_ok=True)  # PEFT's empty card
        self.distiller.save(checkpoint / DISTILLER)
        self.rollouts.save(checkpoint)
        counters = {
            "update": self.update,
            "queries": self.queries,
            "unusable": self.unusable,
            **self.rollouts.scorer.teacher.state(),
            "log_sizes": self.folder.log_sizes(LOGS),
            "seconds": self.clock.so_far(),
            "processes": self.rollouts.processes.size,
            "weights": self.weights,
            "reward_weights": self.rollouts.scorer.own_weights,
            "reward_sources": self.rollouts.scorer.sources,
        }
        write_json(checkpoint / COUNTERS, counters)
        self.folder.seal(checkpoint)
        self._drop_old(checkpoint)

    def _drop_old(self, newest: Path) -> None:
        """Delete all checkpoints but the newest whole ones, now that one more is whole.

        What is numbered higher was broken when the run went on, and so was what has no manifest.
        """
        found = [place for place in newest.parent.glob("checkpoint-*") if place.name.removeprefix("checkpoint-").isdigit()]
        present = sorted(found, key=lambda place: int(place.name.removeprefix("checkpoint-")))
        whole = [place for place in present[: present.index(newest) + 1] if (place / CHECKPOINT_MANIFEST).is_file()]
        for old in present if self._keep else ():
            if old not in whole[-self._keep :]:
                shutil.rmtree(old, ignore_errors=True)

    def restore(self, checkpoint: Path) -> None:
        """Continue from a checkpoint: restore everything that TRL does not restore itself.

        Raises:
            InputError: The run was made with other reward functions or models, or by another number of processes.
        """
        processes = self.rollouts.processes
        counters = read_json(checkpoint / COUNTERS)
        if (before := counters.get("processes", 1)) != processes.size:
            raise InputError(
                f"output_dir: '{self.folder.path}' holds a run of {before} process{'es' * (before != 1)}, but this one has "
                f"{processes.size}, whose result would differ: start as many, or choose another folder"
            )
        for name, sample in counters.get("weights", {}).items():
            if self.weights.get(name, sample) != sample:
                raise InputError(
                    f"{name}: the model has other weights than when '{self.folder.path}' was begun, so its results would be "
                    "mixed: put the former ones back, or choose another folder"
                )
        self.update, self.queries, self.unusable = counters["update"], counters["queries"], counters["unusable"]
        self.rollouts.scorer.teacher.restore(counters)
        loading = self.clock.seconds
        self.clock.seconds = {part: value + loading.pop(part, 0.0) for part, value in counters["seconds"].items()} | loading
        if processes.first:
            self.folder.cut_logs(counters["log_sizes"])
        processes.wait()  # the others read what is left
        self._check_terms(counters.get("reward_weights"))
        self._name_changed(counters.get("reward_sources", {}))
        self.looks = [row["health"] for row in self.folder.read("metrics") if "health" in row]
        self.rollouts.restore(checkpoint)
        self.distiller.load(checkpoint / DISTILLER)
        self.console.step(self._bar, self.queries)

    def _name_changed(self, before: Mapping[str, Any]) -> None:
        """Name the files of rewards of the user that were changed since the run was begun."""
        for name, found in self.rollouts.scorer.sources.items():
            for file in changed_sources(before.get(name), found):
                self.console.say(
                    f"reward_funcs: {file}, which '{name}' is written in, was changed since the run was begun: if it returns "
                    "other numbers now, two rewards are mixed; then begin anew in another folder."
                )

    def _check_terms(self, weights: Mapping[str, float] | None) -> None:
        """Compare the terms of the reward with those in the log; config.yaml does not know a user's functions.

        Args:
            weights: Those of the functions in the checkpoint; None in one of an older version.
        """
        for row in self.folder.read("metrics")[-1:]:
            stored = {name.removeprefix(TERM) for name in row if name.startswith(TERM)}
            if differing := sorted((stored ^ self.rollouts.scorer.weights.keys()) - set(TERMS)):
                raise InputError(
                    f"reward_funcs: the run was made with other terms of the reward (differing: {', '.join(differing)}): "
                    "give the same functions, or choose another folder"
                )
        own = self.rollouts.scorer.own_weights
        if weights is not None and weights != own:
            raise InputError(
                f"reward_weights: the run was made with {weights}, but this call gives {own}: give the same weights, or "
                "choose another folder"
            )
