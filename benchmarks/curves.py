"""Draw the curves of docs/benchmarks/ as SVG files, and print whether finished runs were stable.

    python benchmarks/curves.py accuracy docs/benchmarks/real.csv --to docs/benchmarks
    python benchmarks/curves.py stability runs/long-0 runs/long-1 runs/long-2 --to docs/benchmarks/stability.svg

`accuracy` draws one file for each task of the CSV (columns task, method, queries, mean, std, seeds; in percent). `stability`
reads the logs of runs that differ in their seed only. For each run it prints the share of distinct topics in the first and
in the last tenth of the queries, and the teacher's confidence in its best tenth and in the last. It draws both over the
queries, as mean and standard deviation over the runs.
"""

import argparse
import csv
import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from distill.common.files import write_text
from eval.report.charts import Series, line_chart, percent_mark
from eval.report.page import page

TERMS = ("distinct_topics", "confidence")


def write_svg(file: Path, name: str, series: Sequence[Series], x_label: str, y_label: str) -> None:
    """A chart that brings its colours along."""
    svg = line_chart(name, series, x_label=x_label, y_label=y_label, y_format=percent_mark)
    write_text(file, str(svg).replace("<title>", f"<style>{page('style.css.j2')}</style><title>", 1))
    print(f"wrote {file}")


def accuracy(table: Path, folder: Path) -> None:
    """One chart per task."""
    lines: dict[str, dict[str, list[tuple[float, float, float]]]] = defaultdict(lambda: defaultdict(list))
    with table.open(newline="") as rows:
        for row in csv.DictReader(rows):
            point = (float(row["queries"]), float(row["mean"]) / 100, float(row["std"]) / 100)
            lines[row["task"]][row["method"]].append(point)
    for task, methods in lines.items():
        series = [
            Series(name, [(x, y) for x, y, _ in of], spread={x: std for x, _, std in of}) for name, of in methods.items()
        ]
        write_svg(folder / f"{task}.svg", f"Accuracy on {task}", series, "teacher queries", "accuracy")


def tenths(rows: list[dict[str, float]], term: str) -> list[float]:
    """Means of a term over ten equal parts of a run."""
    return [statistics.mean(row[term] for row in rows[i * len(rows) // 10 : (i + 1) * len(rows) // 10]) for i in range(10)]


def stability(runs: list[Path], file: Path) -> None:
    """A line per run, and a chart of all."""
    logs = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in runs]
    if min(map(len, logs)) < 10:
        raise SystemExit("runs: expected at least ten rollouts in each")
    print("| run | queries | distinct topics, first tenth | last | least | confidence, best tenth | last |")
    print("|---|---|---|---|---|---|---|")
    for run, rows in zip(runs, logs, strict=True):
        topics, sure = (tenths(rows, term) for term in TERMS)
        shares = " | ".join(f"{100 * x:.1f}" for x in (topics[0], topics[-1], min(topics), max(sure), sure[-1]))
        print(f"| {run.name} | {rows[-1]['queries']:,} | {shares} |")
    queries = [float(logs[0][(2 * i + 1) * len(logs[0]) // 20]["queries"]) for i in range(10)]
    series = []
    for term in TERMS:
        values = list(zip(*(tenths(rows, term) for rows in logs), strict=True))
        points = list(zip(queries, map(statistics.mean, values), strict=True))
        spread = dict(zip(queries, map(statistics.stdev, values), strict=True)) if len(runs) > 1 else {}
        series.append(Series(term.replace("_", " "), points, spread=spread))
    name = "Distinct topics and the teacher's confidence"
    write_svg(file, name, series, "teacher queries", "share of topics; mean confidence")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    of_table = modes.add_parser("accuracy")
    of_table.add_argument("table", type=Path)
    of_runs = modes.add_parser("stability")
    of_runs.add_argument("runs", nargs="+", type=Path)
    for mode in (of_table, of_runs):
        mode.add_argument("--to", type=Path, required=True, help="folder of the curves; file for stability")
    arguments = parser.parse_args()
    if arguments.mode == "accuracy":
        accuracy(arguments.table, arguments.to)
    else:
        stability(arguments.runs, arguments.to)


if __name__ == "__main__":
    main()
