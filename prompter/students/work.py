"""The work of `prompter distill`: gather texts with the teacher's answers, and train students on them.

One pass over the sources serves all students, so each text is written once and the teacher is asked about it once. A share
of the texts is held out. The agreement with the teacher on these texts shows the progress of a student and selects the state
to keep, without real data. A method (`distill.methods`) makes its texts for the student that learns from them, so that
student trains while the texts come in. With `student_restart`, a fresh student then makes all updates on all texts.
"""

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Container, Iterator
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from distill.batch import SyntheticBatch
from distill.common.errors import InputError, WorthlessError
from distill.common.files import read_json, write_json
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.held_out import HeldOut
from distill.kinds.found import written
from distill.methods.synthesizer import Synthesizer
from distill.teachers.names import teacher_name
from eval.classifiers import agreement, health
from eval.classifiers.scoring import answer, score_predictions, size_and_speed
from prompter.deploying.calibrating import calibrate_new
from prompter.runtime.console import Console
from prompter.runtime.interrupt import StopRequest
from prompter.runtime.run_folder import RunFolder
from prompter.runtime.samples import sample_rows
from prompter.runtime.trackers import Trackers
from prompter.runtime.versions import library_versions
from prompter.students.config import StudentsConfig
from prompter.students.inputs import Inputs
from prompter.students.judging import agreement_of_student
from prompter.students.methods import announce_method, method_source, new_synthesizer
from prompter.students.sources import PORTION_ROWS
from prompter.training.cut_texts import cut_shares_of

LOG = "training_log"
SAMPLES = "samples"
SUMMARY_FILE = "summary.json"
TRACKERS = "trackers"
COUNTERS = ("taken", "ended", "queries", "unusable", "texts", "checkpoint", "seconds", "best", "restarted")
"""Attributes of `Distillation` that a checkpoint stores as they are."""

KEPT_CHECKPOINTS = 2


class Distillation:
    """The work of one call.

    Args:
        config: What to distil from, and into what.
        training: How to train the students.
        inputs: Sources, teacher and untrained students.
        planned: Expected number of texts that the students are trained on.
        folder: Folder of the log and the checkpoints.
        console: Shows bars and samples.
        method: Settings of the method that makes the texts, if there is one.
    """

    def __init__(
        self,
        config: StudentsConfig,
        training: DistillConfig,
        inputs: Inputs,
        planned: int,
        folder: RunFolder,
        console: Console,
        method: Any = None,
    ) -> None:
        self.config, self.training, self.inputs, self.folder, self.console = config, training, inputs, folder, console
        weights = dict(zip(config.sources, config.weights, strict=True)) if config.weights else None
        white_box = inputs.teacher.white_box if inputs.teacher else None
        self.distillers = {
            name: Distiller(student, training, planned, config.seed, teacher=white_box, source_weights=weights)
            for name, student in inputs.students.items()
        }
        self.method = method
        self.synthesizer: Synthesizer | None = None
        if method is not None:
            self.synthesizer = self._new_synthesizer(method)
        self.restarted = False
        self.teacher_name = teacher_name(config.teacher)
        self.held_out = HeldOut(config.held_out)
        self.best: dict[str, dict[str, Any]] = {name: {} for name in self.distillers}
        self.best_weights: dict[str, dict[str, Tensor]] = {}
        self.taken = [0] * len(inputs.sources)  # portions of each source
        self.ended = [False] * len(inputs.sources)
        self.queries = self.unusable = self.texts = 0
        self.looks: list[dict[str, Any]] = []  # one for each batch, see eval.classifiers.health
        self.metrics: dict[str, float] = {}
        self.checkpoint = 0
        self.seconds = 0.0
        self._since = self._saved = time.perf_counter()

    def _new_synthesizer(self, method: Any) -> Synthesizer:
        """Make the method's synthesizer for the only student."""
        config, teacher = self.config, self.inputs.teacher
        assert teacher is not None
        (distiller,) = self.distillers.values()
        synthesizer = new_synthesizer(method, teacher, distiller, self.inputs.corpus, config)
        rows = synthesizer.rows(config.budget)
        distiller.planned_queries = max(1, round(rows * (1 - config.held_out)))
        announce_method(synthesizer, config.budget, rows, self.inputs.corpus, self.console)
        return synthesizer

    def run(self) -> bool:
        """Gather texts and train. Continue from the last checkpoint if there is one.

        Returns:
            False if Ctrl-C stopped the work. All progress is saved then, as where the pilot raises a `WorthlessError`.
        """
        self._restore()
        self._heed_pilot(saved=True)
        stop = StopRequest(self.console.say)
        named = dataclasses.asdict(self.config) | {"teacher": self.teacher_name}
        trackers = Trackers(self.config.report_to, self.folder.path / TRACKERS, named)
        with contextlib.closing(trackers), stop.listening():
            for row in self._rows():
                self.folder.append(LOG, [row])
                trackers.log(row)
                if stop.made or time.perf_counter() - self._saved >= self.config.save_seconds:
                    self._save()
                self._heed_pilot(saved=False)
                if stop.made:
                    return False
        return True

    def _heed_pilot(self, saved: bool) -> None:
        """Stop the work after the first queries if the teacher knows only one answer. Answers in a dataset are no queries."""
        if not self.config.pilot or (self.queries >= self.config.budget > 0) or (self.ended and all(self.ended)):
            return
        if found := health.stops(health.pilot([row for row in self.looks if row["asked"]]), self.inputs.targets):
            if not saved:
                self._save()
            raise WorthlessError(f"{self.config.to}: {health.pilot_line(found, self.queries)}")

    def _rows(self) -> Iterator[dict[str, Any]]:
        """Do all steps of the work. Yield a row of the log after each step, when everything can be saved."""
        yield from self._gather()
        self._hold_some_out()
        self._restart()
        for name, distiller in self.distillers.items():
            yield from self._train(name, distiller)

    def _gather(self) -> Iterator[dict[str, Any]]:
        """Give all texts to the students, batch by batch."""
        online = bool(self.synthesizer) or not self.training.student_restart
        if self.synthesizer:
            bar = self.console.bar(f"{self.synthesizer.name}: queries", self.config.budget, self.queries)
        else:
            endless = any(source.rows is None for source in self.inputs.sources)
            total = sum(source.rows or 0 for source in self.inputs.sources) + self.config.budget * endless
            bar = self.console.bar("texts", total, self.texts)
        asked = self.queries
        for step, batch in enumerate(iter(self._next_batch, None), start=1):
            seen: list[Container] = [self.held_out, next(iter(self.distillers.values())).replay]
            self.looks.append(health.look(batch, seen) | {"asked": self.queries - asked})
            asked = self.queries
            if self.config.pilot and (passed := health.pilot_passed(self.looks, self.inputs.targets)):
                self.console.say(passed)
            kept = self.held_out.take(batch)
            losses = {name: distiller.take(kept, online) for name, distiller in self.distillers.items()}
            if self.synthesizer:
                self._keep_samples(batch, shown=step == 1 or step % self.config.sample_every == 0)
            yield {
                "texts": self.texts,
                "queries": self.queries,
                "held_out": len(self.held_out),
                **{f"{name}/student_loss": loss["student_loss"] for name, loss in losses.items() if loss},
                **self.metrics,
                "health": self.looks[-1],
            }
            status = f"queries {self.queries:,}, held out {len(self.held_out):,}" + _shown(self.metrics)
            self.console.step(bar, self.queries if self.synthesizer else self.texts, status)
        self.console.step(bar, self.queries if self.synthesizer else self.texts)

    def _train(self, name: str, distiller: Distiller) -> Iterator[dict[str, Any]]:
        """Make the remaining updates of a student, and measure it every `measure_every` updates."""
        size, every = self.training.student_updates, self.config.measure_every
        bar = self.console.bar(name, size, distiller.updates_done)
        while distiller.updates_done < size or not self.best[name]:
            count = min(every - distiller.updates_done % every, size - distiller.updates_done)
            loss: dict[str, float] = {}
            if count:
                loss = distiller.update(count, lambda done, loss: self.console.step(bar, done, f"loss {loss:.3f}"))
            yield {"student": name, "update": distiller.updates_done, **loss, **self._measure(name)}

    def _next_batch(self) -> SyntheticBatch | None:
        """Return the next texts with their answers, from the method or from each source in turn; None after the last."""
        if self.synthesizer:
            return self._step(self.synthesizer)
        left = self.config.budget - self.queries if self.config.budget else None
        for index, source in enumerate(self.inputs.sources):
            if not source.answered and left == 0:
                self.ended[index] = True
        open_ones = [index for index, ended in enumerate(self.ended) if not ended]
        if not open_ones:
            return None
        index = min(open_ones, key=lambda i: self.taken[i])
        source = self.inputs.sources[index]
        portion = source.portion(self.taken[index])
        if portion is None:
            self.ended[index] = True
            return self._next_batch()
        self.taken[index] += 1
        portion = portion if left is None or source.answered else portion.first(left)
        logprobs = portion.logprobs
        if logprobs is None:
            assert self.inputs.teacher is not None
            logprobs = self.inputs.teacher(portion.texts, portion.text_pairs)
            self.queries += len(portion.texts)
        self.texts += len(portion.texts)
        batch = portion.batch(logprobs, source.name, self.inputs.kind)
        self.unusable += int((~batch.usable).sum())
        return batch

    def _step(self, synthesizer: Synthesizer) -> SyntheticBatch | None:
        """Return the next batch of the method; None if the budget is spent."""
        if self.queries >= self.config.budget:
            return None
        step = synthesizer.step(self.config.budget - self.queries)
        self.queries += step.queries
        self.texts += len(step.batch)
        self.unusable += int((~step.batch.usable).sum())
        self.metrics = {name: round(value, 6) for name, value in step.metrics.items()}
        return step.batch

    def _keep_samples(self, batch: SyntheticBatch, shown: bool) -> None:
        """Log some texts of a method. The user's own texts are never copied."""
        surest = batch.kind.probabilities(batch.teacher_logits).amax(dim=1)
        rows = sample_rows(batch, self.inputs.targets, {"probability": surest})
        self.folder.append(SAMPLES, [{"queries": self.queries, **row} for row in rows])
        if shown:
            self.console.samples(rows, f"after {self.queries} queries")

    def _hold_some_out(self) -> None:
        """Hold some texts out where chance held out none, if they are to select a state.

        Raises:
            InputError: There are not two texts, so nothing can be learnt from one and measured on another; or none is left to
                learn from.
        """
        first, *_ = self.distillers.values()
        if len(self.held_out) and not len(first.replay):
            raise InputError(
                f"held_out: chance held out all texts with an answer ({self.texts} in all); give more, or a larger budget"
            )
        if len(self.held_out) or self.config.select != "best-agreement":
            return
        rows = self.held_out.fill(first.replay)
        if len(rows):
            for distiller in self.distillers.values():
                distiller.forget(rows)
            self.console.say(f"held_out: chance held out none of {self.texts} texts, so {len(rows)} were taken for it.")
        elif len(first.replay):
            raise InputError("held_out: all texts are the same, or stages of one sample: give more texts, or a larger budget")

    def _restart(self) -> None:
        """Replace the student that trained with a method by a fresh one, if `student_restart` asks for it."""
        if not (self.synthesizer and self.training.student_restart) or self.restarted:
            return
        for name, distiller in self.distillers.items():
            distiller.restart(self.inputs.untrained(name))
            self.inputs.students[name] = distiller.student
        self.restarted = True

    def _measure(self, name: str) -> dict[str, float]:
        """Compare a student with the teacher on the held-out texts, and keep its state if it is the best so far."""
        distiller = self.distillers[name]
        metrics = self.held_out.measure(distiller.student)
        if not metrics:
            self.best[name] = {"update": distiller.updates_done}
            return {}
        best = self.best[name]
        better = not best or (metrics["agreement"], -metrics["kl"]) > (best["agreement"], -best["kl"])
        if better or self.config.select == "last":
            self.best[name] = {"update": distiller.updates_done, **metrics}
            if self.config.select == "best-agreement":
                state = distiller.student.model.state_dict()
                self.best_weights[name] = {key: value.detach().cpu().clone() for key, value in state.items()}
        return metrics

    def _teacher_state(self) -> dict[str, int]:
        """Return the counters of the teacher for a checkpoint."""
        return self.inputs.teacher.state() if self.inputs.teacher is not None else {"teacher_calls": 0}

    # Checkpoints

    def _save(self) -> None:
        self.checkpoint += 1
        path = self.folder.checkpoints / f"checkpoint-{self.checkpoint}"
        shutil.rmtree(path, ignore_errors=True)
        for index, (name, distiller) in enumerate(self.distillers.items()):
            distiller.save(path / f"student-{index}")
            if name in self.best_weights:
                save_file(self.best_weights[name], path / f"best-{index}.safetensors")
        self.held_out.save(path / "held_out")
        if self.synthesizer:
            self.synthesizer.save(path / "method")
        self._saved = time.perf_counter()
        self.seconds += self._saved - self._since
        self._since = self._saved
        state = {name: getattr(self, name) for name in COUNTERS}
        state |= self._teacher_state() | {"log_sizes": self.folder.log_sizes([LOG, SAMPLES])}
        state["contents"] = self.inputs.contents
        write_json(path / "state.json", state)
        self.folder.seal(path)
        for old in self.folder.checkpoints.glob("checkpoint-*"):
            if int(old.name.split("-")[1]) <= self.checkpoint - KEPT_CHECKPOINTS:
                shutil.rmtree(old)

    def _restore(self) -> None:
        found, broken = self.folder.last_checkpoint()
        for line in broken:
            self.console.say(f"{line}; using the one before it." if found else f"{line}; beginning again.")
        if found is None:
            self.folder.cut_logs({LOG: 0, SAMPLES: 0})
            return
        state = read_json(found / "state.json")
        for name in COUNTERS:
            setattr(self, name, state[name])
        self.inputs.restore(state)
        self.folder.cut_logs(state["log_sizes"])
        self.looks = [row["health"] for row in self.folder.read(LOG) if "health" in row]
        self.held_out.load(found / "held_out")
        if self.synthesizer:
            self.synthesizer.load(found / "method")
        for index, (name, distiller) in enumerate(self.distillers.items()):
            distiller.load(found / f"student-{index}")
            if (best := found / f"best-{index}.safetensors").is_file():
                self.best_weights[name] = load_file(best)

    # Results

    def summary(self) -> dict[str, Any]:
        """Load the selected state of each student, and return its metrics and how it was made."""
        inputs, students = self.inputs, self.inputs.students
        for name, weights in self.best_weights.items():
            students[name].model.load_state_dict(weights)
        replay = next(iter(self.distillers.values())).replay
        texts, pairs = (self.held_out.texts, self.held_out.pairs) if len(self.held_out) else (replay.texts, replay.pairs)
        measured = size_and_speed(students, texts[:PORTION_ROWS], text_pairs=pairs)
        results: dict[str, dict[str, Any]] = {}
        agreements: dict[str, dict[str, Any]] = {}
        for spec, (name, student) in zip(self.config.student, students.items(), strict=True):
            best = self.best[name]
            results[name] = {
                "spec": spec,
                "updates": self.training.student_updates,
                "selected_update": best["update"],
                "held_out_agreement": best.get("agreement"),
                "held_out_kappa": best.get("kappa"),
                "held_out_kl": best.get("kl"),
                **measured[name],
            }
            if real := inputs.evaluation:
                answers = answer(student, real)
                results[name] |= score_predictions(answers, real, real.teacher_log_probs, inputs.kind)
                if real.teacher_log_probs is not None:
                    agreements[name] = agreement.compared(agreement.REAL, real.teacher_log_probs, answers, kind=inputs.kind)
            agreements[name] = agreements.get(name) or agreement_of_student(
                name, self.held_out, best, self.distillers[name], inputs, self.config, self.console
            )
            rate, states, made = self.config.calibrate_to, self._states(name), inputs.synthetic
            results[name]["calibration"] = calibrate_new(name, student, self.held_out, rate, states, made, self.console)
        return {
            "labels": inputs.labels,
            "teacher": self.teacher_name or next((source.teacher.name for source in inputs.sources if source.teacher), None),
            "sources": [source.name for source in inputs.sources] or [method_source(self.config)],
            "synthetic": inputs.synthetic,
            "texts": self.texts,
            "teacher_queries": self.queries,
            **self.config.cost(self._teacher_state()["teacher_calls"]),
            "unusable_answers": self.unusable,
            "held_out_texts": len(self.held_out),
            "held_out_samples": self.held_out.samples,
            **cut_shares_of(replay, inputs.teacher, students, self.console),
            "students": results,
            "health": health.health(self.looks, self.inputs.targets, agreements),
            "seconds": round(self.seconds + time.perf_counter() - self._since, 1),
            "seed": self.config.seed,
            "versions": library_versions(),
        } | written(inputs.kind)

    def _states(self, name: str) -> int:
        """Return the number of states of a student among which the held-out texts chose."""
        measured = sum(row.get("student") == name and "agreement" in row for row in self.folder.read(LOG))
        return measured if self.config.select == "best-agreement" else 1


def _shown(metrics: dict[str, float]) -> str:
    """Return the metrics of a method for the line below its bar."""
    return "".join(f", {name.replace('_', ' ')} {value:.3f}" for name, value in metrics.items())
