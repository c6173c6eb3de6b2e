"""A run is a folder: its configuration, logs, checkpoints and results, usable by one process at a time.

A checkpoint counts only once `manifest.json`, written last, lists every file of it with its size and SHA-256. A run that
was killed while saving therefore falls back to the checkpoint before, and the logs are cut back to where that one stood.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import yaml
from safetensors import SafetensorError

from distill.common.errors import InputError
from distill.common.files import read_json, write_json, write_text

MANIFEST = "manifest.json"


def locked(file: Path, setting: str, folder: str | Path) -> IO[str]:
    """Lock a folder by a file in it, both made if they are missing, for as long as the returned file is open.

    Args:
        file: The file.
        setting: What named the folder, for messages.
        folder: The folder as it was named.

    Raises:
        InputError: The folder cannot be written, or another process is using it.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.open("w")
    except OSError as error:
        raise InputError(
            f"{setting} '{folder}' cannot be written ({error.strerror}): choose a folder you may write to"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise InputError(
            f"{setting} '{folder}' is in use by another process: wait for it to end, or choose another folder"
        ) from None
    return lock


class RunFolder:
    """The folder of one run.

    Args:
        path: Where; made if it is missing.
        setting: What named it, for messages.

    Raises:
        InputError: The folder cannot be written, or another process is using it.
    """

    def __init__(self, path: str | Path, setting: str = "output_dir") -> None:
        self.path, self.setting = Path(path), setting
        self._lock = locked(self.path / ".lock", setting, path)

    def close(self) -> None:
        """Let other processes use the folder; one in which nothing was written goes again."""
        if [file.name for file in self.path.iterdir()] == [".lock"]:
            (self.path / ".lock").unlink()
            self.path.rmdir()
        self._lock.close()

    # Configuration

    def open_config(self, config: dict[str, Any], resume: bool, may_differ: set[str]) -> None:
        """Store the configuration of a new run, or compare with the one stored.

        Args:
            config: All settings of this call.
            resume: Whether the call asks to go on.
            may_differ: Settings that do not change what is computed.

        Raises:
            InputError: A new run in a folder that holds one, or a resume with another configuration.
        """
        file = self.path / "config.yaml"
        if not file.exists():
            write_text(file, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
            return
        if not resume:
            raise InputError(
                f"{self.setting}: '{self.path}' already holds a run: go on with --resume, or choose another folder"
            )
        stored = yaml.safe_load(file.read_text(encoding="utf-8"))
        keys = [key for key in {**stored, **config} if key not in may_differ]
        differing = [
            f"{key}: {stored.get(key)!r} there, {config.get(key)!r} here" for key in keys if stored.get(key) != config.get(key)
        ]
        if differing:
            raise InputError(
                f"{self.setting}: '{self.path}' holds a run with another configuration ({'; '.join(differing)}): "
                "give the same settings, or choose another folder"
            )

    # Logs

    def append(self, log: str, rows: list[dict]) -> None:
        """Append rows to `<log>.jsonl`."""
        with open(self.path / f"{log}.jsonl", "a", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

    def read(self, log: str) -> list[dict[str, Any]]:
        """Rows of `<log>.jsonl`; none where there is no such log."""
        file = self.path / f"{log}.jsonl"
        if not file.exists():
            return []
        # Not splitlines(): texts may hold characters that it takes for line ends and JSON does not.
        return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]

    def log_sizes(self, logs: list[str]) -> dict[str, int]:
        """Bytes of each log at this moment."""
        files = {log: self.path / f"{log}.jsonl" for log in logs}
        return {log: file.stat().st_size if file.exists() else 0 for log, file in files.items()}

    def cut_logs(self, sizes: dict[str, int]) -> None:
        """Cut each log back to a size it had before."""
        for log, size in sizes.items():
            with open(self.path / f"{log}.jsonl", "ab") as file:
                file.truncate(size)

    # Checkpoints

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    def seal(self, checkpoint: Path) -> None:
        """Write the manifest that makes a checkpoint count."""
        files = sorted(file for file in checkpoint.rglob("*") if file.is_file() and file.name != MANIFEST)
        entries = {str(file.relative_to(checkpoint)): [file.stat().st_size, _sha256(file)] for file in files}
        write_json(checkpoint / MANIFEST, entries)

    def last_checkpoint(self) -> tuple[Path | None, list[str]]:
        """The newest checkpoint that is whole, and a line about each newer one that is not."""
        found = [
            (int(match.group(1)), folder)
            for folder in (self.checkpoints.iterdir() if self.checkpoints.exists() else [])
            if (match := re.fullmatch(r"checkpoint-(\d+)", folder.name))
        ]
        broken: list[str] = []
        for _, folder in sorted(found, reverse=True):
            fault = _fault(folder)
            if fault is None:
                return folder, broken
            broken.append(f"{folder.name} is not whole ({fault})")
        return None, broken


def _sha256(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fault(checkpoint: Path) -> str | None:
    if not (checkpoint / MANIFEST).exists():
        return "it was interrupted while being written"
    try:
        entries = read_json(checkpoint / MANIFEST)
    except (ValueError, OSError):
        return f"{MANIFEST} cannot be read"
    for name, (size, digest) in entries.items():
        file = checkpoint / name
        if not file.exists():
            return f"{name} is missing"
        if file.stat().st_size != size or _sha256(file) != digest:
            return f"{name} was changed or truncated"
    return None


NO_ROOM = (
    "No space left on device",
    "Disk quota exceeded",
    "PytorchStreamWriter failed",
    "database or disk is full",
    "attempt to write a readonly database",
    "unable to open database file",
    "disk I/O error",
)
"""How safetensors, torch and SQLite, which have no error number to ask for, say that a file could not be written."""


@contextlib.contextmanager
def disk_errors_named(path: Path, then: str = "go on with --resume") -> Iterator[None]:
    """Turn a full or read-only disk into an error a user can act on.

    Args:
        path: What is being written, for errors that do not say it themselves.
        then: What to do once there is room.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError, sqlite3.OperationalError) as error:
        numbered = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
        if not numbered and not any(reason in str(error) for reason in NO_ROOM):
            raise
        where = error.filename if isinstance(error, OSError) and error.filename else path
        raise InputError(
            f"'{where}' cannot be written (disk full, or not permitted): free space or rights there, then {then}"
        ) from error
