"""Trackers: which names are accepted, and what is logged."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from accelerate import tracking
from accelerate.utils import LoggerType

from distill.common.errors import InputError
from prompter.runtime.trackers import Trackers


@pytest.mark.parametrize(
    "names, said",
    [
        (["neptune"], "'neptune', which works with prompter train only"),
        (["comet_ml"], "'comet_ml', which is not installed: pip install comet-ml"),
    ],
)
def test_trackers_that_cannot_be_used_are_named(names: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        Trackers(names, tmp_path, {})


def test_none_is_no_tracker(tmp_path: Path) -> None:
    trackers = Trackers(["none"], tmp_path, {})
    trackers.log({"texts": 1, "loss": 0.5})
    trackers.close()
    assert not list(tmp_path.iterdir())


def test_tensorboard_writes_events(tmp_path: Path) -> None:
    trackers = Trackers(["tensorboard"], tmp_path, {"budget": 5, "compare": ["real"]})
    trackers.log({"student": "small", "update": 3, "loss": 0.5, "note": "a word"})
    trackers.close()
    assert list(tmp_path.rglob("events.out.*"))


class Run:
    """A run of Weights & Biases, which drops a row whose step is lower than the one before."""

    def __init__(self) -> None:
        self.rows: list[dict] = []
        self.step = 0

    def log(self, values: dict, step: int | None = None) -> None:
        self.step = self.step + 1 if step is None else step if step > self.step else self.step
        if step is None or step == self.step:
            self.rows.append(values)

    def finish(self) -> None:
        pass


@pytest.mark.parametrize("project", ["mine", ""])
def test_weights_and_biases_loses_no_row_and_gets_its_project(
    project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, named = Run(), []
    wandb = ModuleType("wandb")
    wandb.init = lambda project: named.append(project) or run  # type: ignore[attr-defined]
    wandb.config = SimpleNamespace(update=lambda values, allow_val_change: None)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setattr(tracking, "_available_trackers", [LoggerType.WANDB])
    monkeypatch.setenv("WANDB_PROJECT", project)
    trackers = Trackers(["wandb"], tmp_path, {"budget": 5})
    trackers.log({"texts": 500, "queries": 500})
    for student in ("small", "tiny"):
        for update in (100, 200):
            trackers.log({"student": student, "update": update, "kl": 0.5})
    trackers.close()
    assert named == [project or "prompter"] and len(run.rows) == 5
    assert run.rows[3] == {"tiny/update": 100, "tiny/kl": 0.5}
