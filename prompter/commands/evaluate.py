"""`prompter evaluate`: how good, how big and how fast classifiers are on a task."""

import argparse
import os
from typing import Any

from prompter.runtime.parser import add_settings
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

    from distill.common.files import without_nan, write_json
    from prompter.api import evaluate
    from prompter.printing.tables import print_calibration, print_evaluation

    result = evaluate(values.pop("models", []), values.pop("task", None), **values)
    if values.get("json") == PRINT:
        print(json.dumps(without_nan(result), indent=2, allow_nan=False))
        return 0
    (print_calibration if "calibrated" in result else print_evaluation)(result)
    if values.get("json"):
        write_json(os.path.expanduser(values["json"]), without_nan(result))
    return 0
