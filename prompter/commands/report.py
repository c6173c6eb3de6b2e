"""`prompter report`: write the report of a run, or of a compression, again."""

import argparse
import os
from pathlib import Path
from typing import Any

from distill.common.errors import InputError
from distill.common.terminal import printable
from prompter.compressing.config import PLAN

HELP = "write report.html of a run or a compression again"
EXAMPLES = ("prompter report runs/demo", "prompter report runs/ag_news")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add RUN."""
    parser.add_argument("run", metavar="RUN", nargs="?", help="folder of a run or of a compression")


def run(values: dict[str, Any]) -> int:
    """Write the report, and print where it is."""
    if not values.get("run"):
        raise InputError("run is missing: prompter report RUN")

    folder = Path(os.path.expanduser(values["run"]))
    if (folder / PLAN).is_file():
        from prompter.compressing.stored import write_result_again

        page = write_result_again(folder)
    else:
        from eval.report.run_report import write_report

        page = write_report(folder)
    print(printable(page))
    return 0
