"""Everything that a user of `prompter` may have in a folder, of tiny models, and commands that read it.

The folder is copied for each trial. Paths in it are relative, and a trial runs inside its copy.
"""

import contextlib
import io
import json
import os
import resource
import shutil
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import yaml

from prompter.cli import main
from prompter.exporting.folder import ExportFolder
from tests.prompter.saved_prompter import write_prompter
from tests.prompter.tiny import LETTERS, tiny_gpt2, tiny_teacher, word_tokenizer

STUDENT = ["--student", "bert:layers=1,hidden=16,heads=1", "--student_updates", "8", "--student_batch_size", "8"]
FIXED = ["--device", "cpu", "--quiet"]
TRAIN = ["train", "--config", "train.yaml", *FIXED]
EXPORT = ["export", "run", "--trust_teacher", "--rows", "40", "--batch_size", "16", "--shard_rows", "20", *FIXED]
DISTIL = ["distill", "--trust_teacher", *STUDENT, "--measure_every", "4", "--held_out", "0.3", *FIXED]

DONE = (0, 3)
"""Statuses of a call that is complete; the students here make 8 updates, and are mostly worth nothing."""

MOST_SECONDS, MOST_BYTES = 20, 1 << 30
"""What one call may take: 20 s, and 1 GiB more than the process held before (of 1.5 GiB in all, 0.5 are libraries)."""

TRAINING = {
    "teacher": "teacher",
    "generator": "lm",
    "student": "bert:layers=1,hidden=16,heads=1",
    "budget": 48,
    "rollout_size": 16,
    "minibatch_size": 8,
    "student_updates": 8,
    "student_batch_size": 8,
    "topic_max_tokens": 3,
    "writer_max_new_tokens": 6,
    "writer_min_new_tokens": 2,
    "save_every": 1,
    "compare": [],
}


@dataclass
class Outcome:
    """How a call ended.

    Attributes:
        status: Exit status; None if it ended in a traceback.
        said: What it printed.
        error: The traceback.
        seconds: How long it took.
        grown: Bytes by which it raised the peak memory of the process; other tests may have raised it before.
    """

    status: int | None
    said: str
    error: str
    seconds: float
    grown: int

    @property
    def faults(self) -> list[str]:
        """What must not happen: a traceback, a call that takes too long or too much."""
        found = [self.error] if self.error else []
        if self.seconds > MOST_SECONDS:
            found.append(f"took {self.seconds:.0f} s")
        return found + ([f"took {self.grown >> 20} MiB"] if self.grown > MOST_BYTES else [])


