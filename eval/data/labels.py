"""From a column of labels to class indices.

A number is a class index, and a name is looked up among the teacher's class names. Data and teacher may number the same
names differently, so where both sides have names, the names decide.
"""

import re
from typing import Any

from distill.common.errors import InputError, did_you_mean
from eval.data.reading import Columns


def class_indices(columns: Columns, name: str, labels: list[str]) -> list[int]:
    """Turn a column of labels into class indices in 0..K-1.

    A column of strings is read as names if all of them are names, otherwise as indices.

    Args:
        columns: The data.
        name: The column.
        labels: The teacher's K class names, in the order of its outputs.

    Raises:
        InputError: A label is neither an index nor a name, or the classes of the data contradict the teacher's.
    """
    values = columns.values[name]
    declared = columns.class_names.get(name)
    if declared is not None:
        order = _order_of_declared(declared, labels, f"{columns.source}: column '{name}'")
        values = [order[v] if isinstance(v, int) and 0 <= v < len(order) else v for v in values]
    by_name = [_index_of_name(value, labels) if isinstance(value, str) else None for value in values]
    if None not in by_name:
        return [index for index in by_name if index is not None]
    return [_checked_index(value, labels, columns.at(row), name) for row, value in enumerate(values)]


def _order_of_declared(declared: list[str], labels: list[str], where: str) -> list[int]:
    """Return the teacher's index of each class that the data declares; their own numbers if no name is the teacher's."""
    order = [_index_of_name(label, labels) for label in declared]
    if None not in order:
        return [index for index in order if index is not None]
    if len(declared) != len(labels):
        raise InputError(
            f"{where} has {len(declared)} classes ({', '.join(declared)}), the teacher has {len(labels)} "
            f"({', '.join(labels)}); give data of the teacher's own task."
        )
    if any(known not in (None, own) for own, known in enumerate(order)):
        raise InputError(
            f"{where} numbers its classes {', '.join(declared)}, the teacher has {', '.join(labels)}: some names are the "
            "same in another order; rename the classes of the data."
        )
    return list(range(len(declared)))


def _index_of_name(name: str, labels: list[str]) -> int | None:
    """Return the position of a class name: an exact match, or the only match when case is ignored."""
    if name in labels:
        return labels.index(name)
    alike = [i for i, label in enumerate(labels) if label.casefold() == name.strip().casefold()]
    return alike[0] if len(alike) == 1 else None


def _checked_index(value: Any, labels: list[str], where: str, column: str) -> int:
    if isinstance(value, str):
        named = _index_of_name(value, labels)
        if re.fullmatch(r"\s*-?\d+\s*", value):
            value = int(value)
        elif named is not None:
            value = named
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and 0 <= value < len(labels):
        return int(value)
    remedy = "check the column"
    if value == -1:
        remedy = "-1 marks a split whose labels are kept secret, choose another split"
    elif isinstance(value, str):
        remedy = f"rename it.{did_you_mean(value, labels)}".rstrip(".")
    shown = "nothing" if value is None else repr(value)
    raise InputError(
        f"{where}: column '{column}' holds {shown}, expected 0 to {len(labels) - 1} or one of {', '.join(labels)}; {remedy}."
    )
