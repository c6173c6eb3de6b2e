"""The results of a suite: rows as Parquet, and tables with mean and standard deviation over seeds."""

import re
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
from eval.classifiers.health import CODES
from eval.report.scores import SCORES
from prompter.bench.suite import PROMPTED
from prompter.training.baseline_names import BASELINE_SOURCES, BASELINES

Row = Mapping[str, Any]

GRADES = {
    PROMPTED: "language model",
    **dict.fromkeys(BASELINES, "language model"),
    **{name: {"corpus": "corpus", "real_data": "real text"}[source] for name, source in BASELINE_SOURCES.items()},
    "supervised": "real text and labels",
    **{name: method.grade for name, method in METHODS.items()},
}
"""Grade of data-freeness: what the texts of a student needed beside the teacher, by the kind of these texts (`Cell.text`)."""

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("task", "method", "student", "initialisation", "grade", "text", "error", "health")),
        *((name, pa.int64()) for name in ("budget", "seed", "texts", "queries", "updates", "parameters", "n")),
        *((name, pa.float64()) for name in ("accuracy", "macro_f1", "agreement", "teacher_accuracy", "seconds")),
        *((name, pa.float64()) for name in ("score", "teacher_score")),
        ("metric", pa.string()),
    ]
)


@dataclass(frozen=True)
class Summary:
    """One method at one budget, over its seeds.

    Attributes:
        scores: The task's metric of each seed that did not fail: accuracy in [0, 1], or another.
        agreements: Agreement with the teacher of each such seed, in [0, 1].
        seconds: Seconds of each such seed.
    """

    scores: list[float]
    agreements: list[float]
    seconds: list[float]

    @property
    def mean(self) -> float:
        """Return the mean score."""
        return statistics.mean(self.scores)

    @property
    def std(self) -> float:
        """Return the sample standard deviation of the score; 0 for a single seed."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else 0.0


def initialisation(student: str) -> str:
    """Return where a student's weights come from before training.

    Examples:
        >>> initialisation("bert:layers=2,hidden=128"), initialisation("teacher-layers:0,2"), initialisation("models/tiny")
        ('random', "teacher's layers", 'pre-trained')
    """
    kind, colon, rest = student.partition(":")
    if kind == "teacher-layers" or student == "static:from-teacher":
        return "teacher's layers"
    return "random" if colon and "=" in rest else "pre-trained"


def write_parquet(rows: Sequence[Row], file: Path) -> None:
    """Write one row per cell. The row of a failed cell holds its `error`."""
    full = [{**row, "initialisation": initialisation(row["student"]), "grade": GRADES[row["text"]]} for row in rows]
    replace_file(file, lambda temporary: pq.write_table(pa.Table.from_pylist(full, schema=SCHEMA), temporary))


def comparisons(rows: Iterable[Row]) -> dict[tuple[str, str], dict[str, dict[int, Summary]]]:
    """Group rows by (task, student), then method, then budget. Methods are sorted by their mean at the largest budget."""
    found: dict[tuple[str, str], dict[str, dict[int, list[Row]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for row in rows:
        if row.get("error") is None:
            found[row["task"], row["student"]][row["method"]][row["budget"]].append(row)
    sorted_: dict[tuple[str, str], dict[str, dict[int, Summary]]] = {}
    for pair, methods in found.items():
        summaries = {
            method: {
                budget: Summary(*([row[key] for row in seeds] for key in ("score", "agreement", "seconds")))
                for budget, seeds in sorted(budgets.items())
            }
            for method, budgets in methods.items()
        }
        order = sorted(summaries, key=lambda name: (-max(summaries[name]), -summaries[name][max(summaries[name])].mean))
        sorted_[pair] = {name: summaries[name] for name in order}
    return sorted_


def cell_text(summary: Summary | None) -> str:
    """Return the score times 100: mean, standard deviation, and the number of seeds.

    Examples:
        >>> cell_text(Summary([0.8, 0.82], [0.9, 0.9], [1.0, 1.0])), cell_text(None)
        ('81.0 ± 1.4 (2)', '–')
    """
    if summary is None:
        return "–"
    return f"{100 * summary.mean:.1f} ± {100 * summary.std:.1f} ({len(summary.scores)})"


def markdown_tables(name: str, rows: Sequence[Row]) -> str:
    """Return the tables of a suite as a Markdown page."""
    lines = [
        f"# {name}",
        "",
        f"{_measured_by(rows)} on real test data: mean ± standard deviation over seeds (number of seeds). All students of a",
        "column cost the same number of teacher queries and made the same number of updates. *Grade* is what a method needs",
        "beside the teacher.",
    ]
    for (task, student), methods in comparisons(rows).items():
        here = [row for row in rows if (row["task"], row["student"]) == (task, student) and row.get("error") is None]
        lines += _comparison(task, student, methods, here)
    lines += ["", "Agreement with the teacher and seconds: means at a method's largest budget.", "", "## Every cell", ""]
    lines += _cells(rows)
    if ill := unhealthy(rows):
        lines += ["", "## What runs found wrong with themselves", ""]
        lines += [f"- {_place(row)}: {', '.join(codes)}" for row, codes in ill]
        lines += ["", "The codes are those of docs/how-to/when-a-run-fails.md. H02: the student is worth nothing."]
    failed = [row for row in rows if row.get("error") is not None]
    if failed:
        lines += ["", "## What failed", ""]
        lines += [f"- {_place(row)}: " + " ".join(str(row["error"]).split()).replace("<", "\\<") for row in failed]
    return "\n".join(lines) + "\n"


def unhealthy(rows: Sequence[Row]) -> list[tuple[Row, list[str]]]:
    """Return the rows of prompters that found something wrong with their run, each with the codes and their names.

    Examples:
        >>> unhealthy([{"health": "H02"}, {"health": ""}, {}])
        [({'health': 'H02'}, ['H02 no agreement'])]
    """
    named = [(row, str(row.get("health") or "").split()) for row in rows]
    return [(row, [f"{code} {CODES[code].name}" for code in codes]) for row, codes in named if codes]


def _place(row: Row) -> str:
    """Say which cell a row is of."""
    task, method = _plain(row["task"]), _plain(row["method"])
    return f"{task}, {_code(row['student'])}, {method}, {row['budget']:,} queries, seed {row['seed']}"


def _plain(name: str) -> str:
    r"""Return a name as it can stand in a Markdown table: one line, without markup.

    Examples:
        >>> _plain("a|<b> ag_news")
        'a\\|\\<b> ag_news'
    """
    return re.sub(r"[`*|<]", r"\\\g<0>", " ".join(name.split()))


def _code(name: str) -> str:
    """Return a name as code in a Markdown table."""
    return "`" + " ".join(name.split()).replace("`", "'").replace("|", "\\|") + "`"


def _comparison(task: str, student: str, methods: Mapping[str, Mapping[int, Summary]], rows: Sequence[Row]) -> list[str]:
    """Return the lines of the table that compares the methods for one task and one student."""
    budgets = sorted({budget for of in methods.values() for budget in of})
    updates = {row["budget"]: f"{row['updates']:,}" for row in rows}
    grades = {row["method"]: GRADES[row["text"]] for row in rows}
    lines = [
        "",
        f"## {_plain(task)}, student {_code(student)} ({initialisation(student)} weights)",
        "",
        f"Teacher {100 * rows[0]['teacher_score']:.1f}{_metric_of(rows)} on {rows[0]['n']:,} rows; student updates: "
        + (updates[budgets[0]] if len(set(updates.values())) == 1 else ", ".join(updates[budget] for budget in budgets))
        + ".",
        "",
        "| method | grade | " + " | ".join(f"{budget:,} queries" for budget in budgets) + " | agreement | seconds |",
        "|---|---|" + "---|" * (len(budgets) + 2),
    ]
    for method, of in methods.items():
        last = of[max(of)]
        lines.append(
            f"| {_plain(method)} | {grades[method]} | "
            + " | ".join(cell_text(of.get(budget)) for budget in budgets)
            + f" | {100 * statistics.mean(last.agreements):.1f} | {statistics.mean(last.seconds):.0f} |"
        )
    return lines


def _cells(rows: Sequence[Row]) -> list[str]:
    """Return the lines of the table of all cells; a column names and holds the task's metric if it is not always accuracy."""
    other = not _metrics(rows) <= {"accuracy"}
    lines = [
        f"| task | student | method | queries | seed | accuracy | agreement | macro-F1 |{' metric |' * other}",
        f"|---|---|---|---|---|---|---|---|{'---|' * other}",
    ]
    for row in rows:
        task, student, method = _plain(row["task"]), _code(row["student"]), _plain(row["method"])
        start = f"| {task} | {student} | {method} | {row['budget']:,} | {row['seed']} | "
        if row.get("error") is not None:
            lines.append(start + "failed | | |" + " |" * other)
        else:
            last = f" {metric_name(row['metric'])} {100 * row['score']:.1f} |" if other else ""
            shown = ("accuracy", "agreement", "macro_f1")
            figures = " | ".join("–" if row[key] is None else f"{100 * row[key]:.1f}" for key in shown)
            lines.append(f"{start}{figures} |{last}")
    return lines