def peak_memory() -> int:
    """Return the most bytes that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def call(folder: Path, *arguments: str) -> Outcome:
    """Run one command line inside a folder."""
    start, before, said, error = time.monotonic(), Path.cwd(), io.StringIO(), ""
    os.chdir(folder)
    status, peak = None, peak_memory()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = main([str(argument) for argument in arguments])
    except BaseException:
        error = traceback.format_exc()
    finally:
        os.chdir(before)
    return Outcome(status, said.getvalue(), error, time.monotonic() - start, peak_memory() - peak)


class _Stopped(BaseException):
    """Ends a call as a kill does."""


def build(folder: Path) -> Path:
    """Make the folder."""
    for name, model in (("lm", tiny_gpt2()), ("teacher", tiny_teacher(2, scale=60.0))):
        model.save_pretrained(folder / name)
        word_tokenizer(LETTERS).save_pretrained(folder / name)
    before = Path.cwd()
    os.chdir(folder)
    try:
        write_prompter(Path("run"), Path("lm"), Path("teacher"))
    finally:
        os.chdir(before)
    rows = [{"text": f"the {w} was {v} and not {u}", "label": i % 2} for i, (w, v, u) in enumerate(_words())]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "rows.csv").write_text("text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in rows))
    (folder / "texts.txt").write_text("".join(row["text"] + ".\n" for row in rows))
    (folder / "train.yaml").write_text(yaml.safe_dump(TRAINING))
    task = {"kind": "single", "version": 1, "data": "rows.jsonl", "labels": ["good", "bad"], "metrics": ["accuracy"]}
    task |= {"text_columns": ["text"], "label_column": "label", "split": "test"}
    (folder / "task.yaml").write_text(yaml.safe_dump(task))
    for arguments in (
        [*EXPORT, "--to", "data"],
        [*DISTIL, "--from", "data", "--to", "student"],
        [*TRAIN, "--output_dir", "finished"],
    ):
        ended = call(folder, *arguments)
        assert ended.status in DONE, ended
    _interrupt(folder)
    return folder


def _words() -> list[tuple[str, str, str]]:
    words = LETTERS[8:]
    return [(words[i % 20], words[(3 * i) % 19], words[(7 * i) % 17]) for i in range(48)]


def _interrupt(folder: Path) -> None:
    """Leave an export, a run and a call of distil that were killed on their way."""
    from prompter.runtime.run_folder import RunFolder

    commit, seal = ExportFolder.commit, RunFolder.seal

    def killed(original, when):
        def wrapped(self, *arguments):
            original(self, *arguments)
            if when(self, *arguments):
                raise _Stopped

        return wrapped

    try:
        ExportFolder.commit = killed(commit, lambda self, progress: progress.shards >= 1)  # type: ignore[method-assign]
        RunFolder.seal = killed(seal, lambda self, checkpoint: checkpoint.name.endswith("2"))  # type: ignore[method-assign]
        call(folder, *EXPORT, "--to", "half")
        call(folder, *TRAIN, "--output_dir", "stopped")
        call(folder, *DISTIL, "--from", "data", "--to", "begun", "--save_seconds", "0")
    finally:
        ExportFolder.commit, RunFolder.seal = commit, seal  # type: ignore[method-assign]


COMMANDS: dict[str, tuple[list[str], list[str]]] = {
    "export": (["run", "lm", "teacher"], [*EXPORT, "--rows", "20", "--to", "new"]),
    "go on with export": (["half"], [*EXPORT, "--to", "half"]),
    "finished export": (["data"], [*EXPORT, "--to", "data", "--jsonl"]),
    "train": (["lm", "teacher", "train.yaml"], [*TRAIN, "--output_dir", "new"]),
    "resume": (["stopped"], [*TRAIN, "--output_dir", "stopped", "--resume"]),
    "finished run": (["finished"], [*TRAIN, "--output_dir", "finished", "--resume"]),
    "report": (["finished"], ["report", "finished"]),
    "distil": (["data"], [*DISTIL, "--from", "data", "--to", "new"]),
    "distil a run": (["run"], [*DISTIL, "--from", "run", "--budget", "40", "--to", "new"]),
    "distil texts": (["rows.jsonl"], [*DISTIL, "--from", "rows.jsonl", "--teacher", "teacher", "--to", "new"]),
    "distil csv": (["rows.csv"], [*DISTIL, "--from", "rows.csv", "--teacher", "teacher", "--to", "new"]),
    "go on with distil": ([".begun.work"], [*DISTIL, "--from", "data", "--to", "begun", "--save_seconds", "0", "--resume"]),
    "evaluate": (["student", "task.yaml", "rows.jsonl"], ["evaluate", "student", "--task", "task.yaml", "--device", "cpu"]),
    "evaluate-data": (["data", "texts.txt"], ["evaluate-data", "data", "--reference", "texts.txt", "--quiet"]),
    "cache": (["cache"], [*DISTIL, "--from", "rows.jsonl", "--teacher", "teacher", "--to", "new"]),
}
"""By name: what is damaged, and the command that reads it."""


def copied(world: Path, to: Path) -> Path:
    """Return a fresh copy of the folder."""
    shutil.rmtree(to, ignore_errors=True)
    return Path(shutil.copytree(world, to))
