"""Rounds: the policy learns from a rollout, the student learns from the same rollout, until the budget is spent.

One round is one rollout. Its reward was computed with the student as it then was; after the policy's updates the student
trains on what the replay holds, which moves the reward of the next round. TRL's trainer drives the policy, and this
callback does what falls between two of its rollouts: student updates, logs, samples, checkpoints. Rounds of this kind are
ours; PromptDFD (arXiv 2205.07523) alternates the two as well, but its schedule is not known to us.
"""

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from distill.common.files import read_json, write_json
from distill.distiller import Distiller
from eval.classifiers.scoring import score
from eval.data.labelled import EvaluationData
from prompter.rl.rollouts import Rollouts
from prompter.rl.scorer import ScoredRollout
from prompter.runtime.console import Console
from prompter.runtime.interrupt import StopRequest
from prompter.runtime.run_folder import RunFolder
from prompter.runtime.samples import sample_rows
from prompter.training.settings import Settings
from prompter.training.trainer_factory import Schedule

LOGS = ["metrics", "samples"]
STATE, TOPICS, SCREEN, DISTILLER = "rounds.json", "topics.json", "screen.safetensors", "distiller"

# What is taken over from TRL's log into ours; its other figures are timings or follow from these.
TRAINER_METRICS = {
    "kl": "kl",
    "entropy": "entropy",
    "critic/loss": "critic_loss",
    "critic/explained_variance": "explained_variance",
    "clip_ratio/region_mean": "clip_share",
    "learning_rate": "learning_rate",
}


class RolloutCallback(TrainerCallback):
    """What happens after each rollout.

    Args:
        settings: All settings of the run.
        schedule: How the budget is cut into rollouts.
        folder: The run's folder.
        rollouts: Holds the latest judged rollout.
        distiller: The student and its updates.
        evaluation: Labelled data to report on, or None.
        show: The terminal.
    """

    def __init__(
        self,
        settings: Settings,
        schedule: Schedule,
        folder: RunFolder,
        rollouts: Rollouts,
        distiller: Distiller,
        evaluation: EvaluationData | None,
        show: Console,
    ) -> None:
        self.settings, self.schedule, self.folder, self.show = settings, schedule, folder, show
        self.rollouts, self.distiller, self.evaluation = rollouts, distiller, evaluation
        self.clock = rollouts.clock
        self.update = 0
        self.queries = 0
        self.unusable = 0
        self.stop = StopRequest(show.say)
        self._row: dict[str, Any] = {}
        self._samples: list[dict] = []
        self._bar = show.bar("queries", settings.run.budget)

    # One round

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After the last optimizer step of a rollout: book it and let the student learn."""
        if state.global_step % self.schedule.steps:
            return
        self.update = state.global_step // self.schedule.steps
        scored = self.rollouts.latest
        assert scored is not None
        self.book(scored)
        run = self.settings.run
        last = self.update == self.schedule.rollouts
        control.should_save = last or self.update % run.save_every == 0 or self.stop.made
        if self.stop.made:
            control.should_training_stop = True

    def book(self, scored: ScoredRollout) -> None:
        """Count a rollout, train the student on it, and note its metrics and samples."""
        run = self.settings.run
        batch = scored.batch
        self.queries += len(batch)
        self.unusable += int((~batch.usable).sum())
        with self.clock("student"):
            learnt = self.distiller.consume(batch)
        self._row = {"update": self.update, "queries": self.queries, **scored.metrics()}
        self._row["student_loss"] = round(learnt["student_loss"], 6) if learnt else None
        if self.evaluation and run.eval_every and self.update % run.eval_every == 0:
            with self.clock("evaluation"):
                self._row["accuracy"] = score(self.distiller.student, self.evaluation)["accuracy"]
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
        """TRL logs once per rollout, after the step and before a checkpoint: write our row with its figures."""
        if logs and self._row:
            present = {name: logs[key] for key, name in TRAINER_METRICS.items() if logs.get(key) is not None}
            self.write_row({name: round(float(value), 6) for name, value in present.items()})

    def write_row(self, trainer_metrics: dict[str, float]) -> None:
        """Append the round's row and samples to the logs and show them."""
        row = self._row | trainer_metrics
        self.folder.append("metrics", [row])
        self.folder.append("samples", self._samples)
        loss = f" student loss {row['student_loss']:.3f}" if row["student_loss"] is not None else ""
        terms = " ".join(f"{name[7:]} {value:.2f}" for name, value in row.items() if name.startswith("reward/"))
        self.show.step(self._bar, self.queries, f"reward {row['reward']:.3f} ({terms}){loss} agree {row['agreement']:.2f}")
        if self.update % self.settings.run.sample_every == 0 or self.update == 1:
            self.show.samples(self._samples, f"after {self.queries} queries")
        self._row = {}

    # Checkpoints

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """TRL has saved policy, critic and their optimizers; add the rest and seal the checkpoint."""
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        self.distiller.save(checkpoint / DISTILLER)
        write_json(checkpoint / TOPICS, list(self.rollouts.scorer.window.topics))
        if self.rollouts.candidates.candidates > 1:
            self.rollouts.selector.save(checkpoint / SCREEN)
        counters = {
            "update": self.update,
            "queries": self.queries,
            "unusable": self.unusable,
            **self.rollouts.scorer.teacher.state(),
            "log_sizes": self.folder.log_sizes(LOGS),
            "seconds": self.clock.so_far(),
        }
        write_json(checkpoint / STATE, counters)
        self.folder.seal(checkpoint)

    def restore(self, checkpoint: Path) -> None:
        """Bring back everything but what TRL restores itself."""
        counters = read_json(checkpoint / STATE)
        self.update, self.queries, self.unusable = counters["update"], counters["queries"], counters["unusable"]
        self.rollouts.scorer.teacher.restore(counters)
        self.clock.seconds.update(counters["seconds"])
        self.folder.cut_logs(counters["log_sizes"])
        for topic in read_json(checkpoint / TOPICS):
            self.rollouts.scorer.window.remember(topic)
        if self.rollouts.candidates.candidates > 1:
            self.rollouts.selector.load(checkpoint / SCREEN)
        self.distiller.load(checkpoint / DISTILLER)
        self.show.step(self._bar, self.queries)
