"""The folder of a run: configuration, logs, checkpoints and results, used by one process at a time.

A checkpoint counts only if `manifest.json` lists all its files with size and SHA-256. The manifest is written last. A run
that is killed while it saves therefore goes on from the checkpoint before, and its logs are cut back to that point.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from distill.checkpoints.checksums import well_formed
from distill.common.errors import InputError
from distill.common.files import (
    LARGEST_LOG,
    follow_umask,
    read_bounded,
    read_json,
    read_object,
    read_yaml,
    without_nan,
    write_json,
    write_text,
)
from distill.common.yaml_text import as_written

LOGGER = logging.getLogger("prompter")

CHECKPOINT_MANIFEST = "manifest.json"
LOCK = ".lock"
CONFIG = "config.yaml"
BATCH_SIZES = "batch_sizes.json"


def take_lock(file: Path, setting: str, folder: str | Path) -> FileLock:
    """Lock a folder by a file in it, without waiting. Call `release()` on the result to unlock it.

    The operating system holds the lock. It therefore ends with its process, even if that is killed.

    Args:
        file: The lock file. It and its parent folders are made if they are missing.
        setting: Name of the setting that gave the folder, for messages.
        folder: The folder as the user gave it, for messages.

    Raises:
        InputError: The folder is a file or a link that leads nowhere, it cannot be written, or another process uses it.
    """
    # Not thread-local: a run may be closed by another thread than the one that opened it.
    lock = FileLock(file, blocking=False, thread_local=False)
    try:
        check_is_folder(setting, folder)
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(
            f"{setting} '{folder}' is in use by another process: wait until it ends, or choose another folder"
        ) from None
    except OSError as error:
        raise InputError(
            f"{setting} '{folder}' cannot be written ({error.strerror}): choose a folder you may write to"
        ) from None
    return lock


def check_is_folder(setting: str, folder: str | Path) -> None:
    """Refuse a place that is there already but is no folder.

    Args:
        setting: Name of the setting that gave it, for messages.
        folder: The place, as the user gave it.

    Raises:
        InputError: It is a file, or a link that leads nowhere.
        OSError: The place cannot be looked at.
    """
    path = Path(folder)
    if path.is_symlink() and not path.exists():
        leads = f"is a link to '{os.readlink(path)}', which does not exist"
        raise InputError(f"{setting} '{folder}' {leads}: make that folder, or choose another name")
    if path.exists() and not path.is_dir():
        raise InputError(f"{setting} '{folder}' is a file, a folder was expected: choose another name")


def check_empty(folder: Path, setting: str) -> None:
    """Refuse a folder that holds something, where new work wants to begin.

    Args:
        folder: The folder. The lock, an empty folder `checkpoints`, and what a kill left of a file do not count.
        setting: Name of the setting that gave it, for the message.

    Raises:
        InputError: It holds something else.
    """
    names = sorted(file.name for file in folder.iterdir() if file.name != "checkpoints" or any(file.glob("*")))
    if others := [name for name in names if name != LOCK and not re.fullmatch(r"\..*\.tmp", name)]:
        raise InputError(
            f"{setting}: '{folder}' holds other files ({others[0]}), which stay as they are: choose another folder"
        )


def without_progress(folder: Path) -> bool:
    """Return whether a folder holds nothing that a run could go on with: its configuration and its logs at most."""
    names = {file.name for file in folder.iterdir() if file.name != "checkpoints" or any(file.iterdir())}
    return all(name in (LOCK, CONFIG) or name.endswith(".jsonl") for name in names)


@contextlib.contextmanager
def locked(file: Path, setting: str, folder: str | Path) -> Iterator[None]:
    """Hold the lock of a folder within the `with` block; see `take_lock`."""
    lock = take_lock(file, setting, folder)
    try:
        yield
    finally:
        lock.release()


def default_values(*configs: Any) -> dict[str, Any]:
    """Return what a file means that lacks a setting, for each setting of settings classes, or of objects of such classes."""
    values: dict[str, Any] = {}
    for item in (item for config in configs for item in dataclasses.fields(config)):
        default = item.default if item.default_factory is dataclasses.MISSING else item.default_factory()
        before = item.metadata.get("before")
        values[item.name] = default if before is None else before
    return values


def differences(
    stored: Mapping[str, Any], given: Mapping[str, Any], defaults: Mapping[str, Any], may_differ: Collection[str] = ()
) -> list[str]:
    """Compare the settings of this call with stored ones.

    Args:
        stored: Settings that a file holds. A setting that it lacks is newer than the file, and counts as its default.
        given: Settings of this call.
        defaults: Default values by name.
        may_differ: Names of settings that do not change the result.

    Returns:
        A part of a message for each setting that differs.

    Examples:
        >>> differences({"rows": 5}, {"rows": 6, "dtype": "auto"}, {"rows": 0, "dtype": "auto"})
        ['rows: 5 there, 6 here']
    """
    stored = {key: value for key, value in defaults.items() if key in given} | dict(stored)
    places = next((moved(stored[key], given[key]) for key in ("output_dir", "to") if stored.get(key) and given.get(key)), None)
    return [
        f"{key}: {stored.get(key)!r} there, {given.get(key)!r} here"
        for key in stored | dict(given)
        if key not in may_differ and not _same(stored.get(key), given.get(key), places)
    ]


def moved(stored: Any, given: Any) -> tuple[Path, Path]:
    """Return where a project lay and where it lies now, by two places of one folder in it."""
    before, now = Path(str(stored)), Path(os.path.abspath(str(given)))
    while before.name and before.name == now.name:
        before, now = before.parent, now.parent
    return before, now


def _same(stored: Any, given: Any, project: tuple[Path, Path] | None) -> bool:
    """Compare a value of a file with a setting. A place may be written in several ways: `mine`, `./mine/`, by a link.

    Places in a project that was moved or renamed as a whole, or that is seen from another folder, are the same as before.
    Files of earlier versions have `~` where settings now hold the home.
    """
    if stored == given or as_written(stored) == given:
        return True
    if isinstance(stored, list) and isinstance(given, list):
        return len(stored) == len(given) and all(_same(*both, project) for both in zip(stored, given, strict=True))
    if not isinstance(stored, str) or not isinstance(given, str):
        return False
    place = Path(os.path.expanduser(stored))
    places = [place, *([project[1] / place.relative_to(project[0])] if project and place.is_relative_to(project[0]) else [])]
    return str(place) == given or any(
        os.path.exists(one) and os.path.exists(given) and os.path.samefile(one, given) for one in places
    )


class RunFolder:
    """The folder of one run.

    Args:
        path: The folder; made if it is missing.
        setting: Name of the setting that gave it, for messages.
        writes: Whether this process writes into it; of several processes of one run, the first does. The others only read, and
            take no lock.

    Raises:
        InputError: The folder cannot be written, or another process uses it.
    """

    def __init__(self, path: str | Path, setting: str = "output_dir", writes: bool = True) -> None:
        self.path, self.setting = Path(path), setting
        self._begun = (self.path / LOCK).exists()  # by a process that was killed, perhaps before it stored a configuration
        self._lock = take_lock(self.path / LOCK, setting, path) if writes else None

    def close(self) -> None:
        """Let other processes use the folder. Remove it if nothing was written into it."""
        if self._lock is None:
            return
        empty = [file.name for file in self.path.iterdir()] == [LOCK]
        if empty and os.name == "posix":  # while it is locked, so that no other process can open it in between
            self._remove()
        self._lock.release()
        if empty and os.name != "posix":  # Windows does not delete a file that is open, another process's included
            self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            (self.path / LOCK).unlink()
            self.path.rmdir()

    # Configuration

    def check_place(self, resume: bool) -> None:
        """Refuse a folder that this call cannot work in, before anything is loaded.

        Args:
            resume: Whether the call asks to go on with a run.

        Raises:
            InputError: The folder holds a run, but `resume` is not set; it holds a run without its configuration, or anything
                else; or `resume` is set, but no run was begun there.
        """
        if (self.path / CONFIG).exists():
            if not resume:
                raise InputError(
                    f"{self.setting}: '{self.path}' already holds a run: continue it with --resume, or choose another folder"
                )
            return
        if (self.path / "metrics.jsonl").exists() or next(self.checkpoints.glob("checkpoint-*"), None):
            raise InputError(
                f"{self.setting}: '{self.path}' holds a run whose {CONFIG} is missing, so its settings are unknown: "
                "put the file back, or choose another folder"
            )
        check_empty(self.path, self.setting)
        if resume and not self._begun:
            raise InputError(
                f"resume: '{self.path}' holds no run to go on with: check {self.setting}, or leave out --resume to begin one"
            )

    def open_config(
        self, config: dict[str, Any], resume: bool, may_differ: set[str], defaults: Mapping[str, Any] | None = None
    ) -> None:
        """Store the configuration of a new run, or compare it with the stored one.

        Of a run that has made nothing to go on with, another configuration takes the place of the stored one: a setting that
        ended it at once can be corrected in its folder.

        Args:
            config: All settings of this call.
            resume: Whether the call asks to resume the run.
            may_differ: Names of settings that do not change the result.
            defaults: Values of settings that the stored configuration lacks; see `differences`.

        Raises:
            InputError: See `check_place`; or the configurations differ or cannot be compared.
        """
        file = self.path / CONFIG
        self.check_place(resume and file.exists())
        if not file.exists():
            write_text(file, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
            return
        stored = read_yaml(file)
        differing = differences(stored, config, defaults or {}, may_differ)
        if differing and without_progress(self.path):
            write_text(file, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        elif differing:
            raise InputError(
                f"{self.setting}: '{self.path}' holds a run with another configuration ({'; '.join(differing)}): "
                "give the same settings, or choose another folder"
            )

    def found_batch_size(self) -> int | None:
        """Return the batch size of the writer that this run has found, or None.

        Raises:
            InputError: The file of it is damaged.
        """
        file, remedy = self.path / BATCH_SIZES, "remove the file, and the batch size is found again"
        if not file.is_file():
            return None
        size: int = read_object(file, {"writer_batch_size": int}, remedy)["writer_batch_size"]
        if size < 1:
            raise InputError(f"{file}: 'writer_batch_size' is {size}, expected at least 1: {remedy}")
        return size

    def keep_batch_size(self, size: int) -> None:
        """Remember the batch size of the writer that this run has found, so that it resumes with the same one."""
        write_json(self.path / BATCH_SIZES, {"writer_batch_size": size})

    # Logs

    def append(self, log: str, rows: list[dict]) -> None:
        """Append rows to `<log>.jsonl`. NaN and infinity become null, because JSON has neither."""
        with open(self.path / f"{log}.jsonl", "a", encoding="utf-8") as file:
            file.writelines(json.dumps(without_nan(row), ensure_ascii=False) + "\n" for row in rows)

    def read(self, log: str, whole: bool = True) -> list[dict[str, Any]]:
        """Return the rows of `<log>.jsonl`, or an empty list if there is no such file.

        A last row that a kill has cut off is left out where it need not be `whole`.
        """
        file = self.path / f"{log}.jsonl"
        if not file.exists():
            return []
        # Not splitlines(): it also splits at characters that JSON allows inside a text.
        rows = []
        lines = read_bounded(file, LARGEST_LOG).split(b"\n")
        for number, line in enumerate(lines if whole else lines[:-1], start=1):
            if line:
                try:
                    rows.append(dict(json.loads(line.decode("utf-8"))))
                except (ValueError, TypeError, RecursionError) as error:  # brackets within brackets, thousands deep
                    raise InputError(f"{file}, row {number}: is damaged ({error}): remove the row, then resume") from error
        return rows

    def log_sizes(self, logs: list[str]) -> dict[str, list[Any]]:
        """Return the present size of each log in bytes, and the SHA-256 of its content."""
        files = {log: self.path / f"{log}.jsonl" for log in logs}
        return {log: [file.stat().st_size, _sha256(file)] if file.exists() else [0, None] for log, file in files.items()}

    def cut_logs(self, sizes: Mapping[str, Any]) -> None:
        """Cut each log back to an earlier size in bytes. Name a log that was damaged since then.

        Args:
            sizes: What `log_sizes` returned, or the bytes alone, as earlier versions stored them.
        """
        for log, state in sizes.items():
            size, digest = state if isinstance(state, list) else (state, None)
            file = self.path / f"{log}.jsonl"
            with open(file, "ab") as stream:
                short = stream.tell() < size
                stream.truncate(min(size, stream.tell()))
            if short or (digest is not None and _sha256(file) != digest):
                LOGGER.warning("%s was damaged since the last checkpoint: reports lack the rows that it lost.", file)

    # Checkpoints

    @property
    def checkpoints(self) -> Path:
        """Return the folder of the checkpoints."""
        return self.path / "checkpoints"

    def seal(self, checkpoint: Path) -> None:
        """Write the manifest, which makes a checkpoint valid."""
        follow_umask(checkpoint)
        files = sorted(file for file in checkpoint.rglob("*") if file.is_file() and file.name != CHECKPOINT_MANIFEST)
        entries = {file.relative_to(checkpoint).as_posix(): [file.stat().st_size, _sha256(file)] for file in files}
        write_json(checkpoint / CHECKPOINT_MANIFEST, entries)

    def last_checkpoint(self) -> tuple[Path | None, list[str]]:
        """Return the newest complete checkpoint, and a line about each newer one that is incomplete."""
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
            broken.append(f"{folder.name} is not complete ({fault})")
        return None, broken


def _sha256(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fault(checkpoint: Path) -> str | None:
    if not (checkpoint / CHECKPOINT_MANIFEST).exists():
        return "saving was interrupted"
    try:
        entries = read_json(checkpoint / CHECKPOINT_MANIFEST)
    except (ValueError, OSError):
        return f"{CHECKPOINT_MANIFEST} cannot be read"
    # A name that leads elsewhere could name a file that never ends.
    if not entries or not well_formed(entries) or any(Path(n).is_absolute() or ".." in Path(n).parts for n in entries):
        return f"{CHECKPOINT_MANIFEST} is damaged"
    for name, (size, digest) in entries.items():
        file = checkpoint / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != size or _sha256(file) != digest:
            return f"{name} was changed or truncated"
    return None
