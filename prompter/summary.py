"""The table that ends a run, printed from `summary.json` alone."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

LIBRARIES = ("prompter", "torch", "transformers", "trl", "peft", "datasets", "evaluate", "accelerate")
"""Packages whose versions a summary names."""

COLUMNS: list[tuple[str, str, str]] = [
    ("accuracy", "accuracy", "{:.1%}"),
    ("agreement", "agreement", "{:.1%}"),
    ("macro_f1", "macro-F1", "{:.3f}"),
    ("queries", "queries", "{:,}"),
    ("seconds", "seconds", "{:.0f}"),
    ("bytes", "size", "{:.1f} MB"),
    ("texts_per_second", "texts/s", "{:,.0f}"),
]


def print_summary(summary: dict[str, Any], folder: str) -> None:
    """Print one row per model; a figure that a run does not have is left empty."""
    # Eight columns of figures have to fit a terminal of 80 characters.
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("learnt from")
    for _, title, _ in COLUMNS:
        table.add_column(title, justify="right")
    rows = {"(teacher)": summary["teacher"], **summary["students"]}
    for name, figures in rows.items():
        table.add_row(name, *(_cell(figures, key, form) for key, _, form in COLUMNS))
    console = Console()
    console.print(table)
    console.print(
        f"\nTeacher queries: {summary['teacher_queries']:,} for each student. Report: {folder}/report.html", highlight=False
    )


STUDENT_COLUMNS: list[tuple[str, str, str]] = [
    ("held_out_agreement", "agreement", "{:.1%}"),
    ("accuracy", "accuracy", "{:.1%}"),
    ("selected_update", "update", "{:,}"),
    ("bytes", "size", "{:.1f} MB"),
    ("texts_per_second", "texts/s", "{:,.0f}"),
]


def print_students(summary: dict[str, Any], folder: str) -> None:
    """Print one row per student that `prompter distill` made."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("student", overflow="fold")
    for _, title, _ in STUDENT_COLUMNS:
        table.add_column(title, justify="right")
    for name, figures in summary["students"].items():
        table.add_row(name, *(_cell(figures, key, form) for key, _, form in STUDENT_COLUMNS))
    console = Console()
    console.print(table)
    console.print(
        f"\nTexts: {summary['texts']:,}; teacher queries: {summary['teacher_queries']:,}. In {folder}", highlight=False
    )


def _cell(figures: dict[str, Any], key: str, form: str) -> str:
    if figures.get(key) is None:
        return ""
    return form.format(figures[key] / 1e6 if key == "bytes" else figures[key])
