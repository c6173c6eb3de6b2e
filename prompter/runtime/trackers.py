"""Experiment trackers (tensorboard, wandb, trackio and others) for work without a TRL trainer, through accelerate."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distill.common.errors import InputError


def tracker_names(names: Sequence[str]) -> list[str]:
    """Return the trackers that `report_to` asks for, as transformers and accelerate expect them.

    Examples:
        >>> tracker_names(["none"]), tracker_names(["wandb", "all"]), tracker_names(["wandb", "wandb"])
        ([], ['all'], ['wandb'])
    """
    if "all" in names:
        return ["all"]
    return [name for name in dict.fromkeys(names) if name != "none"]


class Trackers:
    """Zero or more experiment trackers.

    Args:
        names: Names of trackers; "all" for every tracker that is installed and "none" for no tracker.
        folder: Where trackers that write files write them.
        config: Settings of the run, for the trackers that show them.

    Raises:
        InputError: accelerate does not know a tracker, or it is not installed.
    """

    def __init__(self, names: Sequence[str], folder: Path, config: dict[str, Any]) -> None:
        self._accelerator = None
        if chosen := tracker_names(names):
            _check(chosen)
            from accelerate import Accelerator

            self._accelerator = Accelerator(log_with=chosen, project_dir=str(folder), cpu=True)
            simple = {key: value if isinstance(value, int | float | str) else str(value) for key, value in config.items()}
            project = "prompter-distill"
            if "wandb" in map(str, self._accelerator.log_with):  # which gets a name, and would not read the variable itself
                project = os.environ.get("WANDB_PROJECT") or "prompter"
            self._accelerator.init_trackers(project, config=simple)

    def log(self, row: dict[str, Any]) -> None:
        """Log the numbers of a row. Numbers about one student get the student's name as prefix and its update as step.

        Weights & Biases numbers its steps itself, and gets the update as a number beside the others.
        """
        if self._accelerator is None:
            return
        prefix = f"{row['student']}/" if "student" in row else ""
        step = row.get("update", row.get("texts"))
        numbers = {prefix + key: value for key, value in row.items() if isinstance(value, int | float)}
        others = {key: value for key, value in numbers.items() if key != f"{prefix}update"}
        for tracker in self._accelerator.trackers:
            # W&B drops a row whose step is lower than the one before, and the updates of each student begin anew.
            tracker.log(numbers) if tracker.name == "wandb" else tracker.log(others, step=step)

    def close(self) -> None:
        """Let the trackers finish."""
        if self._accelerator is not None:
            self._accelerator.end_training()


def _check(names: list[str]) -> None:
    """Refuse trackers that accelerate would leave out without a word."""
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    installed = ["all", *(str(name) for name in get_available_trackers())]
    for name in names:
        if name not in ("all", *LOGGER_TYPE_TO_CLASS):
            known = ", ".join(LOGGER_TYPE_TO_CLASS)
            raise InputError(f"report_to names '{name}', which works with prompter train only; expected some of: {known}")
        if name not in installed:
            raise InputError(f"report_to names '{name}', which is not installed: pip install {name.replace('_', '-')}")
