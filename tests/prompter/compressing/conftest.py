"""The teacher that the tests compress."""

from pathlib import Path

import pytest

from tests.prompter.compressing.compressions import write_teacher


@pytest.fixture(scope="session")
def layered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny teacher of three layers, with BERT's special tokens."""
    return write_teacher(tmp_path_factory.mktemp("layered") / "teacher")
