"""What a person sees while a run goes on: bars with rates, and tables of fresh samples."""

import logging
import warnings
from types import TracebackType

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from transformers.utils import logging as transformers_logging

LONGEST_NAME = 24


class Rate(ProgressColumn):
    """Steps per second, over the last half minute and at the end over all."""

    def render(self, task: Task) -> Text:
        """The rate, or nothing where none is known yet."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.1f}/s" if speed else "", justify="right")


class Show:
    """Bars and tables on the terminal, or nothing where `quiet`.

    Bars, and below them the figures of the latest step, so that both fit a terminal of 80 columns.

    Args:
        quiet: Print nothing but what [`Show.say`] is told to print always.
    """

    def __init__(self, quiet: bool) -> None:
        self.console = Console(quiet=quiet)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
        )
        self._status = Text(style="dim")
        self._live = Live(Group(self._progress, self._status), console=self.console)

    def __enter__(self) -> "Show":
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()
        if not self.console.is_terminal:  # rich ends the last line of bars on terminals only
            self.console.line()

    def say(self, line: str) -> None:
        """Print one line above the bars."""
        self.console.print(line, markup=False, highlight=False)

    def bar(self, name: str, total: int, done: int = 0) -> TaskID:
        """A new bar; a name too long for a line of 80 columns is shortened."""
        shown = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
        return self._progress.add_task(shown, total=total, completed=done)

    def step(self, bar: TaskID, done: float, status: str = "") -> None:
        """Move a bar to `done` and show the step's figures."""
        self._progress.update(bar, completed=done)
        self._status.plain = status

    def samples(self, rows: list[dict], title: str) -> None:
        """A table of sample rows as in `samples.jsonl`, with their reward or the probability of the teacher's answer."""
        figure = "reward" if any("reward" in row for row in rows) else "probability"
        table = Table(title=title, title_justify="left", expand=True, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        asked = any(row["wanted"] for row in rows)
        for column in (*(["wanted"] if asked else []), "teacher", figure):
            table.add_column(column, no_wrap=True, max_width=14)
        begun = any(0 < len(row["topic"]) < len(row["text"]) and row["text"].startswith(row["topic"]) for row in rows)
        table.add_column("[bold]topic[/] and text" if begun else "text", ratio=1)
        for row in rows:
            text = Text(row["text"])
            text.stylize("bold", 0, len(row["topic"]) if begun and row["text"].startswith(row["topic"]) else 0)
            targets = [Text(row["wanted"] or "")] if asked else []
            table.add_row(*targets, Text(row["predicted"]), f"{row[figure]:.2f}", text)
        self.console.print(table)


def quieten() -> None:
    """Keep the libraries' own bars and notes off the terminal; errors still show."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    for name in ("trl", "accelerate", "datasets", "peft"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="trl|peft|accelerate|torch|transformers")
