"""From a column to scores: one number for each row."""

import math
from decimal import Decimal
from typing import Any

from distill.common.errors import InputError
from eval.data.reading import Columns

LARGEST = 3.4e38
"""Largest number that a model can answer, which is float32."""


def scores(columns: Columns, name: str, span: tuple[float, float] | None = None) -> list[float]:
    """Turn a column into finite numbers.

    Args:
        columns: The data.
        name: The column.
        span: Lowest and highest number allowed; None for any.

    Raises:
        InputError: A value is no finite number of float32, or beyond the range.
    """
    found = []
    for row, value in enumerate(columns.values[name]):
        number = _number(value)
        inside = abs(number) <= LARGEST and (span is None or span[0] <= number <= span[1])
        if not inside:
            expected = "a number" if span is None else f"a number from {span[0]:g} to {span[1]:g}"
            remedy = "fix or remove the row"
            if number == -1:
                remedy = "-1 marks a split whose labels are kept secret, choose another split"
            elif abs(number) <= LARGEST:
                remedy = "correct the row, or the range of the task"
            shown = "nothing" if value is None or value == "" else repr(value)[:80]
            raise InputError(f"{columns.at(row)}: column '{name}' holds {shown}, expected {expected}; {remedy}.")
        found.append(number)
    return found


def _number(value: Any) -> float:
    """Return the number that a value is or spells; NaN for none."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan
