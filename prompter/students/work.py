"""The work of `prompter distill`: texts in, the teacher's answers beside them, students out.

One pass over the sources serves all students: each text is written once and the teacher asked about it once. A share of
the texts is held out; what a student agrees with the teacher on there tells how far it has come, and which of its states
to keep, without any real data. A method (`distill.methods.synthesizer`) makes its texts against the student that learns from them, so
that one learns at once; with `student_restart` a fresh one makes all updates on everything there is in the end.
"""

import dataclasses
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from distill.batch import SyntheticBatch
from distill.common.errors import InputError
from distill.common.files import read_json, replace_folder, write_json, write_text
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.held_out import HeldOut
from distill.methods.synthesizer import Synthesizer
from distill.methods.t3 import TextToText
from distill.teachers.names import teacher_name
from eval.classifiers.scoring import score, size_and_speed
from prompter.runtime.console import Console
from prompter.runtime.interrupt import StopRequest
from prompter.runtime.run_folder import RunFolder
from prompter.runtime.samples import PER_BATCH, sample_rows
from prompter.runtime.trackers import Trackers
from prompter.runtime.versions import library_versions
from prompter.saved.rewriter import REWRITER_FOLDER
from prompter.students.config import StudentsConfig
from prompter.students.inputs import Inputs
from prompter.students.methods import new_synthesizer, tell, with_toy_models
from prompter.students.sources import PORTION
from prompter.students.student_card import write_student_card

LOG = "training_log"
SAMPLES = "samples"
SUMMARY = "summary.json"
TRACKERS = "trackers"
STATE = ("taken", "ended", "queries", "unusable", "texts", "checkpoint", "seconds", "best", "restarted")
KEPT_CHECKPOINTS = 2


