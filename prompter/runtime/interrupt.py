"""Ctrl-C as a request: the first one stops the work at the next point that can be saved, the second one at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether Ctrl-C was pressed.

    Args:
        say: Shows a line to the user.

    Attributes:
        made: True after the first Ctrl-C.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.made = False
        self._say = say

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catch Ctrl-C within the `with` block.

        Python allows signal handlers in the main thread only. In any other thread, the block runs without one.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._interrupted)
        try:
            yield
        finally:
            # `None` stands for a handler that was not set from Python, which cannot be set again from here.
            signal.signal(signal.SIGINT, signal.default_int_handler if before is None else before)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self.made:
            raise KeyboardInterrupt
        self.made = True
        self._say("Stopping at the next point that can be saved. Press Ctrl-C again to stop at once without saving.")
