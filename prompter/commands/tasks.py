"""`prompter tasks`: what can be measured out of the box, and whether a task file is right."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from huggingface_hub import constants
from rich import box
from rich.console import Console
from rich.table import Table

from distill.common.errors import InputError, did_you_mean
from eval.data.reading import NotReachable
from eval.data.tasks import Task, describe, read_task, same_names, task_data
from prompter.runtime.console import quieten
from prompter.runtime.shipped import task_file, task_files


def find_task(name: str) -> Task:
    """Read a task by its name, or from its file.

    Raises:
        InputError: See `task_file` and `eval.data.tasks.read_task`.
    """
    return read_task(task_file(name))


def list_tasks() -> int:
    """`prompter tasks ls`."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for title in ("task", "kind", "classes", "data", "primary metric"):
        table.add_column(title, overflow="fold", justify="right" if title == "classes" else "left")
    for file in task_files().values():
        task = read_task(file)
        data = f"{task.data}:{task.config}" if task.config else task.data
        table.add_row(task.name, task.kind, str(len(task.labels)), data, task.metrics[0])
    Console().print(table)
    return 0


def show_task(name: str) -> int:
    """`prompter tasks show NAME`: the task's file, to copy and change."""
    print(task_file(name).read_text(encoding="utf-8"), end="")
    return 0


def validate(names: list[str], where: str | None) -> int:
    """`prompter tasks validate`: read each task and, where it can be reached, its data.

    Returns:
        2 where a task is wrong, else 0.
    """
    status = 0
    with quieten(), patient_once() as give_up:
        for name in names or list(task_files()):
            status = max(status, _validate_one(name, where, give_up))
    return status


@contextmanager
def patient_once() -> Iterator[Callable[[], None]]:
    """Yield a function that puts the hub's client offline until the end of the block.

    It waits half a minute for a hub that cannot be reached, which is enough once; what its cache holds opens all the same.
    """
    before = constants.HF_HUB_OFFLINE

    def give_up() -> None:
        constants.HF_HUB_OFFLINE = True

    try:
        yield give_up
    finally:
        constants.HF_HUB_OFFLINE = before


def _validate_one(name: str, where: str | None, give_up: Callable[[], None]) -> int:
    """Say how it stands with one task; returns the exit status."""
    try:
        task = find_task(name)
        data = task_data(task, where)
    except NotReachable as error:
        print(f"{name}: the file is right; its data is not reachable: {error}")
        give_up()
        return 0
    except InputError as error:
        print(f"{name}: WRONG: {error}")
        return 2
    found = describe(data, task)
    counts = ", ".join(f"{label} {count:,}" for label, count in found["classes"].items())
    print(f"{name}: right; {found['rows']:,} rows: {counts}")
    if data.class_names and not same_names(data.class_names, task.labels):
        print(f"{name}: the data calls its classes {', '.join(data.class_names)}; they were taken in this order")
    return 0


def tasks(arguments: list[str]) -> int:
    """`prompter tasks ls | show NAME | validate [NAME|FILE...] [--data PATH]`; returns the exit status.

    Raises:
        InputError: There is no such action or task.
    """
    parser = argparse.ArgumentParser(prog="prompter tasks", description="Tasks that prompter evaluate measures on.")
    actions = parser.add_subparsers(dest="action", metavar="ls|show|validate")
    actions.add_parser("ls", help="list the tasks that come with the package")
    one = actions.add_parser("show", help="print the file of a task, to copy and change")
    one.add_argument("name", metavar="NAME")
    some = actions.add_parser("validate", help="check task files, and their data where it can be reached")
    some.add_argument("names", metavar="NAME|FILE", nargs="*", help="default: all that come with the package")
    some.add_argument("--data", metavar="PATH", help="read this file or folder instead of the task's own data")
    if arguments and not arguments[0].startswith("-") and arguments[0] not in actions.choices:
        raise InputError(
            f"tasks: unknown action '{arguments[0]}', expected one of ls, show, validate."
            f"{did_you_mean(arguments[0], actions.choices)}"
        )
    given = parser.parse_args(arguments or ["--help"])
    if given.action == "ls":
        return list_tasks()
    if given.action == "show":
        return show_task(given.name)
    if given.data and len(given.names) != 1:
        raise InputError("data is that of one task: name one")
    return validate(given.names, given.data)
