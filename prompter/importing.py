"""Work without Python's garbage collector: importing large libraries, which is faster, and what must not be disturbed."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector off within a block."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Import without Python's garbage collector.

    It would search all objects again each time that their number has grown by a quarter, and finds nothing there. That is a
    fifth of the time until a verb can load a model (`python benchmarks/startup.py`).

    Examples:
        >>> with quick_imports():
        ...     import json
        >>> gc.isenabled()
        True
    """
    with uncollected():
        yield
