"""Requests to stop: Ctrl-C, SIGTERM from a scheduler, SIGHUP from a terminal that is closed.

The first request stops the work at the next point that can be saved, and a second Ctrl-C at once. A second SIGTERM or SIGHUP
changes nothing, because a scheduler may send it to each process of a job and again to all of them, and `timeout` does. This
module imports nothing slow: a worker process calls `prepare_worker` before anything else.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

REQUESTS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask to stop. Windows has no SIGHUP."""

PR_SET_PDEATHSIG = 1
"""Linux, prctl(2): the signal that a process gets when its parent ends."""

AGAIN_WITHIN = 2.0
"""A SIGTERM or SIGHUP within so many seconds of the request before it is not a further one."""

_last: signal.Signals = signal.SIGINT
_stopped_at = -AGAIN_WITHIN  # as `time.monotonic` counts


def exit_status() -> int:
    """Return the exit status of a stopped command, as shells give it: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + _last


def stop_now(number: int, frame: FrameType | None) -> None:
    """Handle a request by stopping at once, as Python does for Ctrl-C.

    Raises:
        KeyboardInterrupt: Always, but for a SIGTERM or SIGHUP that only repeats a request, see `AGAIN_WITHIN`: it must not
            break off what the first one lets end.
    """
    global _last, _stopped_at
    before, _stopped_at = _stopped_at, time.monotonic()
    if number != signal.SIGINT and _stopped_at - before < AGAIN_WITHIN:
        return
    _last = signal.Signals(number)
    raise KeyboardInterrupt


@contextmanager
def handled(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Let a handler receive the requests to stop within the `with` block.

    A request that the process ignores stays ignored: `nohup` starts its command so. Python allows signal handlers in the main
    thread only. In any other thread, the block runs without them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    global _stopped_at
    _stopped_at = -AGAIN_WITHIN  # what came before was about other work
    numbers = [number for number in REQUESTS if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            # `None` stands for a handler that was not set from Python, which cannot be set again from here.
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default if old is None else old)


class StopRequest:
    """Whether the user or a scheduler asked to stop.

    Args:
        say: Shows a line to the user.

    Attributes:
        made: True after the first request.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.made = False
        self._say = say

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catch requests within the `with` block; see `handled`."""
        with handled(self._interrupted):
            yield

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self.made:
            if number == signal.SIGINT:
                stop_now(number, frame)
            return
        global _last
        self.made, _last = True, signal.Signals(number)
        self._say("Stopping at the next point that can be saved. Press Ctrl-C again to stop at once without saving.")


def prepare_worker() -> None:
    """Prepare a worker process: it ignores requests to stop while it is idle, and ends with its parent."""
    _end_with_parent()
    for request in REQUESTS:
        signal.signal(request, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal


def _end_with_parent() -> None:
    """Let this worker process end as soon as its parent has ended, however that happened.

    Else it would write into the same folders as the next call of the same command. On Linux the system kills it at once, even
    while a library holds Python's lock; elsewhere a thread waits for the parent. What a worker writes survives a kill.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent.pid:  # it ended before the call
            os._exit(1)

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
