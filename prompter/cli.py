"""The command line: `prompter VERB`.

Heavy imports happen inside the verbs, so that `prompter --help` answers at once. A user's mistake ends with one line on
standard error and exit status 2, Ctrl-C with 130.
"""

import os
import shlex
import sys
from collections.abc import Callable

from distill.common.errors import InputError, did_you_mean

USAGE = """\
prompter: distil a text classifier when its training data is gone.

usage: prompter VERB [OPTIONS]

  demo           the whole idea on an embedded toy task: offline, a few minutes, ends with a report
  train          train a prompter and a student together for your teacher
  export         write a labelled synthetic data set with the prompter of a run
  distill        students from saved prompters, exported datasets, text of your own, or another method
  evaluate       measure students, beside their teacher, on a task
  evaluate-data  how good an exported dataset is, and how near to real texts
  bench          methods, tasks, budgets and students side by side, at equal cost
  tasks          the tasks there are: ls, show NAME, validate
  report         write report.html of a run again

prompter VERB --help lists a verb's options; prompter --version prints the version."""


def demo(arguments: list[str]) -> int:
    """`prompter demo`: train with `configs/toy/prompted.yaml` into `runs/demo`."""
    from distill.common.files import read_yaml
    from distill.common.precision import VARIABLE
    from prompter.runtime.shipped import config_path as find
    from prompter.training.settings import parse_settings

    # Models of a few hundred thousand parameters lose time by bf16 (docs/log.md).
    os.environ.setdefault(VARIABLE, "float32")
    shipped = read_yaml(find("configs/toy/prompted.yaml"))
    return _train(parse_settings(arguments, {"output_dir": "runs/demo"} | shipped), ["demo", *arguments])


def train(arguments: list[str]) -> int:
    """`prompter train`: settings from a file and flags."""
    from prompter.training.settings import parse_settings

    return _train(parse_settings(arguments), ["train", *arguments])


def _train(settings: "object", arguments: list[str]) -> int:
    from prompter.commands.tables import print_summary
    from prompter.training.run import train as run
    from prompter.training.settings import Settings

    assert isinstance(settings, Settings)
    try:
        summary = run(settings)
    except KeyboardInterrupt:
        summary = None
    if summary is None:
        return _stopped(arguments)
    print_summary(summary, settings.run.output_dir)
    return 0


def distill(arguments: list[str]) -> int:
    """`prompter distill`: settings from a file and flags."""
    from distill.config import DistillConfig
    from prompter.commands.tables import print_students
    from prompter.runtime.parser import parse
    from prompter.students.config import StudentsConfig
    from prompter.students.methods import CONFIGS, method_named
    from prompter.students.run import distill as run

    name = method_named(arguments)
    methods = [CONFIGS[name]] if name else []
    # Texts of a prompter that learns no more are all alike: nothing is gained by starting again with a fresh student.
    defaults = {"student_restart": bool(name)}
    config, training, *method = parse((StudentsConfig, DistillConfig, *methods), "prompter distill", arguments, defaults)
    try:
        summary = run(config, training, *method)
    except KeyboardInterrupt:
        summary = None
    if summary is None:
        return _stopped(["distill", *arguments])
    print_students(summary, config.to)
    return 0


def evaluate(arguments: list[str]) -> int:
    """`prompter evaluate MODEL...`: how good, how big, how fast."""
    import json

    from distill.common.files import without_nan, write_json
    from prompter.commands.tables import print_evaluation
    from prompter.students.evaluate_config import PRINT, parse_evaluate
    from prompter.students.evaluation import evaluate as run

    config = parse_evaluate(arguments)
    result = run(config)
    if config.json == PRINT:
        print(json.dumps(without_nan(result), indent=2, allow_nan=False))
        return 0
    print_evaluation(result)
    if config.json:
        write_json(config.json, without_nan(result))
    return 0


def tasks(arguments: list[str]) -> int:
    """`prompter tasks ls | show NAME | validate`: the tasks there are."""
    from prompter.commands.tasks import tasks as run

    return run(arguments)


def report(arguments: list[str]) -> int:
    """`prompter report RUN`: write the report of a run folder."""
    import argparse

    from eval.report.run_report import write_report

    parser = argparse.ArgumentParser(prog="prompter report", description="Write report.html of a run again.")
    parser.add_argument("run", help="folder of a run")
    print(write_report(parser.parse_args(arguments).run))
    return 0


def bench(arguments: list[str]) -> int:
    """`prompter bench --suite FILE`: run a comparison, or go on with it."""
    from prompter.bench.config import BenchConfig
    from prompter.bench.run import bench as run
    from prompter.runtime.parser import parse

    (config,) = parse((BenchConfig,), "prompter bench", arguments)
    try:
        return run(config)
    except KeyboardInterrupt:
        print(f"Stopped. Go on with: {shlex.join(['prompter', 'bench', *arguments])}", file=sys.stderr)
        return 130


def export(arguments: list[str]) -> int:
    """`prompter export RUN`: a data set from a run's prompter."""
    from prompter.exporting.config import parse_export
    from prompter.exporting.loop import export as run

    config, writer = parse_export(arguments)
    try:
        return run(config, writer)
    except KeyboardInterrupt:
        print(f"Stopped. Go on with: {shlex.join(['prompter', 'export', *arguments])}", file=sys.stderr)
        return 130


def evaluate_data(arguments: list[str]) -> int:
    """`prompter evaluate-data DIR`: figures of a corpus, alone and against real texts."""
    from rich.console import Console
    from rich.text import Text

    from eval.corpora.config import CorpusConfig
    from eval.corpora.quality import evaluate_data as run
    from eval.corpora.quality import write_results
    from eval.corpora.report import print_results
    from prompter.runtime.console import quieten
    from prompter.runtime.parser import parse

    if arguments and not arguments[0].startswith("-"):
        arguments = ["--data", *arguments]
    (config,) = parse((CorpusConfig,), "prompter evaluate-data DIR", arguments)
    with quieten(), Console(stderr=True, quiet=config.quiet).status("") as status:
        results = run(config, lambda line: status.update(Text(line)))
    write_results(results, config)
    print_results(results)
    return 0


def _stopped(arguments: list[str]) -> int:
    go_on = shlex.join(["prompter", *arguments, *([] if "--resume" in arguments else ["--resume"])])
    print(f"Stopped. Go on with: {go_on}", file=sys.stderr)
    return 130


VERBS: dict[str, Callable[[list[str]], int]] = {
    "demo": demo,
    "train": train,
    "export": export,
    "distill": distill,
    "evaluate": evaluate,
    "evaluate-data": evaluate_data,
    "bench": bench,
    "tasks": tasks,
    "report": report,
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if arguments[0] == "--version":
        from prompter import __version__

        print(f"prompter {__version__}")
        return 0
    verb, *rest = arguments
    # Tokenizers in a forked worker would only warn; rollout_func and friends are ours to test.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    try:
        if verb not in VERBS:
            raise InputError(f"unknown verb '{verb}': expected one of {', '.join(VERBS)}.{did_you_mean(verb, VERBS)}")
        return VERBS[verb](rest)
    except InputError as error:
        print(f"prompter: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("prompter: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
