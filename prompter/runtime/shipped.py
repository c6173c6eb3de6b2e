"""The configuration and task files that come with the package."""

from pathlib import Path

from distill.common.errors import InputError, did_you_mean
from eval.data.tasks import Task, read_task

SHIPPED = (Path(__file__).parents[1] / "_configs", Path(__file__).parents[2] / "configs")
"""Where the configurations lie that come with the package: of a wheel, of a checkout."""


def config_path(name: str) -> Path:
    """The configuration file of that name: as given, or among those that come with the package.

    Raises:
        InputError: There is no such file.
    """
    for file in [
        Path(name).expanduser(),
        *(folder / Path(name).relative_to("configs") for folder in SHIPPED if name.startswith("configs/")),
    ]:
        if file.is_file():
            return file
    raise InputError(f"config '{name}' is not a file: give the path of a YAML file, for example configs/toy/prompted.yaml")


def task_files() -> dict[str, Path]:
    """The task files that come with the package, by name, in alphabetical order."""
    return {file.stem: file for folder in SHIPPED for file in sorted((folder / "tasks").glob("*.yaml"))}


def task_file(name: str) -> Path:
    """The file of a task.

    Args:
        name: Name of a task that comes with the package, or path of a YAML file.

    Raises:
        InputError: There is neither; the nearest name is suggested.
    """
    shipped = task_files()
    if name in shipped:
        return shipped[name]
    if name.endswith((".yaml", ".yml")):
        return config_path(name)
    raise InputError(
        f"task '{name}' is unknown: give the path of a YAML file, or one of {', '.join(shipped)}.{did_you_mean(name, shipped)}"
    )


def find_task(name: str) -> Task:
    """Read a task by its name, or from its file.

    Raises:
        InputError: See `task_file` and `eval.data.tasks.read_task`.
    """
    return read_task(task_file(name))
