"""Finished runs again with another number of student updates: the same texts and answers, a fresh student for each row.

    python benchmarks/student_updates.py runs/ag_news-0 runs/ag_news-1 --updates 600 --rows prompted unprompted

The prompter is not trained again: its texts are those in the run's last checkpoint, as they were judged. A control writes
the texts it wrote before. With the run's own number of updates every figure of the run comes out again.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path

from table import mean_std

from distill.common.files import read_yaml
from distill.distiller import Distiller
from eval.classifiers.scoring import score
from prompter.runtime.console import Console
from prompter.runtime.run_folder import RunFolder
from prompter.training.baselines import distil_baseline
from prompter.training.callback import DISTILLER
from prompter.training.settings import settings_from
from prompter.training.setup import load_models, new_student


def accuracies(run: Path, updates: int, rows: list[str]) -> dict[str, float]:
    """Accuracy of each row, in percent."""
    flags = read_yaml(run / "config.yaml") | {"compare": [row for row in rows if row != "prompted"], "resume": False}
    settings = settings_from(flags)
    found = {}
    with Console(quiet=True) as show, tempfile.TemporaryDirectory() as scratch:
        models = load_models(settings, show)
        folder = RunFolder(scratch)
        training = settings.distill
        settings = dataclasses.replace(settings, distill=dataclasses.replace(training, student_updates=updates))
        for row in rows:
            if row == "prompted":
                checkpoint, _ = RunFolder(run).last_checkpoint()
                distiller = Distiller(new_student(settings, models), training, settings.run.budget, settings.run.seed)
                distiller.load(checkpoint / DISTILLER)
                distiller.config = settings.distill
                distiller.restart(new_student(settings, models))
                distiller.finish()
                student = distiller.student
            else:
                student, _ = distil_baseline(row, settings, models, folder, show)
            found[row] = 100 * score(student, models.evaluation)["accuracy"]
            print(f"{run}: {row} {found[row]:.1f}", flush=True)
        folder.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--updates", type=int, required=True)
    parser.add_argument("--rows", nargs="+", default=["prompted", "unprompted"])
    args = parser.parse_args()
    found = [accuracies(run, args.updates, args.rows) for run in args.runs]
    for row in args.rows:
        values = [figures[row] for figures in found]
        print(f"{row:16}{mean_std(values)}  ({', '.join(f'{value:.1f}' for value in values)})")


if __name__ == "__main__":
    main()
