"""`prompter evaluate-data`: how good a dataset is by itself, and how near to real texts."""

import argparse
from typing import Any

from eval.corpora.config import CorpusConfig
from prompter.importing import quick_imports
from prompter.runtime.parser import add_settings, fill

HELP = "measure how good an exported dataset is, and how near to real texts"
EXAMPLES = (
    "prompter evaluate-data data/demo --reference toy:sentiment",
    "prompter evaluate-data data/demo --json metrics.json --html quality.html",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add DIR and the flags."""
    parser.add_argument(
        "data", metavar="DIR", nargs="?", default=argparse.SUPPRESS, help="folder of a dataset, or a file of texts"
    )
    add_settings(parser, (CorpusConfig,), positional=("data",))


def run(values: dict[str, Any]) -> int:
    """Measure, print a table, and write what was asked for."""
    (config,) = fill((CorpusConfig,), [("", values)])

    from rich.text import Text

    from distill.common.terminal import one_line, open_terminal
    from prompter.runtime.console import quieten

    with quick_imports():
        from distill.common.precision import computing_as
        from eval.corpora.quality import evaluate_data, write_results
        from eval.corpora.report import print_results

    shown = open_terminal(work_goes_on=True, stderr=True, quiet=config.quiet)
    with quieten(), computing_as(config), shown.status("") as status:
        results = evaluate_data(config, lambda line: status.update(Text(one_line(line))))
    print_results(results)  # first: the table is not lost where a file cannot be written
    write_results(results, config)
    return 0
