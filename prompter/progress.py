"""What a person sees while a run goes on: bars with rates, and tables of fresh samples."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table


class Show:
    """Bars and tables on the terminal, or nothing where `quiet`.

    Args:
        quiet: Print nothing but what [`Show.say`] is told to print always.
    """

    def __init__(self, quiet: bool) -> None:
        self.console = Console(quiet=quiet)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[status]}"),
            console=self.console,
            disable=quiet,
        )

    def __enter__(self) -> "Show":
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def say(self, line: str) -> None:
        """Print one line above the bars."""
        self.console.print(line, markup=False, highlight=False)

    def bar(self, name: str, total: int, done: int = 0) -> TaskID:
        """A new bar."""
        return self._progress.add_task(name, total=total, completed=done, status="")

    def step(self, bar: TaskID, done: float, status: str = "") -> None:
        """Move a bar to `done`."""
        self._progress.update(bar, completed=done, status=status)

    def samples(self, rows: list[dict], title: str) -> None:
        """A table of sample rows as in `samples.jsonl`."""
        table = Table(title=title, title_justify="left", expand=True)
        for column, ratio in (("wanted", 2), ("topic", 4), ("text", 10), ("teacher says", 2), ("reward", 1)):
            table.add_column(column, ratio=ratio, overflow="fold")
        for row in rows:
            cells = (row["wanted"] or "", row["topic"], row["text"], row["predicted"], f"{row['reward']:.2f}")
            table.add_row(*(cell.replace("[", "\\[") for cell in cells))
        self.console.print(table)

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        """A plain table; the first column is text, the others are figures."""
        table = Table(title=title, title_justify="left")
        for number, column in enumerate(columns):
            table.add_column(column, justify="left" if number == 0 else "right")
        for row in rows:
            table.add_row(*row)
        self.console.print(table)
