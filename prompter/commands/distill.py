"""`prompter distill`: students from what others have written, or from a method that makes its own texts."""

import argparse
from typing import Any

from distill.config import DistillConfig
from distill.methods.table import METHODS
from prompter.runtime.parser import add_settings
from prompter.students.config import StudentsConfig

HELP = "distil students from saved prompters, exported datasets, text of your own, or another method"
EXAMPLES = (
    "prompter distill --from data/demo --student bert:layers=2,hidden=64 bert:layers=1,hidden=64 --output_dir students",
    "prompter distill --method as-dfd --config configs/toy/as-dfd.yaml --output_dir students/as-dfd",
)
GO_ON = ("--resume",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags, those of all methods among them."""
    parts = (StudentsConfig, DistillConfig, *(method.settings for method in METHODS.values()))
    add_settings(parser, parts, defaults={"replay_capacity": "all, whatever is given here"})


def run(values: dict[str, Any]) -> int:
    """Distil, and print a row for each student; the status is 3 if one is worthless."""
    from prompter.api import distill
    from prompter.printing.tables import print_health, print_programs, print_students

    summary = distill(**values)
    print_students(summary, summary["config"]["to"])
    print_programs(summary.get("programs", {}))
    return print_health(summary)
