"""The verb `prompter compress`: one command from a teacher to a small model that can be deployed."""

import argparse
from typing import Any

from prompter.compressing.config import CompressConfig
from prompter.runtime.parser import add_settings

HELP = "compress a teacher into a small model, in one command: plan, pilot, student, program, card, report"
EXAMPLES = (
    "prompter compress path/to/classifier --to small",
    "prompter compress https://host/predict --texts my_texts.txt --to small",
)
GO_ON = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add TEACHER and the flags."""
    parser.add_argument(
        "teacher",
        metavar="TEACHER",
        nargs="?",
        default=argparse.SUPPRESS,
        help="folder, hub id, URL, module:function, toy:TASK",
    )
    add_settings(parser, (CompressConfig,), positional=("teacher",))


def run(values: dict[str, Any]) -> int:
    """Compress, and print the result; with --dry_run print the plan. The status is 3 if the student is worthless."""
    from prompter.api import compress
    from prompter.compressing.words import plan_lines, result_lines
    from prompter.printing.tables import print_compressed, print_health, print_line

    summary = compress(values.pop("teacher", None), **values)
    if "health" not in summary:  # a dry run ends with the plan
        for line in plan_lines(summary, summary["settings"]["explain"]):
            print_line(line)
        return 0
    print_compressed(summary["models"])
    for line in result_lines(summary):
        print_line(line)
    return print_health(summary)
