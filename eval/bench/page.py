"""The page of a suite: curves of accuracy against teacher queries, and the tables, in one HTML file without scripts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distill.files import write_text
from eval.bench.results import GRADES, Row, Summary, cell_text, comparisons, initialisation
from eval.bench.suite import METHODS, PROMPTED
from eval.charts import Series, line_chart, percent_mark
from eval.report import page

LARGEST_CHART = 6
"""Lines of a chart; a chart has as many strokes that can be told apart."""


def write_page(name: str, rows: Sequence[Row], file: Path) -> None:
    """Write the page of a suite."""
    texts = {row["method"]: row["text"] for row in rows}
    sections = []
    for (task, student), methods in comparisons(rows).items():
        budgets = sorted({budget for of in methods.values() for budget in of})
        sections.append(
            {
                "title": task,
                "student": student,
                "initialisation": initialisation(student),
                "budgets": budgets,
                "verdict": verdict(methods),
                "charts": charts(methods),
                "rows": [
                    {"method": method, "grade": GRADES[texts[method]], "cells": [cell_text(of.get(b)) for b in budgets]}
                    for method, of in methods.items()
                ],
            }
        )
    failed = [row for row in rows if row.get("error") is not None]
    write_text(file, page("bench.html.j2", title=name, sections=sections, cells=len(rows), failed=failed))


def verdict(methods: dict[str, dict[int, Summary]]) -> str:
    """Say in one sentence how prompting did at the largest budget that it has in common with others."""
    if PROMPTED not in methods:
        return ""
    budget = max(methods[PROMPTED])
    own = methods[PROMPTED][budget]
    others = {name: of[budget] for name, of in methods.items() if budget in of and name not in METHODS}
    sentence = f"With {budget:,} teacher queries the prompted student reaches {100 * own.mean:.1f} %"
    rivals = {name: summary for name, summary in others.items() if name not in ("real", "supervised")}
    if rivals:
        best = max(rivals, key=lambda name: rivals[name].mean)
        difference = 100 * (own.mean - rivals[best].mean)
        side = "above" if difference >= 0 else "below"
        sentence += f", {abs(difference):.1f} points {side} the best control ({best}, {100 * rivals[best].mean:.1f} %)"
    if "real" in others:
        sentence += f"; real text gives {100 * others['real'].mean:.1f} %"
    return sentence + "."


def charts(methods: dict[str, dict[int, Summary]]) -> list[dict[str, Any]]:
    """Accuracy against queries: prompting among its controls, and among its own variants."""
    groups = {
        "Prompted text and other text": [name for name in methods if name == PROMPTED or name not in METHODS],
        "Variants of the prompter": [name for name in methods if name in METHODS],
    }
    drawn = []
    for title, names in groups.items():
        if len(names) < 2:
            continue
        for first in range(0, len(names), LARGEST_CHART):
            series = [_series(name, methods[name]) for name in names[first : first + LARGEST_CHART]]
            more = f" ({first // LARGEST_CHART + 1})" if len(names) > LARGEST_CHART else ""
            svg = line_chart(title + more, series, x_label="teacher queries", y_label="accuracy", y_format=percent_mark)
            drawn.append({"title": title + more, "svg": svg})
    return drawn


def _series(name: str, of: dict[int, Summary]) -> Series:
    return Series(
        name,
        [(float(budget), summary.mean) for budget, summary in of.items()],
        spread={float(budget): summary.std for budget, summary in of.items() if summary.std},
    )
