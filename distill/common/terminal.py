"""What is shown on a terminal: text of others made harmless, and a console whose reader may leave."""

import contextlib
import io
import os
import sys
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

JOINERS = "\u200c\u200d"
"""Invisible, but emoji and several scripts need them."""


def printable(text: object) -> str:
    """Replace characters that move the cursor, change the terminal or turn the direction of text; line ends and tabs stay.

    Examples:
        >>> printable("good" + chr(27) + "[2J news")
        'good�[2J news'
    """
    return "".join(c if c.isprintable() or c in "\n\t" or c in JOINERS or _is_space(c) else "\ufffd" for c in str(text))


def one_line(text: object) -> str:
    r"""Return text for a single line of output.

    Examples:
        >>> one_line("two\n  lines")
        'two lines'
    """
    return printable(" ".join(line.strip() for line in str(text).splitlines()))


def escape_unwritable() -> None:
    r"""Let the standard streams write what their encoding lacks as its number, as `\xe9`, instead of failing.

    It lacks most characters where the locale is ASCII or Latin-1, and where Windows writes into a file or a pipe.
    """
    for stream in (sys.stdout, sys.stderr):
        encoding = str(getattr(stream, "encoding", "") or "utf-8").lower().replace("_", "-")
        if not encoding.startswith(("utf-8", "utf8", "utf-16", "utf-32")) and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _is_space(character: str) -> bool:
    return unicodedata.category(character) == "Zs"


def open_terminal(work_goes_on: bool = False, **options: Any) -> "Console":
    """Return a console of rich. If its reader leaves, as in `| head -1`, rich itself would end the process in its middle.

    Args:
        work_goes_on: The output is not the result: the console says once on standard error that nobody reads any more, and is
            quiet from then on. Else it raises `BrokenPipeError`, at which the command line ends with status 141.
        options: What rich's console takes.
    """
    from rich.console import Console  # here, as `--help` does without

    class Terminal(Console):
        def on_broken_pipe(self) -> None:
            self.quiet = True
            with contextlib.suppress(OSError, ValueError):  # what is left in the buffer must go somewhere
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())
            if not work_goes_on:
                raise BrokenPipeError
            if not self.stderr:
                with contextlib.suppress(OSError, ValueError):
                    print("prompter: nobody reads the output any more; the work goes on", file=sys.stderr, flush=True)

    return Terminal(**options)
