"""`prompter train`: a prompter and a student, trained together for one teacher."""

import argparse
from pathlib import Path
from typing import Any

from prompter.runtime.parser import add_settings
from prompter.training.settings import PARTS

HELP = "train a prompter and a student together for your teacher"
EXAMPLES = (
    "prompter train --config configs/ag_news.yaml --output_dir runs/ag_news",
    "prompter train --teacher path/to/classifier --generator path/to/language-model --budget 6000 --output_dir runs/mine",
)
GO_ON = ("--resume",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_settings(parser, PARTS)


def run(values: dict[str, Any]) -> int:
    """Train, and print the summary; the status is 3 if the student is worthless."""
    from prompter.api import train
    from prompter.printing.tables import print_health, print_programs, print_summary

    summary = train(**values)
    if not summary:  # of several processes, the first one says what came of it
        return 0
    print_summary(summary, summary["config"]["output_dir"])
    print_programs(summary.get("programs", {}))
    return print_health(summary)


def begun(values: dict[str, Any]) -> bool:
    """Return whether a call that was stopped has begun its run, so that `--resume` finds it."""
    from prompter.runtime.run_folder import CONFIG
    from prompter.training.settings import settings_from

    return (Path(settings_from(values).run.output_dir) / CONFIG).is_file()
