"""What a suite found: rows as Parquet, and tables of mean and standard deviation over seeds."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from distill.common.files import replace_file
from distill.methods.table import METHODS

Row = Mapping[str, Any]

GRADES = {
    "prompted": "language model",
    "unprompted": "language model",
    "unprompted-hot": "language model",
    "class-names": "language model",
    "random-topics": "language model",
    "selected-topics": "language model",
    **{name: method.grade for name, method in METHODS.items()},
    "random-words": "corpus",
    "corpus": "corpus",
    "real": "real text",
    "supervised": "real text and labels",
}
"""Grade of data-freeness: what was needed beside the teacher, by the text that a student learnt from."""

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("task", "method", "student", "initialisation", "grade", "text", "error")),
        *((name, pa.int64()) for name in ("budget", "seed", "texts", "queries", "updates", "parameters", "n")),
        *((name, pa.float64()) for name in ("accuracy", "macro_f1", "agreement", "teacher_accuracy", "seconds")),
    ]
)


@dataclass(frozen=True)
class Summary:
    """One method at one budget, over its seeds.

    Attributes:
        accuracies: Of each seed that came through, in [0, 1].
        agreements: Likewise.
        seconds: Likewise.
    """

    accuracies: list[float]
    agreements: list[float]
    seconds: list[float]

    @property
    def mean(self) -> float:
        """Mean accuracy."""
        return statistics.mean(self.accuracies)

    @property
    def std(self) -> float:
        """Sample standard deviation of the accuracy; 0 for a single seed."""
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0


def initialisation(student: str) -> str:
    """What a student's weights are before it learns.

    Examples:
        >>> initialisation("bert:layers=2,hidden=128"), initialisation("teacher-layers:0,2"), initialisation("models/tiny")
        ('random', "teacher's layers", 'pre-trained')
    """
    kind, colon, rest = student.partition(":")
    if kind == "teacher-layers":
        return "teacher's layers"
    return "random" if colon and "=" in rest else "pre-trained"


def write_parquet(rows: Sequence[Row], file: Path) -> None:
    """Write one row per cell, those that failed with their `error`."""
    full = [{**row, "initialisation": initialisation(row["student"]), "grade": GRADES[row["text"]]} for row in rows]
    replace_file(file, lambda temporary: pq.write_table(pa.Table.from_pylist(full, schema=SCHEMA), temporary))


def comparisons(rows: Iterable[Row]) -> dict[tuple[str, str], dict[str, dict[int, Summary]]]:
    """Sort rows by (task, student), then method, then budget; methods with the best mean at the largest budget first."""
    found: dict[tuple[str, str], dict[str, dict[int, list[Row]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for row in rows:
        if row.get("error") is None:
            found[row["task"], row["student"]][row["method"]][row["budget"]].append(row)
    sorted_: dict[tuple[str, str], dict[str, dict[int, Summary]]] = {}
    for pair, methods in found.items():
        summaries = {
            method: {
                budget: Summary(*([row[key] for row in seeds] for key in ("accuracy", "agreement", "seconds")))
                for budget, seeds in sorted(budgets.items())
            }
            for method, budgets in methods.items()
        }
        order = sorted(summaries, key=lambda name: (-max(summaries[name]), -summaries[name][max(summaries[name])].mean))
        sorted_[pair] = {name: summaries[name] for name in order}
    return sorted_


def cell_text(summary: Summary | None) -> str:
    """Accuracy in percent: mean, standard deviation, and the number of seeds.

    Examples:
        >>> cell_text(Summary([0.8, 0.82], [0.9, 0.9], [1.0, 1.0])), cell_text(None)
        ('81.0 ± 1.4 (2)', '–')
    """
    if summary is None:
        return "–"
    return f"{100 * summary.mean:.1f} ± {100 * summary.std:.1f} ({len(summary.accuracies)})"


def markdown(name: str, rows: Sequence[Row]) -> str:
    """The tables of a suite as a Markdown page."""
    lines = [
        f"# {name}",
        "",
        "Accuracy in percent on real test data: mean ± standard deviation over seeds (number of seeds). Every student of a",
        "column cost that many teacher queries and made as many updates. *Grade* says what was needed beside the teacher.",
    ]
    for (task, student), methods in comparisons(rows).items():
        budgets = sorted({budget for of in methods.values() for budget in of})
        here = [row for row in rows if (row["task"], row["student"]) == (task, student) and row.get("error") is None]
        updates = {row["budget"]: f"{row['updates']:,}" for row in here}
        lines += [
            "",
            f"## {task}, student `{student}` ({initialisation(student)} weights)",
            "",
            f"Teacher {100 * here[0]['teacher_accuracy']:.1f} on {here[0]['n']:,} rows; student updates: "
            + (updates[budgets[0]] if len(set(updates.values())) == 1 else ", ".join(updates[budget] for budget in budgets))
            + ".",
            "",
            "| method | grade | " + " | ".join(f"{budget:,} queries" for budget in budgets) + " | agreement | seconds |",
            "|---|---|" + "---|" * (len(budgets) + 2),
        ]
        texts = {row["method"]: row["text"] for row in rows}
        for method, of in methods.items():
            last = of[max(of)]
            lines.append(
                f"| {method} | {GRADES[texts[method]]} | "
                + " | ".join(cell_text(of.get(budget)) for budget in budgets)
                + f" | {100 * statistics.mean(last.agreements):.1f} | {statistics.mean(last.seconds):.0f} |"
            )
    lines += ["", "Agreement with the teacher and seconds: means at a method's largest budget.", "", "## Every cell", ""]
    lines += [
        "| task | student | method | queries | seed | accuracy | agreement | macro-F1 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        start = f"| {row['task']} | `{row['student']}` | {row['method']} | {row['budget']:,} | {row['seed']} | "
        if row.get("error") is not None:
            lines.append(start + "failed | | |")
        else:
            lines.append(start + " | ".join(f"{100 * row[key]:.1f}" for key in ("accuracy", "agreement", "macro_f1")) + " |")
    failed = [row for row in rows if row.get("error") is not None]
    if failed:
        lines += ["", "## What failed", ""]
        lines += [
            f"- {row['task']}, `{row['student']}`, {row['method']}, {row['budget']:,} queries, seed {row['seed']}: "
            + " ".join(str(row["error"]).split())
            for row in failed
        ]
    return "\n".join(lines) + "\n"
