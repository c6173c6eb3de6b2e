"""The cells of a suite, one after another or several at a time.

Small models leave most of a machine idle: two cells on one thread each take about half the time of two cells in a row on
two threads. Workers are processes that stay for the whole suite, since importing takes as long as a small cell.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from distill.common.errors import InputError
from prompter.bench.cells import folder_of, outcome
from prompter.bench.suite import Cell

MOST_JOBS = 4
"""Cells at a time where nobody asked for a number: each holds a teacher and a writer in memory."""

_interrupted = threading.Event()


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_jobs() -> int:
    """Cells at a time: one with a GPU, which they would fight for; else one per processor, up to `MOST_JOBS`."""
    return 1 if torch.cuda.is_available() else min(MOST_JOBS, processors())


def run_cells(
    cells: list[Cell], root: Path, jobs: int, told: Callable[[int, Cell, dict[str, Any]], None]
) -> list[dict[str, Any]]:
    """Run what is not there yet; a cell that fails does not keep the others from running.

    Args:
        cells: What to run.
        root: Folder of the suite.
        jobs: Cells at a time; 1 runs them in this process.
        told: Called after each cell, in their order, with its number, the cell and its row.

    Returns:
        A row for each cell: what it is, and its figures or `error`.

    Raises:
        InputError: A worker was killed, for instance by a machine that ran out of memory.
        KeyboardInterrupt: Ctrl-C; what is finished is kept, and the cells under way go on from their last checkpoints.
    """
    rows = []
    with _mapped(jobs) as mapped:
        outcomes = mapped(outcome, cells, [folder_of(cell, root) for cell in cells])
        for number, (cell, figures) in enumerate(zip(cells, outcomes, strict=True)):
            row = {key: getattr(cell, key) for key in ("task", "method", "student", "budget", "seed")} | {"text": cell.text}
            rows.append(row | figures)
            told(number, cell, rows[-1])
    return rows


@contextmanager
def _mapped(jobs: int) -> Iterator[Callable[..., Any]]:
    """`map` over two lists, in this process or over workers."""
    if jobs == 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads in whatever state they are
    threads = max(1, processors() // jobs)
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=(threads,))
    try:
        yield lambda _, cells, folders: pool.map(_work, cells, folders)
    except BrokenProcessPool:
        raise InputError(
            "a worker was killed, perhaps for want of memory: the same command goes on; fewer --jobs need less memory"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start(threads: int) -> None:
    """Prepare a worker."""
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process: an idle worker has nothing to say

    def end_with_parent() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)  # else it would go on writing where the next call of the same command does

    threading.Thread(target=end_with_parent, daemon=True).start()


def _work(cell: Cell, folder: Path) -> dict[str, Any]:
    """`outcome` in a worker; after a Ctrl-C the cells that already wait in its queue are not begun."""
    if _interrupted.is_set():
        raise KeyboardInterrupt
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return outcome(cell, folder)
    except KeyboardInterrupt:
        _interrupted.set()
        raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
