"""Calls of `prompter export` for tests."""

import hashlib
from pathlib import Path

from prompter.cli import parsed
from prompter.exporting.config import export_settings
from prompter.exporting.loop import export

FLAGS = ["--rows", "20", "--batch_size", "16", "--shard_rows", "10", "--device", "cpu", "--quiet", "--trust_teacher"]


def parse_export(arguments: list[str]) -> tuple:
    return export_settings(parsed(["export", *arguments])[1])


def run(run_folder: Path, to: Path, *flags: str) -> int:
    return export(*parse_export([str(run_folder), "--to", str(to), *FLAGS, *flags]))


def contents(folder: Path) -> dict[str, str]:
    """Every file with its SHA-256."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
