"""`prompter tasks`: what can be measured out of the box, and whether a task file is right."""

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from distill.common.errors import InputError, did_you_mean
from distill.common.terminal import one_line, open_terminal, printable
from eval.data.tasks import read_task
from prompter.runtime.shipped import find_task, task_file, task_files

HELP = "list, show and check the tasks that classifiers are measured on"
EXAMPLES = ("prompter tasks ls", "prompter tasks validate my_task.yaml --data path/to/data.jsonl")
ACTIONS = ("ls", "show", "validate")

WIDE = 70
"""Characters of a terminal from which the short columns of the list are left whole; in a narrower one they would fill it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ACTION and NAME..."""
    parser.add_argument(
        "action",
        metavar="ls|show|validate",
        nargs="?",
        help="list all; print one, to copy and change; check files and their data",
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="task or YAML file; validate checks all tasks by default")
    parser.add_argument("--data", metavar="PATH", help="validate this file or folder instead of the task's own data")


def run(values: dict[str, Any]) -> int:
    """Do one action and return the exit status."""
    action, names, data = values.get("action", ""), values.get("names", []), values.get("data")
    data = data and os.path.expanduser(data)
    if action not in ACTIONS:
        hint = did_you_mean(action, ACTIONS)
        raise InputError(f"tasks: unknown action '{action}', expected one of: {', '.join(ACTIONS)}.{hint}")
    if action == "ls":
        return list_tasks()
    if action == "show":
        if len(names) != 1:
            raise InputError("tasks show takes one name: prompter tasks show NAME")
        return show_task(names[0])
    if data and len(names) != 1:
        raise InputError("data belongs to one task: name one")
    return validate(names, data)


def list_tasks() -> int:
    """Print a row for each task that comes with the package."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    console = open_terminal()
    for title in ("task", "kind", "labels", "data", "metrics"):
        whole = title in ("task", "kind", "labels") and console.width >= WIDE
        table.add_column(title, overflow="fold", justify="right" if title == "labels" else "left", no_wrap=whole)
    for file in task_files().values():
        task = read_task(file)
        data = f"{task.data}:{task.config}" if task.config else task.data
        cells = (task.name, task.answers, str(len(task.labels)), data, " ".join(task.metrics))
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    console.print(table)
    return 0


def show_task(name: str) -> int:
    """Print a task's file, to copy and change."""
    print(printable(task_file(name).read_text(encoding="utf-8")), end="")
    return 0


def validate(names: list[str], where: str | None) -> int:
    """Read each task and, where it can be reached, its data.

    Returns:
        2 where a task is wrong, else 0.
    """
    from prompter.runtime.console import quieten

    status = 0
    with quieten(), patient_once() as give_up:
        for name in names or list(task_files()):
            status = max(status, _validate_one(name, where, give_up))
    return status


@contextmanager
def patient_once() -> Iterator[Callable[[], None]]:
    """Yield a function that puts the hub's client offline until the end of the block.

    The client waits half a minute for a hub that cannot be reached. Once is enough; what its cache holds still opens.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE

    def give_up() -> None:
        constants.HF_HUB_OFFLINE = True

    try:
        yield give_up
    finally:
        constants.HF_HUB_OFFLINE = before


def _validate_one(name: str, where: str | None, give_up: Callable[[], None]) -> int:
    """Say whether one task is right, and return the exit status."""
    from eval.data.reading import NotReachable
    from eval.data.tasks import describe, same_names, task_data

    try:
        task = find_task(name)
        data = task_data(task, where)
    except NotReachable as error:
        print(one_line(f"{name}: the file is right; its data is not reachable: {error}"))
        give_up()
        return 0
    except InputError as error:
        print(one_line(f"{name}: WRONG: {error}"))
        return 2
    found = describe(data, task)
    print(one_line(f"{name}: right; {found['rows']:,} rows: {_counts(found)}"))
    if data.class_names and not same_names(data.class_names, task.labels):
        line = f"{name}: the data calls its classes {', '.join(data.class_names)}; they were taken in this order"
        print(one_line(line))
    return 0


def _counts(found: dict[str, Any]) -> str:
    """Return what the rows of a task hold, in words."""
    if "mean" in found:
        return f"scores from {found['lowest']:g} to {found['highest']:g}, {found['mean']:.3g} on average"
    counts = ", ".join(f"{label} {count:,}" for label, count in (found.get("classes") or found["entities"]).items())
    return f"{found['words']:,} words, entities {counts}" if "words" in found else counts
