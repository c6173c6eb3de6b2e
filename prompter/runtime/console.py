"""What a person sees during a run: bars with rates, lines of text, and tables of fresh samples."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich import box
from rich.console import Console as Terminal
from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from distill.common.terminal import one_line, open_terminal, printable

LOGGER = logging.getLogger("prompter")

LONGEST_BAR_NAME = 24
"""Most characters of a bar's name, so that the bar fits a terminal of 80 columns."""

NOISY = ("trl", "accelerate", "datasets", "peft")
"""Loggers of libraries with notes and warnings that do not concern a user of this package."""


class Rate(ProgressColumn):
    """Steps per second: over the last half minute, and in the end over the whole time."""

    def render(self, task: Task) -> Text:
        """Return the rate, or an empty text if none is known yet."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.1f}/s" if speed else "", justify="right")


class Console:
    """Bars, lines and tables on the terminal.

    The metrics of the latest step stand below the bars, so that both fit a terminal of 80 columns. Lines go through Python's
    `logging` under the name `prompter`. While the console is open it shows them above the bars; without a console they
    go wherever the application sends its log.

    Args:
        quiet: Show nothing.
    """

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.terminal = open_terminal(work_goes_on=True, quiet=quiet)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
        )
        self._status = Text(style="dim")
        self._live = Live(Group(self._progress, self._status), console=self.terminal)
        self._handler = _Lines(self.terminal)
        self._before = (LOGGER.level, LOGGER.propagate)

    def __enter__(self) -> "Console":
        if not self.quiet:
            self._before = (LOGGER.level, LOGGER.propagate)
            if LOGGER.getEffectiveLevel() > logging.INFO:  # the application's own log does not want these lines
                LOGGER.setLevel(logging.INFO)
                LOGGER.propagate = False
            LOGGER.addHandler(self._handler)
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()
        if not self.quiet:
            LOGGER.removeHandler(self._handler)
            LOGGER.setLevel(self._before[0])
            LOGGER.propagate = self._before[1]
        if not self.terminal.is_terminal:  # rich ends the last line of bars on terminals only
            self.terminal.line()

    def say(self, line: str) -> None:
        """Log one line; an open console shows it above the bars."""
        LOGGER.info("%s", line)

    def bar(self, name: str, total: int, done: int = 0) -> TaskID:
        """Add a bar. A name that is too long for a terminal of 80 columns is shortened."""
        name = one_line(name)
        shown = name if len(name) <= LONGEST_BAR_NAME else name[: LONGEST_BAR_NAME - 1] + "…"
        return self._progress.add_task(shown, total=total, completed=done)

    def step(self, bar: TaskID, done: float, status: str = "") -> None:
        """Move a bar to `done`, and show the metrics of the step below the bars."""
        self._progress.update(bar, completed=done)
        self._status.plain = one_line(status)

    def samples(self, rows: list[dict], title: str) -> None:
        """Show a table of samples.

        Args:
            rows: As in `samples.jsonl`, each with a `reward` or a `probability` (the teacher's, of its answer).
            title: Stands above the table.
        """
        figure = "reward" if any("reward" in row for row in rows) else "probability"
        shown = Text(one_line(title), style="table.title")
        table = Table(title=shown, title_justify="left", expand=True, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        asked = any(row["wanted"] for row in rows)
        for column in (*(["wanted"] if asked else []), "teacher", figure):
            table.add_column(column, no_wrap=True, max_width=14)
        begun = any(0 < len(row["topic"]) < len(row["text"]) and row["text"].startswith(row["topic"]) for row in rows)
        table.add_column("[bold]topic[/] and text" if begun else "text", ratio=1)
        for row in rows:
            text = Text(printable(row["text"]))  # as many characters as before
            text.stylize("bold", 0, len(row["topic"]) if begun and row["text"].startswith(row["topic"]) else 0)
            if "text_pair" in row:
                text.append(f"\n{printable(row['text_pair'])}", "italic")
            target = [Text(one_line(row["wanted"] or ""))] if asked else []
            table.add_row(*target, Text(one_line(row["predicted"])), f"{row[figure]:.2f}", text)
        self.terminal.print(table)


class _Lines(logging.Handler):
    """Prints log records as plain lines above the bars."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self.terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        self.terminal.print(printable(self.format(record)), markup=False, highlight=False)


@contextmanager
def quieten() -> Iterator[None]:
    """Hide the bars, notes and warnings of other libraries within the `with` block; errors still show.

    `TRANSFORMERS_VERBOSITY` and `HF_HUB_DISABLE_PROGRESS_BARS` win if the user has set them. After the block everything is
    as before.
    """
    from transformers.utils import logging as transformers_logging  # here, since it takes a second to import

    own_verbosity = "TRANSFORMERS_VERBOSITY" in os.environ
    own_bars = "HF_HUB_DISABLE_PROGRESS_BARS" in os.environ
    loggers = {name: logging.getLogger(name) for name in NOISY}
    levels = {name: logger.level for name, logger in loggers.items()}
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="trl|peft|accelerate|torch|transformers")
        if not own_verbosity:
            transformers_logging.set_verbosity_error()
        if not own_bars:
            transformers_logging.disable_progress_bar()
        for logger in loggers.values():
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            if not own_verbosity:
                transformers_logging.set_verbosity(verbosity)
            if bars and not own_bars:
                transformers_logging.enable_progress_bar()
            for name, logger in loggers.items():
                logger.setLevel(levels[name])
