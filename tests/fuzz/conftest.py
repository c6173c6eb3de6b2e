"""The folder of everything, made once."""

from pathlib import Path

import pytest

from tests.fuzz.world import build


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tiny models, runs, students and datasets, with the cache of answers in it."""
    folder = tmp_path_factory.mktemp("fuzz") / "world"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMPTER_CACHE", str(folder / "cache"))
        return build(folder)
