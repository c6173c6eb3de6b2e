"""`prompter demo`: train on an embedded toy task, with `configs/toy/prompted.yaml`, into `runs/demo`."""

import argparse
import os
from typing import Any

from distill.common.files import read_yaml
from prompter.commands import train
from prompter.runtime.parser import add_settings
from prompter.runtime.shipped import config_path
from prompter.training.settings import PARTS

HELP = "run the whole idea on an embedded toy task: offline, a few minutes, ends with a report"
EXAMPLES = ("prompter demo", "prompter demo --budget 2000 --output_dir runs/short")
GO_ON = ("--resume",)

CONFIG, OUTPUT_DIR = "configs/toy/prompted.yaml", "runs/demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `prompter train`, with the defaults of the demo."""
    add_settings(parser, PARTS, defaults=read_yaml(config_path(CONFIG)) | {"output_dir": OUTPUT_DIR})


def run(values: dict[str, Any]) -> int:
    """Train; flags win over the shipped configuration."""
    # Models of a few hundred thousand parameters lose time by bf16 (docs/log.md).
    os.environ.setdefault("PROMPTER_PRECISION", "float32")
    return train.run(_with_defaults(values))


def begun(values: dict[str, Any]) -> bool:
    """Return whether a demo that was stopped has begun its run."""
    return train.begun(_with_defaults(values))


def _with_defaults(values: dict[str, Any]) -> dict[str, Any]:
    return {"config": CONFIG, "output_dir": OUTPUT_DIR} | values
