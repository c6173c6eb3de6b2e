"""Where the seconds go: a clock that books time under names."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Adds up seconds by name; nested names are booked on both.

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
        """Book the time spent inside the `with` block under `name`."""
        self._running[name] = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.so_far()[name]
            del self._running[name]

    def so_far(self) -> dict[str, float]:
        """Seconds by name, those of blocks that have not ended included: what a checkpoint stores."""
        now = time.perf_counter()
        running = {name: self.seconds.get(name, 0.0) + now - start for name, start in self._running.items()}
        return self.seconds | running
