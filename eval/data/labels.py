"""From a column of labels to class indices, alike for every kind of file.

A label is a class name, or the position of a class among the teacher's. The column as a whole decides:

1. If the data declares its classes, their names decide, because data and teacher may number the same names differently.
2. If every value is a name, the values are names. If every value is a position, they are positions.
3. If both hold and differ, as for the classes "1" to "5", names win where every class occurs. Otherwise the column could mean
   either, and is refused with both readings.

1.0, "1", Decimal("1") and, of two classes, True are the number 1. LABEL_1 is always a position unless it is a name.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from distill.common.errors import InputError, did_you_mean
from eval.data.reading import Columns

GENERIC = re.compile(r"LABEL_(\d{1,6})", re.IGNORECASE)
"""How transformers names classes that have no name, and how a position can be written without doubt."""


@dataclass(frozen=True)
class Reading:
    """What one value may stand for: class indices, or None."""

    name: int | None
    position: int | None
    similar: int | None = None
    """The class whose name holds this number among other words, such as "2 stars"."""


def class_indices(columns: Columns, name: str, labels: list[str]) -> list[int]:
    """Turn a column of labels into class indices in 0..K-1.

    Args:
        columns: The data.
        name: The column.
        labels: The teacher's K class names, in the order of its outputs.

    Raises:
        InputError: A label is neither a name nor a position, the column could be read as names or as positions, or the
            classes of the data contradict the teacher's.
    """
    values = columns.values[name]
    declared = columns.class_names.get(name)
    if declared is not None:
        order = _order_of_declared(declared, labels, f"{columns.source}: column '{name}'")
        positions = [order[v] if _is_whole(v) and 0 <= v < len(order) else None for v in values]
        for row, position in enumerate(positions):
            if position is None:
                raise _no_class(values[row], labels, columns.at(row), name)
        return [position for position in positions if position is not None]
    known = _Names(labels)
    keys = [(type(value), value if isinstance(value, str | int | float | Decimal) else repr(value)) for value in values]
    readings = {key: known.read(value) for key, value in dict(zip(keys, values, strict=True)).items()}  # each value once
    decided = _decide(readings, labels, f"{columns.source}: column '{name}'")
    for row, key in enumerate(keys):
        if decided[key] is None:
            remedy = _of_number(values[row], readings[key], list(readings.values()), labels)
            raise _no_class(values[row], labels, columns.at(row), name, remedy)
    return [index for key in keys if (index := decided[key]) is not None]


def _decide(readings: dict[Any, Reading], labels: Sequence[str], where: str) -> dict[Any, int | None]:
    """Return the class of each different value; None where it has none."""
    names = {key: reading.name for key, reading in readings.items()}
    positions = {key: reading.position for key, reading in readings.items()}
    all_names, all_positions = None not in names.values(), None not in positions.values()
    if all_names and (not all_positions or len(set(names.values())) == len(labels)):
        return names
    if all_names and names != positions:
        raise _ambiguous({key[1]: (names[key], positions[key]) for key in readings}, labels, where)
    if all_positions:
        similar = {key: reading.similar for key, reading in readings.items()}
        if not all_names and None not in similar.values() and similar != positions:
            raise _ambiguous({key[1]: (similar[key], positions[key]) for key in readings}, labels, where)
        return positions
    for key, reading in readings.items():
        if None not in (reading.name, reading.position) and reading.name != reading.position and _any_clear(readings):
            raise _ambiguous({key[1]: (reading.name, reading.position)}, labels, where)
    return {key: reading.position if reading.name is None else reading.name for key, reading in readings.items()}


def _any_clear(readings: dict[Any, Reading]) -> bool:
    """Return whether every value stands for something; if not, that is the error to show."""
    return all(reading.name is not None or reading.position is not None for reading in readings.values())


class _Names:
    """The teacher's class names, as text and as numbers."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = list(labels)
        numbers = [_as_number(label) for label in labels]
        counts = Counter(numbers)
        self.numbers = {number: i for i, number in enumerate(numbers) if number is not None and counts[number] == 1}
        inside = [re.findall(r"\d+", label) for label in labels]
        found = [int(digits[0]) for digits in inside if len(digits) == 1 and len(digits[0]) < 10]
        self.inside = dict(zip(found, range(len(found)), strict=True)) if len(set(found)) == len(labels) else {}

    def read(self, value: Any) -> Reading:
        """Return what a value may stand for."""
        number = _as_number(value)
        name = index_of_name(str(value), self.labels) if isinstance(value, str | bool) else None
        if name is None and number is not None and not isinstance(value, bool):
            name = self.numbers.get(number)
        if isinstance(value, str) and name is None and (generic := GENERIC.fullmatch(value.strip())):
            number = float(generic[1])
        if number is None and len(self.labels) == 2 and name is None:
            number = {"true": 1.0, "false": 0.0}.get(str(value).strip().lower())
        whole = int(number) if number is not None and number.is_integer() else -1
        position = whole if 0 <= whole < len(self.labels) else None
        return Reading(name, position, self.inside.get(whole))


