"""The verb `prompter label`: the teacher's answers to texts of the user's own."""

import argparse
from typing import Any

from prompter.importing import quick_imports
from prompter.labelling.config import LabelConfig
from prompter.runtime.parser import add_settings, fill

HELP = "label texts of your own with a teacher: a dataset with its answers"
EXAMPLES = (
    "prompter label --texts my_texts.csv --teacher path/to/classifier --to data/labelled",
    "prompter distill --from data/labelled --student bert:layers=2,hidden=128 --output_dir students",
)
GO_ON = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_settings(parser, (LabelConfig,))


def run(values: dict[str, Any]) -> int:
    """Label the texts; the status is 3 where no row could be kept."""
    (config,) = fill((LabelConfig,), [("", values)])

    with quick_imports():
        from distill.common.precision import computing_as
        from prompter.labelling.loop import label

    with computing_as(config):
        label(config)
    return 0
