"""Damaged files of every kind of folder: no traceback, and nothing else than before without a word."""

from pathlib import Path

import pytest

from tests.fuzz.damage import run_in, trial
from tests.fuzz.world import COMMANDS, DONE, copied


@pytest.fixture(scope="module")
def whole(world: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What each command leaves if nothing is damaged."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for name in COMMANDS:
            outcome, left, _ = run_in(copied(world, tmp_path_factory.mktemp("whole") / "w"), name, patch)
            assert outcome.status in DONE and not outcome.faults, (name, outcome)
            found[name] = left
    return found


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_damaged_files(seed: int, world: Path, whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not trial(world, tmp_path / "w", seed, whole, monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_five_thousand_damaged_files(world: Path, whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [fault for seed in range(5000) if (fault := trial(world, tmp_path / "w", seed, whole, monkeypatch))]
    assert not faults, "\n".join(faults)
