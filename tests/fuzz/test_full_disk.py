"""A disk that fills up anywhere: one line, and the resume is right. The disk is a small file system in memory."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.damage import results
from tests.fuzz.world import DISTIL, DONE, EXPORT, TRAIN, call


def resize(disk: Path, kilobytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", disk], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [TRAIN, EXPORT, [*EXPORT, "--csv", "--jsonl"], [*DISTIL, "--from", "data", "--save_seconds", "0"]]
)
def test_a_full_disk_is_one_line_and_the_resume_is_right(
    command: list[str], world: Path, tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTER_CACHE", str(world / "cache"))
    arguments = [*command, "--output_dir", str(disk / "new")]
    resume = ["--resume"] if command[0] != "export" else []
    whole: dict[str, str] = {}
    full = 0
    for size in [100_000, *range(8, 2000, 76)]:
        resize(disk, size)
        outcome = call(world, *arguments)
        assert not outcome.error, (size, outcome.error)
        if outcome.status not in DONE:
            full += 1
            [line] = outcome.said.strip().splitlines()
            assert "cannot be written" in line
            resize(disk, 100_000)
            begun = (disk / "new" / "config.yaml").exists() or command[0] != "train"
            assert call(world, *arguments, *(resume if begun else [])).status in DONE
        left = {name: value for name, value in results(disk, "new").items() if "summary" not in name and "config" not in name}
        whole = whole or left
        assert left == whole, size
        subprocess.run(f"rm -rf {disk}/* {disk}/.[!.]*", shell=True, check=True)
    assert full >= 2
