"""Calls of `prompter bench` for tests."""

from pathlib import Path

from prompter.cli import main

SMALL = {
    "student_updates": 6,
    "student_batch_size": 8,
    "rollout_size": 16,
    "minibatch_size": 8,
    "topic_max_tokens": 3,
    "writer_max_new_tokens": 6,
    "writer_min_new_tokens": 2,
    "device": "cpu",
}


def bench(file: Path, to: Path, *flags: str) -> int:
    return main(["bench", "--suite", str(file), "--to", str(to), "--quiet", "--jobs", "1", *flags])
