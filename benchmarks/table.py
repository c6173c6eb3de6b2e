"""Print one Markdown table from finished runs: mean and standard deviation over seeds, for each text a student learnt from.

    python benchmarks/table.py runs/ag_news-0 runs/ag_news-1 runs/ag_news-2

Runs that differ in anything but their seed are refused, so that a row never mixes two settings.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

from prompter.bench.results import GRADES

FREE = {"seed", "output_dir", "quiet", "resume", "save_every", "sample_every", "report_to"}


def mean_std(values: list[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.1f} ± {spread:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    summaries = [json.loads((run / "summary.json").read_text()) for run in parser.parse_args().runs]
    settings = [{key: value for key, value in s["config"].items() if key not in FREE} for s in summaries]
    for other in settings[1:]:
        if other != settings[0]:
            keys = [key for key in settings[0] if other.get(key) != settings[0][key]]
            sys.exit(f"the runs differ in more than their seed: {', '.join(keys)}")

    first = summaries[0]
    seeds = ", ".join(str(s["seed"]) for s in summaries)
    config = first["config"]
    print(
        f"Teacher accuracy {100 * first['teacher']['accuracy']:.1f}; student `{config['student']}`, "
        f"{first['teacher_queries']:,} teacher queries, {config['student_updates']:,} updates of "
        f"{config['student_batch_size']} texts; seeds {seeds}.\n"
    )
    print("| text the student learnt from | grade | accuracy | each seed | macro-F1 | agreement |")
    print("|---|---|---|---|---|---|")
    names = sorted(first["students"], key=lambda n: -statistics.mean(s["students"][n]["accuracy"] for s in summaries))
    for name in names:
        rows = [s["students"][name] for s in summaries]
        accuracy, f1, agreement = (mean_std([100 * row[key] for row in rows]) for key in ("accuracy", "macro_f1", "agreement"))
        each = ", ".join(f"{100 * row['accuracy']:.1f}" for row in rows)
        print(f"| {name} | {GRADES[name]} | {accuracy} | {each} | {f1} | {agreement} |")
    if {"prompted", "unprompted"} <= set(names):
        gains = [100 * (s["students"]["prompted"]["accuracy"] - s["students"]["unprompted"]["accuracy"]) for s in summaries]
        print(f"\nPrompted over unprompted: {mean_std(gains)} points ({', '.join(f'{gain:+.1f}' for gain in gains)}).")


if __name__ == "__main__":
    main()