def _as_number(value: Any) -> float | None:
    """Return the number that a value is or spells; None for other values, and for switches."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    if isinstance(value, str) and not re.fullmatch(r"\s*[+-]?\d{1,15}(\.\d{1,15})?\s*", value, re.ASCII):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _order_of_declared(declared: list[str], labels: list[str], where: str) -> list[int]:
    """Return the teacher's index of each class that the data declares; their own numbers if no name is the teacher's."""
    order = [index_of_name(label, labels) for label in declared]
    if None not in order:
        return [index for index in order if index is not None]
    if len(declared) != len(labels):
        raise InputError(
            f"{where} has {len(declared)} classes ({_listed(declared)}), the teacher has {len(labels)} "
            f"({_listed(labels)}); give data of the teacher's own task."
        )
    if any(known not in (None, own) for own, known in enumerate(order)):
        raise InputError(
            f"{where} numbers its classes {_listed(declared)}, the teacher has {_listed(labels)}: some names are the "
            "same in another order; rename the classes of the data."
        )
    return list(range(len(declared)))


def index_of_name(name: str, labels: Sequence[str]) -> int | None:
    """Return the position of a class name: an exact match, or the only match when case is ignored."""
    if name in labels:
        return labels.index(name)
    alike = [i for i, label in enumerate(labels) if label.strip().casefold() == name.strip().casefold()]
    return alike[0] if len(alike) == 1 else None


def _ambiguous(readings: dict[Any, tuple[int | None, int | None]], labels: Sequence[str], where: str) -> InputError:
    """Return the error that shows both readings of one value which they differ in."""
    value, (name, position) = next((value, both) for value, both in readings.items() if both[0] != both[1])
    assert name is not None and position is not None
    return InputError(
        f"{where} can be read in two ways: {value!r} is the class '{labels[name]}' by its name, and '{labels[position]}' as a "
        f"position counted from 0 (classes: {_listed(labels)}); write names that are no positions, or positions as LABEL_0, "
        "LABEL_1 and so on."
    )


def _of_number(value: Any, reading: Reading, readings: Sequence[Reading], labels: Sequence[str]) -> str:
    """Return what to do about a number that is no position, by what the other values of the column are; "" for others."""
    number = _as_number(value)
    if number is None:
        return ""
    if reading.similar is not None and all(other.similar is not None for other in readings):
        return f"positions are counted from 0: write the names, '{labels[reading.similar]}' in place of {value}"
    if number == -1 and len(readings) > 1:
        return "leave the rows out if -1 marks those without a label; if it is a class, write the names of the classes"
    return "" if number == -1 else "positions are counted from 0: write the names of the classes"


def _no_class(value: Any, labels: Sequence[str], where: str, column: str, remedy: str = "") -> InputError:
    number = _as_number(value)
    if number == -1:
        remedy = remedy or "-1 marks a split whose labels are kept secret, choose another split"
    elif isinstance(value, str) and number is None and all(GENERIC.fullmatch(label) for label in labels):
        remedy = "the teacher only numbers its classes: name them with teacher_labels, in its order"
    elif isinstance(value, str) and number is None:
        remedy = f"rename it.{did_you_mean(value, labels)}"
    remedy = remedy or "check the column"
    shown = "nothing" if value is None else repr(value)
    shown = shown if len(shown) < 80 else f"{shown[:76]} ..."
    line = f"{where}: column '{column}' holds {shown}, expected 0 to {len(labels) - 1} or one of {_listed(labels)}; {remedy}"
    return InputError(line if line.endswith((".", "?")) else f"{line}.")


def _listed(names: Sequence[str], most: int = 20) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
