"""Read and write files. A written file is complete, or it is not there.

A run can be killed at any moment, so nothing is written in place. The new content goes to a temporary name beside the
target, is flushed to the disk, and takes the target's name in one step. A write that fails (read-only folder, full disk)
leaves the old file as it was and raises an `InputError` that names the path.
"""

import errno
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from distill.common.errors import InputError
from distill.common.yaml_text import MAX_CHARACTERS, YamlFault, parse_yaml

POSIX = os.name == "posix"

LARGEST_JSON = 64 * 2**20
"""Most bytes of a JSON file that are read. What prompter writes is far smaller, but a file may come from anybody."""

LARGEST_LOG = 2**29
"""The same of a file with a JSON object in each line."""

WORDS = {dict: "an object", list: "a list", str: "text", int: "a whole number", bool: "true or false"}
"""Types of JSON values in words."""


def cache_root() -> Path:
    """Return the folder of what is kept between runs: the teacher's answers and the toy models.

    It is the first of these: `$PROMPTER_CACHE`, `$HF_HOME/prompter`, `$XDG_CACHE_HOME/prompter`, `~/.cache/prompter`. Earlier
    versions knew only the first and the last. So where `~/.cache/prompter` exists and the folder below HF_HOME or
    XDG_CACHE_HOME does not, the old folder stays in use: it may hold answers that were paid for.
    """
    if root := os.environ.get("PROMPTER_CACHE"):
        return Path(root).expanduser()
    default = Path.home() / ".cache" / "prompter"
    for variable in ("HF_HOME", "XDG_CACHE_HOME"):
        if base := os.environ.get(variable):
            folder = Path(base).expanduser() / "prompter"
            return default if default.is_dir() and not folder.is_dir() else folder
    return default


def make_private_folder(folder: Path) -> None:
    """Make a folder that only this user can read, and its parents; one that exists stays as it is.

    Raises:
        OSError: It cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def make_private_file(file: Path) -> None:
    """Make an empty file that only this user can read, or take the rights of others from one of this user's.

    Raises:
        OSError: It cannot be made.
    """
    file.touch(mode=0o600)
    if POSIX and file.stat().st_uid == os.getuid():
        file.chmod(0o600)


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, flush it to the disk, and give it the name `path`.

    Args:
        path: The file to create or replace.
        write: Called with the temporary name.

    Raises:
        OSError: The folder cannot be written, or the disk is full. The old file is as it was.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode
        write(temporary)
        temporary.chmod(mode)
        _flush_file(temporary)
        os.replace(temporary, path)
    except BaseException:
        _remove_quietly(temporary)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically; make parent folders.

    Raises:
        InputError: The folder cannot be created or written, or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))
    except OSError as error:
        raise _cannot_write(path, error) from error


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically.

    Floats are written with `repr` precision and come back bit for bit.

    Raises:
        InputError: See `write_text`.
        TypeError: JSON cannot express `value`. Nothing is written then.
    """
    write_text(path, json.dumps(value, indent=2, sort_keys=False) + "\n")


