"""Damage to one file of a folder, at random, and what may follow from it."""

import contextlib
import hashlib
import json
import logging
import random
from pathlib import Path
from typing import Any

import pytest

from distill.checkpoints.checksums import CHECKSUMS
from tests.fuzz.world import COMMANDS, DONE, Outcome, call, copied

CHECKED = {
    *("data", "half", "cache", "stopped", ".begun.work", "student", "run", "finished"),
}
"""What holds checksums: damage to it is named, repaired, or changes nothing. A user's models and texts cannot be checked."""

TIMES = {"seconds", "time", "texts_per_second", "milliseconds_per_call", "teacher_calls"}
"""Keys of results that differ between two equal calls."""


class Notes(logging.Handler):
    """Collects what the package logs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append(record.getMessage())


def damage(file: Path, rng: random.Random) -> str:
    """Damage a file, and return how."""
    content = bytearray(file.read_bytes())
    kind = rng.choice(["bit", "bit", "bit", "byte", "zeros", "cut", "empty", "tail", "gone", "swap"])
    place = rng.randrange(len(content)) if content else 0
    if kind == "gone":
        file.unlink()
        return kind
    if kind == "bit" and content:
        content[place] ^= 1 << rng.randrange(8)
    elif kind == "byte" and content:
        content[place] = rng.randrange(256)
    elif kind == "zeros":
        content[place : place + 64] = bytes(len(content[place : place + 64]))
    elif kind == "cut":
        del content[place:]
    elif kind == "empty":
        content.clear()
    elif kind == "tail":
        content += rng.randbytes(40)
    elif kind == "swap":
        other = rng.randrange(len(content)) if content else 0
        content[place : place + 16], content[other : other + 16] = content[other : other + 16], content[place : place + 16]
    file.write_bytes(content)
    return f"{kind} at {place}"


def files_in(folder: Path, targets: list[str]) -> list[Path]:
    """Return the files that may be damaged."""
    found = [
        file for name in targets for file in ([folder / name] if (folder / name).is_file() else (folder / name).rglob("*"))
    ]
    return sorted(file for file in found if file.is_file() and file.name not in ("lock", ".lock"))


def results(folder: Path, to: str) -> dict[str, str]:
    """Return what a call left, without what depends on the clock."""
    found: dict[str, str] = {}
    for file in sorted((folder / to).rglob("*")) if to else []:
        name = file.relative_to(folder).as_posix()
        if not file.is_file() or file.suffix in (".html", ".md") or "checkpoints" in name or name.endswith("lock"):
            continue
        if file.name == CHECKSUMS:  # of files that are compared themselves, or that hold times
            continue
        found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
        if file.name in ("summary.json", "prompter.json"):
            with contextlib.suppress(ValueError):  # damaged, where a finished run does not read it again
                found[name] = json.dumps(_timeless(json.loads(file.read_text())))
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key not in TIMES}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def run_in(folder: Path, name: str, patch: pytest.MonkeyPatch) -> tuple[Outcome, dict[str, str], list[str]]:
    """Run a command of `COMMANDS`, and return how it ended, what it left, and what it noted."""
    _, arguments = COMMANDS[name]
    patch.setenv("PROMPTER_CACHE", str(folder / "cache"))
    notes, logger = Notes(), logging.getLogger("prompter")
    level = logger.level
    logger.addHandler(notes)
    logger.setLevel(logging.INFO)
    try:
        outcome = call(folder, *arguments)
    finally:
        logger.removeHandler(notes)
        logger.setLevel(level)
    to = next((arguments[at + 1] for at, word in enumerate(arguments) if word in ("--to", "--output_dir")), "")
    left = results(folder, to) if outcome.status in DONE else {}
    return outcome, left, notes.lines


def trial(world: Path, to: Path, seed: int, whole: dict[str, dict[str, str]], patch: pytest.MonkeyPatch) -> str | None:
    """Damage one file, run the command that reads it, and return what must not have happened."""
    rng = random.Random(seed)
    folder = copied(world, to)
    name = rng.choice(list(COMMANDS))
    file = rng.choice(files_in(folder, COMMANDS[name][0]))
    how = damage(file, rng)
    about = f"seed {seed}: {name}, {file.relative_to(folder)}, {how}"
    outcome, left, notes = run_in(folder, name, patch)
    if outcome.faults:
        return f"{about}: {outcome.faults}"
    lines = outcome.said.strip().splitlines()
    if outcome.status == 2 and not (lines and lines[-1].startswith("prompter: ")):
        return f"{about}: no line: {outcome.said!r}"
    checked = file.relative_to(folder).parts[0] in CHECKED and "README.md" not in file.name
    if outcome.status in DONE and checked and not notes and left != whole[name]:
        changed = [key for key in left.keys() | whole[name].keys() if left.get(key) != whole[name].get(key)]
        return f"{about}: other results without a word: {changed[:5]}"
    return None
