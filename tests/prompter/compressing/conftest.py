"""The teacher that the tests compress."""

from functools import partial
from pathlib import Path

import pytest

from prompter.compressing import looking, planning, result
from prompter.students import work
from tests.prompter.compressing.compressions import write_teacher


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Learn and time little: these tests look at what is done, not at how well."""
    monkeypatch.setattr(planning, "FEWEST_UPDATES", 10)
    monkeypatch.setattr(planning, "QUERIES_PER_UPDATE", 1000)
    monkeypatch.setattr(looking, "TIMED", 2)
    monkeypatch.setattr(result, "TIMED", 2)
    monkeypatch.setattr(result, "ROUNDS", 1)
    monkeypatch.setattr(work, "size_and_speed", partial(work.size_and_speed, rounds=1, limit=16))


@pytest.fixture(scope="session")
def layered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny teacher of three layers, with BERT's special tokens."""
    return write_teacher(tmp_path_factory.mktemp("layered") / "teacher")
