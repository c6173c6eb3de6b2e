"""Folders of strangers: whatever is in them, one clear line at worst, and nothing of theirs runs or is reached."""

import importlib
import os
import random
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from prompter.cli import main
from tests.prompter.saved.hostile import spoil


@pytest.fixture
def nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a module that notes its import; commands and sockets raise what no command catches."""

    class Reached(BaseException):
        pass

    def reached(*arguments: object, **named: object) -> None:
        raise Reached(arguments)

    work = tmp_path / "work"
    for module in ("hostile_module", "megatron", "evil", "os_hostile"):
        (work / module).mkdir(parents=True)
        (work / module / "__init__.py").write_text(f"open({str(work / 'RAN')!r}, 'w').write('x')\n")
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend(str(work))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    original = importlib.import_module

    def imported(name: str, package: str | None = None) -> object:
        if name.partition(".")[0] in ("hostile_module", "megatron", "evil", "subprocess", "os"):
            raise Reached(name)
        return original(name, package)

    monkeypatch.setattr(importlib, "import_module", imported)
    for owner, name in ((socket.socket, "connect"), (os, "system"), (subprocess, "getoutput"), (subprocess.Popen, "__init__")):
        monkeypatch.setattr(owner, name, reached)
    return work


COUNT = 10


def check(kind: str, seed: int, good: Path, commands: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    """Spoil a copy of a folder, and give it to each command."""
    folder = Path("spoilt")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(good, folder)
    chance = random.Random(f"{kind} {seed}")
    said = spoil(folder, chance)
    for command in commands:
        for left in ("out", "students", ".students.work"):
            shutil.rmtree(left, ignore_errors=True)
        status = main([str(folder) if word == "FOLDER" else word for word in command])
        shown = capsys.readouterr()
        assert status in (0, 1, 2), (said, command)
        assert status != 2 or (shown.err.startswith("prompter: ") and shown.err.count("\n") == 1), (said, shown.err)
        assert "Traceback" not in shown.err + shown.out and "\x1b" not in shown.err + shown.out, said
    assert not Path("RAN").exists(), said


EXPORT = "export FOLDER --rows 4 --batch_size 4 --max_tries 2 --to out --device cpu --quiet".split()
DISTILL = [
    *("distill", "--from", "FOLDER", "--to", "students", "--student", "bert:layers=1,hidden=16,heads=1", "--budget", "8"),
    *("--student_updates", "2", "--student_batch_size", "4", "--device", "cpu", "--quiet", "--held_out", "0.3"),
]


def prompters(seeds: range, run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in seeds:
        commands = [[*EXPORT, *flags] for flags in ([], ["--trust_teacher"], ["--teacher", "none"])]
        check("prompter", seed, run_folder, [commands[seed % 3]], capsys)


def datasets(seeds: range, run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export = [str(run_folder) if word == "FOLDER" else word for word in EXPORT]
    assert main([*export[:-1], "--trust_teacher", "--to", "good"]) in (0, 1)
    for seed in seeds:
        check("dataset", seed, Path("good"), [[*DISTILL, *(["--trust_teacher"] if seed % 2 else [])]], capsys)


def models(seeds: range, run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in seeds:
        export = ["export", str(run_folder), "--teacher", "FOLDER", *EXPORT[2:]]
        check("model", seed, run_folder.parent / "teacher", [export], capsys)


KINDS = {"prompter": prompters, "dataset": datasets, "model": models}


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_folders(kind: str, nothing_runs: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    KINDS[kind](range(COUNT), run_folder, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_hostile_folders(kind: str, nothing_runs: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    KINDS[kind](range(COUNT, 180), run_folder, capsys)
