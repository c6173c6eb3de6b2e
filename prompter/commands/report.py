"""`prompter report`: write the report of a run again."""

import argparse
import os
from typing import Any

from distill.common.errors import InputError
from distill.common.terminal import printable

HELP = "write report.html of a run again"
EXAMPLES = ("prompter report runs/demo", "prompter report runs/ag_news")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add RUN."""
    parser.add_argument("run", metavar="RUN", nargs="?", help="folder of a run")


def run(values: dict[str, Any]) -> int:
    """Write the report, and print where it is."""
    if not values.get("run"):
        raise InputError("run is missing: prompter report RUN")

    from eval.report.run_report import write_report

    print(printable(write_report(os.path.expanduser(values["run"]))))
    return 0