def without_nan(value: Any) -> Any:
    """Replace NaN and infinity by None, because JSON has neither.

    Examples:
        >>> without_nan({"a": [1.5, float("nan")], "b": "x"})
        {'a': [1.5, None], 'b': 'x'}
    """
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_object(path: str | Path, keys: Mapping[str, type], remedy: str) -> dict[str, Any]:
    """Read a JSON object, and check the values that its reader needs.

    Args:
        path: The file.
        keys: Names that must be there, with the types of their values.
        remedy: What the user can do, for the message.

    Raises:
        InputError: See `read_json`; or the file holds something else than an object, or lacks a key.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds something else than a JSON object: {remedy}")
    for key, kind in keys.items():
        if not isinstance(value.get(key), kind) or (isinstance(value[key], bool) and kind is not bool):
            raise InputError(f"{path}: '{key}' is missing, or is something else than {WORDS[kind]}: {remedy}")
    return value


def read_bounded(path: Path, most: int) -> bytes:
    """Return the content of a file, which may come from anybody, without taking more memory than it may have.

    Args:
        path: The file.
        most: Most bytes that it may have.

    Raises:
        InputError: It has more.
        OSError: It cannot be read.
    """
    with path.open("rb") as stream:
        content = stream.read(min(most, os.fstat(stream.fileno()).st_size) + 1)  # the size of a pipe is 0
        content += stream.read(most + 1 - len(content)) if len(content) <= most else b""
    if len(content) > most:
        raise InputError(f"{path}: has more than {most:,} bytes, which are not read; check that it is the right file.")
    return content


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: The file is missing, unreadable, too large or not JSON (for instance cut off).
    """
    path = Path(path)
    try:
        return json.loads(read_bounded(path, LARGEST_JSON).decode("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check the path.") from error
    except (ValueError, RecursionError) as error:  # brackets within brackets, thousands deep
        raise InputError(f"{path}: is not valid JSON ({error}); the file is damaged or was cut off.") from error


def read_yaml(file: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; see `distill.common.yaml_text` for what is text and what is a number.

    Raises:
        InputError: The file cannot be read, is too large, is not YAML, or not a mapping.
    """
    try:
        text = read_bounded(file, 4 * MAX_CHARACTERS).decode("utf-8-sig")  # a character has at most 4 bytes
        values = parse_yaml(text.replace("\r\n", "\n").replace("\r", "\n"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error}); check the path.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: is not valid YAML ({error}); save it as UTF-8") from None
    except YamlFault as error:
        raise InputError(f"{file}: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{file}: expected lines of the form 'key: value'")
    return values


@contextmanager
def replace_folder(path: str | Path, marker: str) -> Iterator[Path]:
    """Yield an empty temporary folder that replaces `path` when the block ends without an error.

    Args:
        path: The folder to create or replace.
        marker: A file that every folder of this kind holds. A non-empty folder without it holds something else and is not
            replaced.

    Raises:
        InputError: `path` is a file or holds something else, cannot be written, or is being written by another process.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: is a file, a folder was expected; choose another name.")
    if path.is_dir() and any(path.iterdir()) and not (path / marker).exists():
        raise InputError(f"{path}: is not empty and has no {marker}, so it is not replaced; choose another folder.")
    with _written_by_one(path):
        yield from _replaced(path)


@contextmanager
def _written_by_one(path: Path) -> Iterator[None]:
    """Refuse a second process that writes the same folder: they would share the temporary one, and publish half of each.

    A disk that knows no locks is written without one.
    """
    file = path.with_name(f".{path.name}.lock.tmp")  # named as what a kill leaves, which does not count as somebody's file
    lock = FileLock(file, blocking=False, thread_local=False)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(
            f"{path}: is being written by another process: wait until it ends, or choose another folder."
        ) from None
    except NotImplementedError:
        pass
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise _cannot_write(path, error) from error
    try:
        yield
    finally:
        if POSIX:  # while it is locked, so that no other process can lock it in between; Windows removes no open file
            _remove_quietly(file)
        lock.release()
        if not POSIX:
            _remove_quietly(file)


def _replaced(path: Path) -> Iterator[Path]:
    """Yield the temporary folder once, and put it in place."""
    # The names are fixed, so that the next write removes what a killed process left behind.
    temporary = path.with_name(f".{path.name}.tmp")
    previous = path.with_name(f".{path.name}.old")
    try:
        _remove_folder(temporary)
        temporary.mkdir(parents=True)
        yield temporary
        follow_umask(temporary)
        for file in temporary.rglob("*"):
            if file.is_file():
                _flush_file(file)  # the rename must never publish an empty file
        if path.exists():
            _remove_folder(previous)
            os.replace(path, previous)
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        if previous.exists() and not path.exists():
            os.replace(previous, path)
        _remove_folder(temporary)
        _remove_folder(previous)


def _remove_folder(path: Path) -> None:
    """Remove a folder and what is in it; of a link only the link. One that cannot be removed stays."""
    if path.is_symlink():
        _remove_quietly(path)
    else:
        shutil.rmtree(path, ignore_errors=True)


def follow_umask(folder: Path) -> None:
    """Give all files in a folder the mode that the user's umask asks for; safetensors makes them readable by one user only."""
    if not POSIX:
        return
    probe = folder / ".mode"
    probe.touch()
    mode = probe.stat().st_mode & 0o666
    probe.unlink()
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink() and file.stat().st_mode & 0o666 != mode:
            file.chmod(mode)


def _flush_file(file: Path) -> None:
    with file.open("rb" if POSIX else "r+b") as handle:  # Windows flushes only files that are open for writing
        os.fsync(handle.fileno())


def _flush_folder(folder: Path) -> None:
    """Force the names in a folder to the disk. Windows cannot open a folder."""
    if not POSIX:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_quietly(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        pass  # the folder itself cannot be reached; the first error is the one to show


def check_file_name(field: str, name: str | None, others: Mapping[str, str | None] | None = None) -> None:
    """Refuse the name of a file to write that is a folder's or another file's, before the work whose result it shall hold.

    Args:
        field: The setting, for messages.
        name: Its value.
        others: What else the settings name, by setting: files that are read or written, which would be lost.

    Raises:
        InputError: It is.
    """
    if not name:
        return
    if name.endswith(("/", os.sep)) or Path(name).is_dir():
        raise InputError(f"{field} is '{name}', which is a folder: give the name of a file in it")
    for other, place in (others or {}).items():
        if place and Path(name).resolve() == Path(place).expanduser().resolve():
            raise InputError(f"{field} is '{name}', which is the file of {other} and would be lost: give another name")


def same_place(before: Any, now: Any) -> bool:
    """Return whether two values of a setting are equal, or two ways to write the place of one file or folder.

    A place that is no more there may be that of a project which was moved as a whole: then the last part of its name decides.

    Args:
        before: The value that a checkpoint holds.
        now: The value of this call.
    """
    if before == now or not isinstance(before, str) or not isinstance(now, str):
        return bool(before == now)
    old, new = os.path.expanduser(before), os.path.expanduser(now)
    if not os.path.exists(new):
        return False
    return os.path.samefile(old, new) if os.path.exists(old) else Path(old).name == Path(os.path.abspath(new)).name


def _cannot_write(path: Path, error: OSError) -> InputError:
    reason = error.strerror or str(error)
    return InputError(f"{path}: cannot be written ({reason}); free some space or choose another output folder.")
