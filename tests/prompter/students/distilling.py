"""Calls of `prompter distill` for tests."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import ClassLabel, Features, Sequence, Value

from distill.common.seeding import random_generator
from prompter.cli import main
from prompter.runtime.run_folder import RunFolder

STUDENT = "bert:layers=1,hidden=16,heads=1"


FEATURES = Features(
    {
        "text": Value("string"),
        "label": ClassLabel(names=["good", "bad"]),
        "teacher_probs": Sequence(Value("float32")),
        "wanted_label": ClassLabel(names=["good", "bad"]),
        "topic": Value("string"),
        "keep": Value("bool"),
    }
)


def texts(count: int, counter: int = 0) -> list[str]:
    words = [f"w{i}" for i in range(25)] + ["good", "bad"]
    random = random_generator(5, "texts", counter)
    lengths = torch.randint(3, 12, (count,), generator=random)
    return [" ".join(words[i] for i in torch.randint(27, (int(n),), generator=random)) for n in lengths]


def run(*arguments: object) -> int:
    fixed = ["--student_updates", "40", "--student_batch_size", "16", "--measure_every", "10", "--device", "cpu"]
    return main(["distill", *map(str, arguments), *fixed, "--quiet", "--trust_teacher"])


def outcome(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The summary without what depends on the clock, and every other file."""
    summary = json.loads((folder / "summary.json").read_text())
    del summary["seconds"], summary["teacher_calls"]  # the clock, and what the cache knew
    for figures in summary["students"].values():
        del figures["texts_per_second"], figures["milliseconds_per_call"]
    for key in ("to", "resume", "save_seconds"):
        del summary["config"][key]
    files = {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}
    del files["summary.json"]
    return summary, {name: content for name, content in files.items() if not name.endswith("README.md")}


def kill_at(call: int, monkeypatch: pytest.MonkeyPatch, within: str = "") -> pytest.MonkeyPatch:
    """End the work in the middle of step `call`, as if the power had failed: before or after the log was written.

    With `within`, only the steps of the run folder of that name count.
    """
    calls = 0
    original = RunFolder.append

    def append(self: RunFolder, log: str, rows: list[dict]) -> None:
        nonlocal calls
        calls += within in ("", self.path.name)
        if calls == call and call % 2 and within in ("", self.path.name):
            raise SystemExit
        original(self, log, rows)
        if calls == call:
            raise SystemExit

    monkeypatch.setattr(RunFolder, "append", append)
    return monkeypatch
