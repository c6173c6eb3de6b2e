"""The progress bar shown while a toy model is trained."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Advance = Callable[[float], None]


@contextmanager
def progress_bar(name: str, steps: int, quiet: bool) -> Iterator[Advance]:
    """Show a bar of `steps` steps on stderr; call what is yielded with the loss after each step."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        bar = progress.add_task(f"training {name}", total=steps, loss=float("nan"))

        def advance(loss: float) -> None:
            progress.update(bar, advance=1, loss=loss)

        yield advance
