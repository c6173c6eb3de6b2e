"""`prompter export`: a labelled synthetic dataset from a trained prompter."""

import argparse
import dataclasses
from typing import Any

from prompter.exporting.config import PARTS
from prompter.generation.config import WriterConfig
from prompter.importing import quick_imports
from prompter.runtime.parser import add_settings

HELP = "write a labelled synthetic dataset with the prompter of a run"
EXAMPLES = (
    "prompter export runs/demo --rows 20000 --output_dir data/demo --balance",
    "prompter export students/t3 --rows 2000 --output_dir data/t3 --jsonl",
)
GO_ON = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add RUN and the flags."""
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        default=argparse.SUPPRESS,
        help="folder of a run, a prompter or a student of t3, or id of a prompter",
    )
    of_the_run = {item.name: "that of the run" for item in dataclasses.fields(WriterConfig)}
    add_settings(parser, PARTS, positional=("run",), defaults=of_the_run)


def run(values: dict[str, Any]) -> int:
    """Write the dataset; the status is 1 where fewer rows could be kept than were asked for."""
    from prompter.exporting.config import export_settings

    config, writer = export_settings(values)

    with quick_imports():
        from distill.common.precision import computing_as
        from prompter.exporting.loop import export

    with computing_as(config):
        return export(config, writer)