class Distillation:
    """The work of one call: texts in, answers beside them, students out.

    Args:
        config: What to distil from, into what.
        training: How the students are trained.
        inputs: Sources, teacher and untrained students.
        planned: Texts the students will be trained on, about.
        folder: Where log and checkpoints lie.
        show: The terminal.
        method: Settings of the method, where the texts come from one.
    """

    def __init__(
        self,
        config: StudentsConfig,
        training: DistillConfig,
        inputs: Inputs,
        planned: int,
        folder: RunFolder,
        show: Console,
        method: Any = None,
    ) -> None:
        self.config, self.training, self.inputs, self.folder, self.show = config, training, inputs, folder, show
        weights = dict(zip(config.sources, config.weights, strict=True)) if config.weights else None
        white_box = inputs.teacher.white_box if inputs.teacher else None
        self.distillers = {
            name: Distiller(student, training, planned, config.seed, teacher=white_box, source_weights=weights)
            for name, student in inputs.students.items()
        }
        self.method = method
        self.synthesizer: Synthesizer | None = None
        if method is not None:
            self.synthesizer = self._synthesizer(with_toy_models(method, config.quiet))
        self.restarted = False
        self.teacher_name = teacher_name(config.teacher)
        self.held_out = HeldOut(config.held_out)
        self.best: dict[str, dict[str, Any]] = {name: {} for name in self.distillers}
        self.best_weights: dict[str, dict[str, Tensor]] = {}
        self.taken = [0] * len(inputs.sources)  # portions
        self.ended = [False] * len(inputs.sources)
        self.queries = self.unusable = self.texts = 0
        self.metrics: dict[str, float] = {}
        self.checkpoint = 0
        self.seconds = 0.0
        self._since = self._saved = time.perf_counter()

    def _synthesizer(self, method: Any) -> Synthesizer:
        """The method, set against the only student."""
        config, teacher = self.config, self.inputs.teacher
        assert teacher is not None
        (distiller,) = self.distillers.values()
        synthesizer = new_synthesizer(method, teacher, distiller, self.inputs.corpus, config.seed, config.device)
        rows = synthesizer.rows(config.budget)
        distiller.planned_queries = max(1, round(rows * (1 - config.held_out)))
        tell(synthesizer, config.budget, rows, self.inputs.corpus, self.show)
        return synthesizer

    def run(self) -> bool:
        """Gather texts and train, from the last checkpoint on where there is one.

        Returns:
            False where Ctrl-C stopped it; everything is saved then.
        """
        self._restore()
        stop = StopRequest(self.show.say)
        named = dataclasses.asdict(self.config) | {"teacher": self.teacher_name}
        trackers = Trackers(self.config.report_to, self.folder.path / TRACKERS, named)
        with stop.listening():
            for row in self._rows():
                self.folder.append(LOG, [row])
                trackers.log(row)
                if stop.made or time.perf_counter() - self._saved >= self.config.save_seconds:
                    self._save()
                if stop.made:
                    return False
        trackers.close()
        return True

    def _rows(self) -> Iterator[dict[str, Any]]:
        """Do the work in steps; after each comes its row of the log, and everything may be saved."""
        total = sum(source.rows or 0 for source in self.inputs.sources)
        endless = any(source.rows is None for source in self.inputs.sources)
        if self.synthesizer:
            bar = self.show.bar(f"{self.synthesizer.name}: queries", self.config.budget, self.queries)
        else:
            bar = self.show.bar("texts", total + self.config.budget if endless else total, self.texts)
        bars = {name: self.show.bar(name, self.training.student_updates) for name in self.distillers}
        for step, batch in enumerate(iter(self._next_batch, None), start=1):
            losses = self._learn(batch)
            if self.synthesizer:
                self._keep_samples(batch, shown=step == 1 or step % self.config.sample_every == 0)
            yield {"texts": self.texts, "queries": self.queries, "held_out": len(self.held_out), **losses, **self.metrics}
            self.show.step(
                bar,
                self.queries if self.synthesizer else self.texts,
                f"queries {self.queries:,}, held out {len(self.held_out):,}" + _shown(self.metrics),
            )
        self.show.step(bar, self.queries if self.synthesizer else self.texts)
        self._restart()
        for name, distiller in self.distillers.items():
            size, every = self.training.student_updates, self.config.measure_every
            while distiller.updates_done < size or not self.best[name]:
                count = min(every - distiller.updates_done % every, size - distiller.updates_done)
                loss: dict[str, float] = {}
                if count:
                    loss = distiller.update(count, lambda done, loss: self.show.step(bars[name], done, f"loss {loss:.3f}"))  # noqa: B023
                yield {"student": name, "update": distiller.updates_done, **loss, **self._measure(name)}

    def _next_batch(self) -> SyntheticBatch | None:
        """The next texts with their answers, from each source in turn or from the method; None when there are no more."""
        if self.synthesizer:
            return self._made(self.synthesizer)
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
        rows = len(portion.texts) if left is None or source.answered else min(left, len(portion.texts))
        logprobs = portion.logprobs
        if logprobs is None:
            assert self.inputs.teacher is not None
            logprobs = self.inputs.teacher(portion.texts[:rows])
            self.queries += rows
        self.texts += rows
        batch = SyntheticBatch(
            portion.texts[:rows], logprobs[:rows], portion.targets[:rows], portion.topics[:rows], source.name
        )
        self.unusable += int((~batch.usable).sum())
        return batch

    def _made(self, synthesizer: Synthesizer) -> SyntheticBatch | None:
        """The method's next batch; None when the budget is spent."""
        if self.queries >= self.config.budget:
            return None
        step = synthesizer.step(self.config.budget - self.queries)
        self.queries += step.queries
        self.texts += len(step.batch)
        self.unusable += int((~step.batch.usable).sum())
        self.metrics = {name: round(value, 6) for name, value in step.metrics.items()}
        return step.batch

    def _keep_samples(self, batch: SyntheticBatch, shown: bool) -> None:
        """Note some of what a method made; texts of one's own are never copied."""
        rows = sample_rows(batch, self.inputs.labels, {"probability": batch.teacher_logits.exp().amax(dim=1)})
        self.folder.append(SAMPLES, [{"queries": self.queries, **row} for row in rows])
        if shown:
            self.show.samples(rows, f"after {self.queries} queries")

    def _restart(self) -> None:
        """Where a method's student has done its part while the texts came in, let a fresh one learn from all of them."""
        if not (self.synthesizer and self.training.student_restart) or self.restarted:
            return
        for name, distiller in self.distillers.items():
            distiller.restart(self.inputs.untrained(name))
            self.inputs.students[name] = distiller.student
        self.restarted = True

    def _learn(self, batch: SyntheticBatch) -> dict[str, float]:
        """Give the batch to each student; returns their losses by name."""
        kept = self.held_out.take(batch)
        losses: dict[str, float] = {}
        for name, distiller in self.distillers.items():
            online = not self.training.student_restart or self.synthesizer is not None
            if learnt := distiller.take(kept, online):
                losses[f"{name}/student_loss"] = learnt["student_loss"]
        return losses

    def _measure(self, name: str) -> dict[str, float]:
        """Compare a student with the teacher on the held-out texts, and keep its state if it is the best so far."""
        distiller = self.distillers[name]
        figures = self.held_out.measure(distiller.student)
        if not figures:
            if self.config.select == "best-agreement":
                raise InputError(f"held_out is {self.config.held_out}, but of {self.texts} texts none fell into it; raise it")
            self.best[name] = {"update": distiller.updates_done}
            return {}
        best = self.best[name]
        better = not best or (figures["agreement"], -figures["kl"]) > (best["agreement"], -best["kl"])
        if better or self.config.select == "last":
            self.best[name] = {"update": distiller.updates_done, **figures}
            if self.config.select == "best-agreement":
                state = distiller.student.model.state_dict()
                self.best_weights[name] = {key: value.detach().cpu().clone() for key, value in state.items()}
        return figures

    def _calls(self) -> int:
        """Texts that the teacher was really asked."""
        return 0 if self.inputs.teacher is None else self.inputs.teacher.asked

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
        state = {name: getattr(self, name) for name in STATE}
        state |= {"teacher_calls": 0, "log_sizes": self.folder.log_sizes([LOG, SAMPLES])}
        if (teacher := self.inputs.teacher) is not None:
            state |= teacher.state()
        write_json(path / "state.json", state)
        self.folder.seal(path)
        for old in self.folder.checkpoints.glob("checkpoint-*"):
            if int(old.name.split("-")[1]) <= self.checkpoint - KEPT_CHECKPOINTS:
                shutil.rmtree(old)

    def _restore(self) -> None:
        found, broken = self.folder.last_checkpoint()
        for line in broken:
            self.show.say(f"{line}; falling back to the one before.")
        if found is None:
            self.folder.cut_logs({LOG: 0, SAMPLES: 0})
            return
        state = read_json(found / "state.json")
        for name in STATE:
            setattr(self, name, state[name])
        if (teacher := self.inputs.teacher) is not None:
            teacher.restore(state)
        self.folder.cut_logs(state["log_sizes"])
        self.held_out.load(found / "held_out")
        if self.synthesizer:
            self.synthesizer.load(found / "method")
        for index, (name, distiller) in enumerate(self.distillers.items()):
            distiller.load(found / f"student-{index}")
            if (best := found / f"best-{index}.safetensors").is_file():
                self.best_weights[name] = load_file(best)

    # Results

    def summary(self) -> dict[str, Any]:
        """Take each student's selected state, score it, and tell how it came about."""
        inputs, students = self.inputs, self.inputs.students
        for name, weights in self.best_weights.items():
            students[name].model.load_state_dict(weights)
        texts = self.held_out.texts or next(iter(self.distillers.values())).replay.texts[:PORTION]
        measured = size_and_speed(students, texts)
        figures = {}
        for spec, (name, student) in zip(self.config.student, students.items(), strict=True):
            best = self.best[name]
            figures[name] = {
                "spec": spec,
                "updates": self.training.student_updates,
                "selected_update": best["update"],
                "held_out_agreement": best.get("agreement"),
                "held_out_kl": best.get("kl"),
                **measured[name],
            }
            if inputs.evaluation:
                figures[name] |= score(student, inputs.evaluation)
        made_for = next((source.teacher for source in inputs.sources if source.teacher), None)
        return {
            "labels": inputs.labels,
            "teacher": self.teacher_name or made_for,
            "sources": [source.name for source in inputs.sources] or [_described(self.config)],
            "texts": self.texts,
            "teacher_queries": self.queries,
            "teacher_calls": self._calls(),
            "unusable_answers": self.unusable,
            "held_out_texts": len(self.held_out),
            "students": figures,
            "seconds": round(self.seconds + time.perf_counter() - self._since, 1),
            "seed": self.config.seed,
            "versions": library_versions(),
        }

    def write(self, target: Path, summary: dict[str, Any]) -> None:
        """Write the students' folder, whole or not at all."""
        log = (self.folder.path / f"{LOG}.jsonl").read_text(encoding="utf-8")
        samples = self.folder.read(SAMPLES)[-PER_BATCH:]
        with replace_folder(target, marker=SUMMARY) as temporary:
            for name, student in self.inputs.students.items():
                path = temporary if len(self.inputs.students) == 1 else temporary / name
                student.save(path)
                write_student_card(path, name, summary, samples)
            if isinstance(self.synthesizer, TextToText):
                names = {"teacher": self.teacher_name, "corpus": str(self.config.corpus)}
                self.synthesizer.save_rewriter(temporary / REWRITER_FOLDER, self.method.rewriter, **names)
            write_text(temporary / f"{LOG}.jsonl", log)
            if self.synthesizer:
                shutil.copy(self.folder.path / f"{SAMPLES}.jsonl", temporary)
            if self.config.report_to and (trackers := self.folder.path / TRACKERS).exists():
                shutil.copytree(trackers, temporary / TRACKERS)
            write_json(temporary / SUMMARY, summary)


def _described(config: StudentsConfig) -> str:
    """What a method's student learnt from, for cards."""
    return f"method {config.method}" + (f" on {config.corpus}" if config.corpus else "")


def _shown(metrics: dict[str, float]) -> str:
    """A method's figures, for its bar."""
    return "".join(f", {name.replace('_', ' ')} {value:.3f}" for name, value in metrics.items())
