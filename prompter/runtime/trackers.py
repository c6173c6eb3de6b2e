"""Experiment trackers for work that no TRL trainer drives, by way of accelerate."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from distill.common.errors import InputError


class Trackers:
    """Zero or more of tensorboard, trackio and wandb.

    Args:
        names: Which.
        folder: Where those that write files write them.
        config: Settings of the run, to be shown beside its figures.

    Raises:
        InputError: A tracker is not installed.
    """

    def __init__(self, names: list[str], folder: Path, config: dict[str, Any]) -> None:
        self._accelerator = None
        for name in names:
            if find_spec(name) is None:
                raise InputError(f"report_to names '{name}', which is not installed: pip install {name}")
        if names:
            from accelerate import Accelerator

            self._accelerator = Accelerator(log_with=names, project_dir=str(folder), cpu=True)
            simple = {key: value if isinstance(value, int | float | str) else str(value) for key, value in config.items()}
            self._accelerator.init_trackers("prompter-distill", config=simple)

    def log(self, row: dict[str, Any]) -> None:
        """Log a row's numbers; those of one student under its name, at its update."""
        if self._accelerator is None:
            return
        prefix = f"{row['student']}/" if "student" in row else ""
        step = row.get("update", row.get("texts"))
        numbers = {prefix + key: value for key, value in row.items() if isinstance(value, int | float) and key != "update"}
        self._accelerator.log(numbers, step=step)

    def close(self) -> None:
        """Let the trackers finish."""
        if self._accelerator is not None:
            self._accelerator.end_training()
