"""The page of a suite: curves of accuracy over teacher queries, and the tables, in one HTML file without scripts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distill.common.files import write_text
from distill.methods.table import METHODS
from eval.report.charts import Series, line_chart, percent_mark
from eval.report.page import page
from prompter.bench.results import (
    GRADES,
    Row,
    Summary,
    cell_text,
    comparisons,
    initialisation,
    measured_by,
    metric_name,
    unhealthy,
    unit,
)
from prompter.bench.suite import PROMPTED, PROMPTERS
from prompter.training.baseline_names import BASELINES

GROUPS: dict[str, tuple[str, ...]] = {
    "Prompted, and the same writer without a prompter": (
        *("unprompted", "unprompted-hot", "class-prompts", "screened-class-prompts", "class-names"),
    ),
    "Prompted, and what learning is worth": ("untrained",),
    "Prompted, and the same writer after random openings": ("random-topics", "selected-topics"),
    "Prompted, and text from elsewhere": ("corpus", "random-words", "real", "supervised"),
    "Prompted, and the other published methods": tuple(METHODS),
    "Algorithms": ("prompted-grpo", "prompted-rloo"),
    "Terms of the reward switched off": tuple(name for name in PROMPTERS if name.startswith("no-")),
}
"""Titles of the charts, and the methods that each chart shows beside the prompted one."""


def write_page(name: str, rows: Sequence[Row], file: Path) -> None:
    """Write the page of a suite."""
    texts = {row["method"]: row["text"] for row in rows}
    sections = []
    for (task, student), methods in comparisons(rows).items():
        budgets = sorted({budget for of in methods.values() for budget in of})
        here = [row for row in rows if (row["task"], row["student"]) == (task, student) and row.get("error") is None]
        metric = str(here[0]["metric"])
        sections.append(
            {
                "title": task,
                "student": student,
                "initialisation": initialisation(student),
                "budgets": budgets,
                "measured": measured_by(metric),
                "teacher": f"{100 * here[0]['teacher_score']:.1f} {unit(metric)} on {here[0]['n']:,} rows",
                "verdict": leading_sentence(methods, unit(metric)),
                "charts": score_charts(methods, metric),
                "rows": [
                    {"method": method, "grade": GRADES[texts[method]], "cells": [cell_text(of.get(b)) for b in budgets]}
                    for method, of in methods.items()
                ],
            }
        )
    failed = [row for row in rows if row.get("error") is not None]
    ill = [dict(row) | {"health": ", ".join(codes)} for row, codes in unhealthy(rows)]
    done = len(rows) - len(failed)
    write_text(file, page("bench.html.j2", title=name, sections=sections, cells=done, failed=failed, unhealthy=ill))


def leading_sentence(methods: dict[str, dict[int, Summary]], unit: str) -> str:
    """Return a sentence that compares the prompted student with the baselines, at the largest budget of prompting."""
    if PROMPTED not in methods:
        return ""
    budget = max(methods[PROMPTED])
    own = methods[PROMPTED][budget]
    others = {name: of[budget] for name, of in methods.items() if budget in of and name in BASELINES}
    sentence = f"With {budget:,} teacher queries the prompted student reaches {100 * own.mean:.1f} {unit}"
    rivals = {name: summary for name, summary in others.items() if name not in ("real", "supervised")}
    if rivals:
        best = max(rivals, key=lambda name: rivals[name].mean)
        difference = 100 * (own.mean - rivals[best].mean)
        side = "above" if difference >= 0 else "below"
        sentence += f", {abs(difference):.1f} points {side} the best baseline ({best}, {100 * rivals[best].mean:.1f} {unit})"
    if "real" in others:
        sentence += f"; real text gives {100 * others['real'].mean:.1f} {unit}"
    return sentence + "."


def score_charts(methods: dict[str, dict[int, Summary]], metric: str) -> list[dict[str, Any]]:
    """Draw the task's metric over teacher queries: a chart for each of `GROUPS`, all on the same scale."""
    known = {PROMPTED, *(name for group in GROUPS.values() for name in group)}
    groups = {**GROUPS, "Methods of this suite's own": tuple(name for name in methods if name not in known)}
    summaries = [summary for of in methods.values() for summary in of.values()]
    reach = [edge for summary in summaries for edge in (summary.mean - summary.std, summary.mean + summary.std)]
    drawn = []
    for title, group in groups.items():
        others = [name for name in methods if name in group]
        if others:
            series = [_series(name, methods[name]) for name in [*([PROMPTED] if PROMPTED in methods else []), *others]]
            options: dict[str, Any] = {"y_format": percent_mark} if metric == "accuracy" else {}
            svg = line_chart(title, series, x_label="teacher queries", y_label=metric_name(metric), reach=reach, **options)
            drawn.append({"title": title, "svg": svg})
    return drawn


def _series(name: str, of: dict[int, Summary]) -> Series:
    return Series(
        name,
        [(float(budget), summary.mean) for budget, summary in of.items()],
        spread={float(budget): summary.std for budget, summary in of.items() if summary.std},
    )
