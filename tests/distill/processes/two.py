"""Two processes on the CPU that work together, forked from the test so that they start at once."""

import multiprocessing
import os
import pickle
import signal
import socket
import traceback
from collections.abc import Callable
from typing import Any

import torch
from accelerate.state import AcceleratorState

from distill.processes.group import Processes
from distill.processes.launch import start


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def as_launched(rank: int, port: int) -> dict[str, str]:
    """The environment variables of a launcher."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    return {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1", **{name: str(value) for name, value in numbers.items()}}


def _child(rank: int, port: int, work: Callable[[Processes], Any], results: Any, meet: bool) -> None:
    os.environ.update(as_launched(rank, port))
    torch.set_num_threads(1)  # a forked process that starts threads waits for those of its parent, which it has not
    AcceleratorState._reset_state(reset_partial_state=True)  # another test may have used accelerate
    try:
        made = work(start("cpu") if meet else Processes(rank, 2))
        results.put((rank, pickle.dumps(made), ""))
        signal.pause()  # the other may still need this one to meet it; the parent ends both
    except BaseException:
        results.put((rank, b"", traceback.format_exc()))
    results.close()
    results.join_thread()
    os._exit(0)


def in_two(work: Callable[[Processes], Any], meet: bool = True) -> list[Any]:
    """What `work` returns in each of two processes; they have met unless `meet` is false."""
    context, port = multiprocessing.get_context("fork"), free_port()
    results = context.Queue()
    children = [context.Process(target=_child, args=(rank, port, work, results, meet)) for rank in range(2)]
    for child in children:
        child.start()
    try:
        told = {rank: (made, failed) for rank, made, failed in (results.get(timeout=120) for _ in children)}
    finally:
        for child in children:
            child.kill()
            child.join()
    assert not any(failed for _, failed in told.values()), "\n".join(failed for _, failed in told.values())
    return [pickle.loads(told[rank][0]) for rank in range(2)]