def metric_name(metric: str) -> str:
    """Return a metric as people write it.

    Examples:
        >>> metric_name("matthews_correlation")
        'Matthews correlation'
    """
    return SCORES[metric].name if metric in SCORES else metric.replace("_", " ")


def unit(metric: str) -> str:
    """Return what stands behind a value times 100.

    Examples:
        >>> unit("accuracy"), unit("matthews_correlation")
        ('%', '(Matthews correlation times 100)')
    """
    return "%" if metric == "accuracy" else f"({metric_name(metric)} times 100)"


def measured_by(metric: str) -> str:
    """Say what a table of one metric holds.

    Examples:
        >>> measured_by("accuracy"), measured_by("pearson")
        ('Accuracy in percent', 'Pearson correlation times 100')
    """
    return "Accuracy in percent" if metric == "accuracy" else f"{metric_name(metric)} times 100"


def _measured_by(rows: Sequence[Row]) -> str:
    """Say what the tables hold."""
    if _metrics(rows) <= {"accuracy"}:
        return measured_by("accuracy")
    return "The task's metric (accuracy where no other is named) times 100"


def _metric_of(rows: Sequence[Row]) -> str:
    """Name the metric of a table, unless it is accuracy."""
    others = _metrics(rows) - {"accuracy"}
    return f" ({', '.join(sorted(map(metric_name, others)))} times 100)" if others else ""


def _metrics(rows: Sequence[Row]) -> set[str]:
    return {row["metric"] for row in rows if row.get("error") is None}
