"""`prompter bench`: methods, tasks, budgets and students side by side, at equal cost."""

import argparse
from typing import Any

from prompter.bench.config import BenchConfig
from prompter.importing import quick_imports
from prompter.runtime.parser import add_settings, fill

HELP = "compare methods, tasks, budgets and students side by side, at equal cost"
EXAMPLES = (
    "prompter bench --suite configs/bench/toy.yaml",
    "prompter bench --suite my_suite.yaml --set ag_news.teacher=path/to/teacher --jobs 2",
)
GO_ON = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_settings(parser, (BenchConfig,))


def run(values: dict[str, Any]) -> int:
    """Run the suite, or go on with it."""
    (config,) = fill((BenchConfig,), [("", values)])

    with quick_imports():
        from prompter.bench.run import bench

    return bench(config)
