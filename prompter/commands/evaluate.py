"""`prompter evaluate`: how good, how big and how fast classifiers are on a task."""

import argparse
from typing import Any

from prompter.importing import quick_imports
from prompter.runtime.parser import add_settings, fill
from prompter.students.evaluate_config import PRINT, EvaluateConfig

HELP = "measure students, beside their teacher, on a task"
EXAMPLES = (
    "prompter evaluate runs/demo/student --task toy_sentiment --teacher toy:sentiment",
    "prompter evaluate students/a --teacher path/to/classifier --calibrate my_texts.txt",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add MODEL... and the flags."""
    parser.add_argument(
        "models", metavar="MODEL", nargs="*", default=argparse.SUPPRESS, help="folder, hub id, URL or module:function"
    )
    add_settings(parser, (EvaluateConfig,), positional=("models",))


def run(values: dict[str, Any]) -> int:
    """Measure, and print a table, or JSON alone."""
    import json

    (config,) = fill((EvaluateConfig,), [("", values)])

    from distill.common.files import without_nan, write_json
    from prompter.printing.tables import print_calibration, print_evaluation

    with quick_imports():
        from distill.common.precision import computing_as
        from prompter.students.evaluation import evaluate

    with computing_as(config):
        result = evaluate(config)
    if config.json == PRINT:
        print(json.dumps(without_nan(result), indent=2, allow_nan=False))
        return 0
    (print_calibration if "calibrated" in result else print_evaluation)(result)
    if config.json:
        write_json(config.json, without_nan(result))
    return 0
