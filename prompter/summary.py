"""The table that ends a run, printed from `summary.json` alone."""

from typing import Any

from rich.console import Console
from rich.table import Table

COLUMNS: list[tuple[str, str, str]] = [
    ("accuracy", "accuracy", "{:.1%}"),
    ("agreement", "agreement", "{:.1%}"),
    ("macro_f1", "macro-F1", "{:.3f}"),
    ("queries", "queries", "{:,}"),
    ("seconds", "seconds", "{:.0f}"),
    ("parameters", "parameters", "{:,}"),
    ("bytes", "MB", "{:.1f}"),
    ("texts_per_second", "texts/s", "{:,.0f}"),
]


def print_summary(summary: dict[str, Any], folder: str) -> None:
    """Print one row per model; a figure that a run does not have is left empty."""
    table = Table(title=f"Student of {summary['teacher'].get('name', 'the teacher')}", title_justify="left")
    table.add_column("text the student learnt from")
    for _, title, _ in COLUMNS:
        table.add_column(title, justify="right")
    rows = {"(teacher)": summary["teacher"], **summary["students"]}
    for name, figures in rows.items():
        table.add_row(name, *(_cell(figures, key, form) for key, _, form in COLUMNS))
    console = Console()
    console.print(table)
    console.print(f"{summary['teacher_queries']:,} teacher queries each; report: {folder}/report.html", highlight=False)


def _cell(figures: dict[str, Any], key: str, form: str) -> str:
    if figures.get(key) is None:
        return ""
    return form.format(figures[key] / 1e6 if key == "bytes" else figures[key])
