"""The work of `prompter bench`: run a suite, and write its tables and its page."""

import sys
from pathlib import Path
from typing import Any

from distill.common.errors import InputError
from distill.common.files import write_text
from distill.common.terminal import printable
from prompter.bench.cells import check_inputs, is_finished
from prompter.bench.config import BenchConfig
from prompter.bench.page import write_page
from prompter.bench.results import markdown_tables, unit, write_parquet
from prompter.bench.suite import Cell, read_suite
from prompter.bench.workers import default_jobs, run_cells
from prompter.runtime.console import Console, quieten
from prompter.runtime.run_folder import locked


def bench(config: BenchConfig) -> int:
    """Run a suite, or continue an interrupted one.

    Args:
        config: Which suite, and where to write.

    Returns:
        Exit status: 0, or 1 if a cell failed. The results of the other cells are written in both cases.

    Raises:
        InputError: The suite is wrong, names files that are missing, or the folder cannot be written or is in use. Nothing
            was run.
        KeyboardInterrupt: Ctrl-C. The same command continues the suite.
    """
    suite = read_suite(config.suite, config.set)
    cells = [cell for cell in suite.cells if config.only in cell.name]
    if not cells:
        raise InputError(f"only is '{config.only}', but no cell has that in its name: see the names with --dry_run")
    root = Path(config.to or f"runs/bench-{suite.name}")
    if config.dry_run:
        for cell in cells:
            print(f"{'done' if is_finished(cell, root) else '    '}  {printable(cell.name)}")
        check_inputs(cells)
        return 0
    if config.finished_only:
        finished = [cell for cell in cells if is_finished(cell, root)]
        if not finished:
            raise InputError(f"finished_only: none of {len(cells)} cells is finished in {root}: leave it out to run them")
        table, rows = _run(suite.name, finished, root, jobs=1, quiet=True)
    else:
        check_inputs(cells)
        with locked(root / ".lock", "to:", root), quieten():
            table, rows = _run(suite.name, cells, root, config.jobs or default_jobs(), config.quiet)
    print(printable(table))
    print(printable(f"Results: {root}/results.parquet, {root}/results.md. Report: {root}/report.html"))
    failed = sum(row.get("error") is not None for row in rows)
    if failed:
        print(f"prompter: {failed} of {len(rows)} cells failed: the same command tries them again", file=sys.stderr)
    return 1 if failed else 0


def _run(name: str, cells: list[Cell], root: Path, jobs: int, quiet: bool) -> tuple[str, list[dict[str, Any]]]:
    """Run cells and write all results. Return the table, and a row for each cell."""
    with Console(quiet) as console:
        bar = console.bar("cells", len(cells))

        def report(number: int, cell: Cell, row: dict[str, Any]) -> None:
            console.say(f"{cell.name}: " + (row.get("error") or f"{100 * row['score']:.1f} {unit(row['metric'])}"))
            console.step(bar, number + 1)

        rows = run_cells(cells, root, jobs, report)
    write_parquet(rows, root / "results.parquet")
    table = markdown_tables(name, rows)
    write_text(root / "results.md", table)
    write_page(name, rows, root / "report.html")
    return table, rows
