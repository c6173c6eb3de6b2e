"""Kills with -9 at random moments: what goes on afterwards ends as if nothing had happened."""

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fuzz.damage import results
from tests.fuzz.world import DISTIL, DONE, EXPORT, TRAIN, copied

COMMANDS = {
    "train": ([*TRAIN, "--output_dir", "new"], ["--resume"]),
    "export": ([*EXPORT, "--rows", "200", "--output_dir", "new"], []),
    "distil": ([*DISTIL, "--from", "data", "--save_seconds", "0", "--output_dir", "new"], ["--resume"]),
}


def started(folder: Path, arguments: list[str]) -> subprocess.Popen:
    environment = os.environ | {"PROMPTER_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "prompter.cli", *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def outcome(folder: Path) -> dict[str, str]:
    return {
        name: value for name, value in results(folder, "new").items() if Path(name).name not in ("summary.json", "config.yaml")
    }


def trials(world: Path, to: Path, name: str, number: int, rng: random.Random) -> None:
    arguments, resume = COMMANDS[name]
    folder = copied(world, to)
    start = time.monotonic()
    process = started(folder, arguments)
    assert process.wait(120) in DONE, process.communicate()
    whole, takes = outcome(folder), time.monotonic() - start
    killed = 0
    while killed < number:
        shutil.rmtree(to)
        copied(world, to)
        process = started(folder, arguments)
        time.sleep(takes * rng.random())
        process.kill()
        process.communicate()
        killed += 1
        begun = (folder / "new").exists() or "train" not in arguments  # killed while Python started, there is no run
        process = started(folder, [*arguments, *(resume if begun else [])])
        _, said = process.communicate(timeout=120)
        assert process.returncode in DONE and "Traceback" not in said, said
        left = outcome(folder)
        assert left == whole, [key for key in left.keys() | whole.keys() if left.get(key) != whole.get(key)]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", COMMANDS)
def test_seventy_kills_of_each(name: str, world: Path, tmp_path: Path) -> None:
    trials(world, tmp_path / "w", name, 70, random.Random(name))
