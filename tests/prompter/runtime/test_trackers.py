"""Trackers: which names are accepted, and what is logged."""

from pathlib import Path

import pytest

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
