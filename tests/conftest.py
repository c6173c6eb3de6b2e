"""No test reads or writes the user's own cache."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that stands in for the user's cache, fresh for each test."""
    folder = tmp_path / "prompter-cache"
    monkeypatch.setenv("PROMPTER_CACHE", str(folder))
    return folder
