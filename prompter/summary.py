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


STUDENT_COLUMNS: list[tuple[str, str, str]] = [
    ("held_out_agreement", "agreement", "{:.1%}"),
    ("accuracy", "accuracy", "{:.1%}"),
    ("selected_update", "update", "{:,}"),
    ("bytes", "size", "{:.1f} MB"),
    ("texts_per_second", "texts/s", "{:,.0f}"),
]


def print_summary(summary: dict[str, Any], folder: str) -> None:
    """Print one row per model of a run."""
    _print_table("learnt from", COLUMNS, {"(teacher)": summary["teacher"], **summary["students"]})
    Console().print(
        f"\nTeacher queries: {summary['teacher_queries']:,} for each student. Report: {folder}/report.html", highlight=False
    )


def print_students(summary: dict[str, Any], folder: str) -> None:
    """Print one row per student that `prompter distill` made."""
    _print_table("student", STUDENT_COLUMNS, summary["students"])
    Console().print(
        f"\nTexts: {summary['texts']:,}; teacher queries: {summary['teacher_queries']:,}. In {folder}", highlight=False
    )


def _print_table(name: str, columns: list[tuple[str, str, str]], rows: dict[str, dict[str, Any]]) -> None:
    """Print a row per model; a figure that one has not is left empty, one that none has is left out."""
    columns = [column for column in columns if any(row.get(column[0]) is not None for row in rows.values())]
    # Eight columns of figures and the longest name have to fit a terminal of 80 characters.
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column(name, overflow="fold")
    for _, title, _ in columns:
        table.add_column(title, justify="right")
    for row, figures in rows.items():
        table.add_row(row, *(_cell(figures, key, form) for key, _, form in columns))
    Console().print(table)


def _cell(figures: dict[str, Any], key: str, form: str) -> str:
    if figures.get(key) is None:
        return ""
    return form.format(figures[key] / 1e6 if key == "bytes" else figures[key])
