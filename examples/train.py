"""Train a prompter and a student from Python, then use the prompter twice more: for a dataset and for a smaller student.

python examples/train.py                # the embedded toy task, offline, a few minutes
python examples/train.py --budget 1000  # a minute, and a worse student
"""

import argparse

from prompter import Prompter, distill, evaluate, export, train


def main(folder: str, budget: int, **settings: object) -> float:
    """Run all four steps in `folder` and return the student's accuracy on real test data."""
    run = f"{folder}/run"
    task = {"teacher": "toy:sentiment", "generator": "toy", "eval_data": "toy:sentiment"}
    summary = train(output_dir=run, budget=budget, student="bert:layers=2,hidden=64", **(task | settings))
    print("accuracy of the student:", summary["students"]["prompted"]["accuracy"])

    prompter = Prompter.load(run)
    for label in prompter.labels:
        print(f"{label}:", prompter.texts(label, 2))

    quiet = settings.get("quiet")
    export(run, rows=budget // 4, output_dir=f"{folder}/dataset", quiet=quiet)
    small = {"student": ["bert:layers=1,hidden=32"], "student_updates": 100}
    distill(sources=[f"{folder}/dataset"], output_dir=f"{folder}/small", quiet=quiet, **small)

    students = [f"{run}/student", f"{folder}/small"]
    measured = evaluate(students, "toy_sentiment", teacher=str(settings.get("teacher", "toy:sentiment")), quiet=True)
    for model in measured["models"]:
        print(f"{model['model']}: {model['metrics']['accuracy']['value']:.1%}")
    return summary["students"]["prompted"]["accuracy"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default="runs/example")
    parser.add_argument("--budget", type=int, default=6000)
    main(**vars(parser.parse_args()))
