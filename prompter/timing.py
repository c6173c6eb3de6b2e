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

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Book the time spent inside the `with` block under `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
