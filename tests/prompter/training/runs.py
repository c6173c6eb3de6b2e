"""Small runs on tiny models, and what two equal runs have in common."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file

SMALL = {
    "student": "bert:layers=1,hidden=16,heads=1",
    "budget": 100,
    "rollout_size": 16,
    "minibatch_size": 8,
    "student_updates": 24,
    "student_batch_size": 8,
    "topic_max_tokens": 3,
    "writer_max_new_tokens": 6,
    "writer_min_new_tokens": 2,
    "learning_rate": 1e-3,
    "device": "cpu",
    "save_every": 2,
}


def flags_of(run: Path, teacher: Path, lm: Path, changes: Mapping[str, object]) -> list[str]:
    """Flags of a small run."""
    settings = {"output_dir": run, "teacher": teacher, "generator": lm} | SMALL | changes
    flags = []
    for key, value in settings.items():
        flags += [f"--{key}", *(map(str, value) if isinstance(value, list) else [str(value)])]
    return [*flags, "--quiet"]


def outcome(run: Path) -> tuple[dict, bytes, bytes, bytes]:
    """What two equal runs have in common: student weights, metrics, samples, where teacher and student differ."""
    return (
        load_file(run / "student" / "model.safetensors"),
        (run / "metrics.jsonl").read_bytes(),
        (run / "samples.jsonl").read_bytes(),
        (run / "disagreement.json").read_bytes(),
    )


def assert_same(one: Path, other: Path) -> None:
    (weights, *logs), (other_weights, *other_logs) = outcome(one), outcome(other)
    assert logs == other_logs
    assert weights.keys() == other_weights.keys()
    for name, value in weights.items():
        assert torch.equal(value, other_weights[name]), name
