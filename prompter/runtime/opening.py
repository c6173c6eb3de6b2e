"""The frame around the work of a command: a locked folder, a console, and errors of the disk with a remedy."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prompter.runtime.console import Console, quieten
from prompter.runtime.run_folder import RunFolder, disk_errors_named


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
