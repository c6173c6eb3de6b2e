"""Ctrl-C as a request: the first one ends the work at the next point where it can be saved, the second one at once."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether Ctrl-C was pressed.

    Args:
        say: Tells the user what will happen.

    Attributes:
        made: True from the first Ctrl-C on.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.made = False
        self._say = say

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catch Ctrl-C within the `with` block."""
        before = signal.signal(signal.SIGINT, self._interrupted)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self.made:
            raise KeyboardInterrupt
        self.made = True
        self._say("Stopping at the next point that can be saved; press Ctrl-C again to stop at once without saving.")
