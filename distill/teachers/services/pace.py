"""When the next request may be sent: the user's limit of requests per second, and the pauses that a service asks for."""

import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


class StoppedError(Exception):
    """Waiting was given up, because the call that the request belongs to has failed or was interrupted."""


class Pace:
    """A gate that all requests to one service pass, from any thread.

    Args:
        rate: Most requests per second; 0 for no limit.
    """

    def __init__(self, rate: float = 0.0) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._next = self._held = 0.0  # as `time.monotonic` counts
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def wait(self) -> None:
        """Wait until the next request may be sent.

        Raises:
            StoppedError: `stop` was called meanwhile.
        """
        while True:
            with self._lock:
                now = time.monotonic()
                held = self._held > now
                at = self._held if held else max(now, self._next)
                if not held:
                    self._next = at + self._gap
            self.sleep(at - now)
            with self._lock:
                if not held and self._held <= time.monotonic():
                    return

    def hold(self, seconds: float) -> bool:
        """Let no request pass for so long. Return whether this is later than what was asked for before."""
        with self._lock:
            until = time.monotonic() + seconds
            later = until > self._held + 1
            self._held = max(self._held, until)
        return later

    def sleep(self, seconds: float) -> None:
        """Wait for so long.

        Raises:
            StoppedError: `stop` was called meanwhile.
        """
        if self._stopped.wait(max(0.0, seconds)):
            raise StoppedError

    def stop(self) -> None:
        """End all waiting, until `start` is called."""
        self._stopped.set()

    def start(self) -> None:
        """Let waiting be possible again."""
        self._stopped.clear()


def seconds_to_wait(retry_after: str | None) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, or None where it says nothing that can be understood.

    Args:
        retry_after: Seconds or a date of HTTP (RFC 9110, 10.2.3).

    Examples:
        >>> seconds_to_wait("120"), seconds_to_wait("Sun, 06 Nov 1994 08:49:37 GMT"), seconds_to_wait("soon")
        (120.0, 0.0, None)
    """
    said = (retry_after or "").strip()
    if said.isascii() and said.isdigit() and len(said) < 10:
        return float(said)
    try:
        date = parsedate_to_datetime(said)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    try:
        return max(0.0, (date - datetime.now(UTC)).total_seconds())
    except OverflowError:
        return None
