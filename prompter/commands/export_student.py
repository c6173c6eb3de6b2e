"""`prompter export-student`: a student as an ONNX or OpenVINO program, checked against PyTorch."""

import argparse
from typing import Any

from prompter.deploying.config import ExportStudentConfig
from prompter.runtime.parser import add_settings, combined

HELP = "convert a student to ONNX or OpenVINO, check it against PyTorch, and time it"
EXAMPLES = (
    "prompter export-student runs/demo/student --format onnx onnx-int8",
    "prompter export-student students/tiny --format openvino --texts my_texts.txt --output_dir served",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add STUDENT and the flags."""
    parser.add_argument(
        "student", metavar="STUDENT", nargs="?", default=argparse.SUPPRESS, help="folder or hub id of a student"
    )
    add_settings(parser, (ExportStudentConfig,), positional=("student",))


def run(values: dict[str, Any]) -> int:
    """Convert, and print a row for each format."""
    from prompter.api import export_student
    from prompter.printing.tables import print_programs

    student = combined((ExportStudentConfig,), [("", values)]).get("student", "")  # a file that --config names may say it
    values.pop("student", None)
    print_programs(export_student(student, **values))
    return 0
