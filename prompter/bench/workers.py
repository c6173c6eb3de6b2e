"""Run the cells of a suite, one after another or several at a time.

Small models leave most of a machine idle. Two cells at a time with one thread each take about half as long as two cells in
a row with two threads. The worker processes stay for the whole suite, because imports take as long as a small cell.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from distill.common.errors import InputError
from prompter.bench.cells import cell_folder, cell_result
from prompter.bench.suite import Cell
from prompter.runtime.interrupt import REQUESTS, exit_status, prepare_worker, stop_now

MOST_JOBS = 4
"""Most cells at a time unless the user gives a number. Each cell holds a teacher and a writer in memory."""

_interrupted = threading.Event()


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_jobs() -> int:
    """Return the cells at a time: one with a GPU, which cells cannot share; else one per processor, up to `MOST_JOBS`."""
    return 1 if torch.cuda.is_available() else min(MOST_JOBS, processors())


def run_cells(
    cells: list[Cell], root: Path, jobs: int, report: Callable[[int, Cell, dict[str, Any]], None]
) -> list[dict[str, Any]]:
    """Run the cells that are not finished. If a cell fails, the others still run.

    Args:
        cells: The cells.
        root: Folder of the suite.
        jobs: Cells at a time; 1 runs them in this process.
        report: Called after each cell, in order, with its number, the cell and its row.

    Returns:
        A row for each cell: its description, and its result or `error`.

    Raises:
        InputError: A worker was killed, for instance because the machine ran out of memory.
        KeyboardInterrupt: Ctrl-C or SIGTERM. Finished cells stay, and interrupted cells continue from their last checkpoints.
    """
    rows = []
    with _mapped(jobs) as mapped:
        results = mapped(cell_result, cells, [cell_folder(cell, root) for cell in cells])
        for number, (cell, result) in enumerate(zip(cells, results, strict=True)):
            row = {key: getattr(cell, key) for key in ("task", "method", "student", "budget", "seed")} | {"text": cell.text}
            rows.append(row | result)
            report(number, cell, rows[-1])
    return rows


@contextmanager
def _mapped(jobs: int) -> Iterator[Callable[..., Any]]:
    """Yield `map` for two lists, in this process or over workers."""
    if jobs == 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads in an unknown state
    threads = max(1, processors() // jobs)
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=prepare_worker)
    try:
        yield lambda _, cells, folders: pool.map(partial(_work, threads), cells, folders)
    except KeyboardInterrupt:
        if exit_status() != 128 + signal.SIGINT:  # a terminal sends Ctrl-C to the workers, too; nobody else does
            for worker in multiprocessing.active_children():
                worker.terminate()
        raise
    except BrokenProcessPool:
        raise InputError(
            "a worker was killed, perhaps because memory ran out: give the same command again, perhaps with fewer --jobs"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _work(threads: int, cell: Cell, folder: Path) -> dict[str, Any]:
    """Return `cell_result` in a worker. After a request to stop, do not start cells that wait in the queue."""
    if _interrupted.is_set():
        raise KeyboardInterrupt
    torch.set_num_threads(threads)
    for request in REQUESTS:
        signal.signal(request, stop_now)
    try:
        return cell_result(cell, folder)
    except KeyboardInterrupt:
        _interrupted.set()
        raise
    finally:
        for request in REQUESTS:
            signal.signal(request, signal.SIG_IGN)
