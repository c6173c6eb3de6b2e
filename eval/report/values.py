"""Helpers for values from a run's files. The files may hold anything, and a report must still be written."""

import math
from collections.abc import Mapping
from typing import Any

MAX_NAME = 60


def number(value: Any) -> float | None:
    """Return the value as a finite number, or None.

    Examples:
        >>> number(3), number(float("nan")), number("3"), number(True), number(10**400)
        (3.0, None, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:  # JSON has no largest whole number
        return None
    return found if math.isfinite(found) else None


def mapping(value: Any) -> Mapping[str, Any]:
    """Return the value if it is a mapping, otherwise an empty mapping."""
    return value if isinstance(value, Mapping) else {}


def rows(value: Any) -> list[Mapping[str, Any]]:
    """Return the mappings in a list; none if the value is not a list."""
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def short(text: Any, most: int = MAX_NAME) -> str:
    """Return the value as text, cut after `most` characters.

    Examples:
        >>> short("a long name", 6), short(None)
        ('a long …', 'None')
    """
    text = str(text)
    return text if len(text) <= most else text[:most].rstrip() + " …"


def whole(value: float) -> str:
    """Format a count.

    Examples:
        >>> whole(16000.0)
        '16,000'
    """
    return f"{value:,.0f}"


def three_digits(value: float) -> str:
    """Format a score that is no share.

    Examples:
        >>> three_digits(0.8125)
        '0.812'
    """
    return f"{value:.3f}"


def two_digits(value: Any) -> str:
    """Format a reward; "–" if there is none.

    Examples:
        >>> two_digits(0.256), two_digits(None)
        ('0.26', '–')
    """
    found = number(value)
    return "–" if found is None else f"{found:.2f}"


def duration(seconds: float) -> str:
    """Format a number of seconds.

    Examples:
        >>> duration(4.25), duration(150), duration(7300)
        ('4.2 s', '2 min 30 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
