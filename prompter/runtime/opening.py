"""The frame around the work of a command: a locked folder, a console, and errors of the disk with a remedy."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distill.common.errors import InputError
from prompter.runtime.console import Console, quieten
from prompter.runtime.run_folder import RunFolder

NO_ROOM = (
    "No space left on device",
    "Disk quota exceeded",
    "PytorchStreamWriter failed",
    "iostream error",
    "inline_container.cc",
    "database or disk is full",
    "attempt to write a readonly database",
    "unable to open database file",
    "disk I/O error",
    "File too large",
    "Input/output error",
    "Stale file handle",
)
"""Messages of safetensors, torch, tokenizers and SQLite about a file that cannot be written; their errors carry no number."""


NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG, errno.EIO, errno.ESTALE)
"""The same as numbers; Windows knows all of these names, too."""


@contextmanager
def disk_errors_named(path: Path, then: str = "continue with --resume") -> Iterator[None]:
    """Turn an error about a full or read-only disk into an `InputError` that says what to do.

    Args:
        path: Folder that is written, for errors that do not name a file.
        then: What to do after the disk has room again.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # the tokenizers library raises this class itself
        numbered = isinstance(error, OSError) and error.errno in NUMBERS
        if not numbered and not any(reason in str(error) for reason in NO_ROOM):
            raise
        where = error.filename if isinstance(error, OSError) and error.filename else path
        if isinstance(error, PermissionError) and not Path(where).absolute().is_relative_to(path.absolute()):
            raise InputError(f"'{where}' cannot be opened (not permitted): see to its rights, then {then}") from error
        why, remedy = "disk full, or not permitted", "free space or rights there"
        if "File too large" in str(error):
            why, remedy = "file too large", "raise the limit of its size (ulimit -f), or choose a disk that takes such files"
        elif any(reason in str(error) for reason in ("Input/output error", "Stale file handle", "disk I/O error")):
            why, remedy = "the disk does not answer", "see to the disk or its connection"
        raise InputError(f"'{where}' cannot be written ({why}): {remedy}, then {then}") from error


@contextmanager
def open_console(quiet: bool, path: str | Path, then: str = "continue with --resume") -> Iterator[Console]:
    """Open a console for work that writes into a folder which the caller has opened already.

    Libraries are quiet within the block. A full or read-only disk becomes an `InputError`.

    Args:
        quiet: Show neither bars nor tables.
        path: Folder that is written, for errors of the disk.
        then: What the user should do after an error of the disk is fixed.
    """
    with quieten(), Console(quiet) as console, disk_errors_named(Path(path), then):
        yield console


@contextmanager
def open_run(
    path: str | Path, setting: str = "output_dir", quiet: bool = False, writes: bool = True
) -> Iterator[tuple[RunFolder, Console]]:
    """Open the folder of a run, locked for this process, and a console; see `open_console`.

    Args:
        path: Folder of the run. It is made if it is missing, and removed if nothing was written into it.
        setting: Name of the setting that gave the folder, for messages.
        quiet: Show neither bars nor tables.
        writes: See `RunFolder`; a process that does not write is quiet, too.

    Raises:
        InputError: The folder cannot be written, or another process uses it.
    """
    folder = RunFolder(path, setting, writes)
    try:
        with open_console(quiet or not writes, path) as console:
            yield folder, console
    finally:
        folder.close()
