"""`prompter demo`: train on an embedded toy task, with `configs/toy/prompted.yaml`, into `runs/demo`."""

import argparse
import os
from typing import Any

from prompter.commands import train

HELP = "run the whole idea on an embedded toy task: offline, a few minutes, ends with a report"
EXAMPLES = ("prompter demo", "prompter demo --budget 2000 --output_dir runs/short")
GO_ON = ("--resume",)

CONFIG = "configs/toy/prompted.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `prompter train`."""
    train.add_arguments(parser)


def run(values: dict[str, Any]) -> int:
    """Train; flags win over the shipped configuration."""
    # Models of a few hundred thousand parameters lose time by bf16 (docs/log.md).
    os.environ.setdefault("PROMPTER_PRECISION", "float32")
    return train.run({"config": CONFIG, "output_dir": "runs/demo"} | values)
