"""A clock that adds up the time of each part of a run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Adds up seconds by name. Time in a nested block counts for both names.

    Attributes:
        seconds: Time by name, of blocks that have ended.

    Examples:
        >>> clock = Clock()
        >>> with clock("teacher"):
        ...     pass
        >>> list(clock.seconds)
        ['teacher']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._running: dict[str, float] = {}  # name: when its block began

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time of the `with` block to `name`."""
        self._running[name] = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.so_far()[name]
            del self._running[name]

    def so_far(self) -> dict[str, float]:
        """Return seconds by name, including blocks that have not ended; a checkpoint stores them."""
        now = time.perf_counter()
        running = {name: self.seconds.get(name, 0.0) + now - start for name, start in self._running.items()}
        return self.seconds | running
