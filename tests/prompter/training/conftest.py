"""Fixtures of small runs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from prompter.training.run import train
from prompter.training.settings import parse_settings
from tests.prompter.training.runs import flags_of


@pytest.fixture
def arguments(teacher_folder: Path, lm_folder: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Flags of a small run; keyword arguments change settings."""

    def make(folder: str = "run", **changes: object) -> list[str]:
        return flags_of(tmp_path / folder, teacher_folder, lm_folder, changes)

    return make


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    file = tmp_path / "labelled.jsonl"
    rows = [{"text": f"w{i % 20} w{i % 7} w{i % 3} good", "label": i % 2} for i in range(40)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture(scope="session")
def whole(teacher_folder: Path, lm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the small settings that was never interrupted."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMPTER_CACHE", str(run.parent / "cache"))
        train(parse_settings(flags_of(run, teacher_folder, lm_folder, {})))
    return run
