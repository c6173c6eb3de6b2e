"""Writing files that are either complete or not there.

A run can be killed at any moment, so nothing is ever written in place: the new content goes to a temporary name beside
the target, is flushed to the disk, and takes the target's name in one step. A failing write (read-only folder, full
disk) leaves the old file as it was and raises an `InputError` that names the path.
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from distill.common.errors import InputError


def cache_root() -> Path:
    """Return where things are kept between runs: `$PROMPTER_CACHE`, or `~/.cache/prompter` where it is not set."""
    root = os.environ.get("PROMPTER_CACHE")
    return Path(root) if root else Path.home() / ".cache" / "prompter"


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file of another name, flush it to the disk, and give it the name `path`.

    Raises:
        OSError: the folder cannot be written, or the disk is full; the old file is as it was.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        _remove_quietly(temporary)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically, creating parent folders.

    Raises:
        InputError: the folder cannot be created or written, or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))
    except OSError as error:
        raise _cannot_write(path, error) from error


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically.

    Floats are written with `repr` precision, so they come back bit for bit.

    Raises:
        InputError: see `write_text`.
        TypeError: `value` holds something JSON cannot express (nothing is written then).
    """
    write_text(path, json.dumps(value, indent=2, sort_keys=False) + "\n")


def without_nan(value: Any) -> Any:
    """The same value for JSON, which has no NaN and no infinity: null instead.

    >>> without_nan({"a": [1.5, float("nan")], "b": "x"})
    {'a': [1.5, None], 'b': 'x'}
    """
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing, unreadable or not JSON (for instance truncated).
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check the path.") from error
    except (ValueError, RecursionError) as error:  # brackets within brackets, thousands deep
        raise InputError(f"{path}: is not valid JSON ({error}); the file is damaged or was cut off.") from error


def read_yaml(file: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file, read by the safe loader.

    Raises:
        InputError: the file is not YAML, or not a mapping.
    """
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise InputError(f"{file}: expected lines of the form 'key: value'")
    return values


@contextmanager
def replace_folder(path: str | Path, marker: str) -> Iterator[Path]:
    """Yield an empty temporary folder that takes the place of `path` when the block ends without an error.

    Args:
        path: the folder to create or replace.
        marker: a file name that tells a folder of this kind. An existing, non-empty folder without it is someone
            else's and is not replaced.

    Raises:
        InputError: `path` is a foreign folder or a file, or cannot be written.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: is a file, a folder was expected; choose another name.")
    if path.is_dir() and any(path.iterdir()) and not (path / marker).exists():
        raise InputError(f"{path}: is not empty and has no {marker}, so it is not replaced; choose another folder.")
    # Fixed names, so that what a killed process left behind is cleared by the next write instead of piling up.
    temporary = path.with_name(f".{path.name}.tmp")
    previous = path.with_name(f".{path.name}.old")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        _flush(temporary)
        if path.exists():
            os.replace(path, previous)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        if previous.exists() and not path.exists():
            os.replace(previous, path)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(previous, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Force every file of `folder` to the disk, so that the rename never publishes an empty file."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_quietly(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        pass  # the folder itself is unreachable; the first error is the one worth telling


def _cannot_write(path: Path, error: OSError) -> InputError:
    reason = error.strerror or str(error)
    return InputError(f"{path}: cannot be written ({reason}); free some space or choose another output folder.")
