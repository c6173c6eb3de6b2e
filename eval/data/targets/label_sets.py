"""From columns to sets of labels: for each row K times 0 or 1.

A column holds lists of names or indices, as `Sequence(ClassLabel)` gives them, or lists of K zeros and ones. Or each label has
a column of its own, of zeros and ones. In text files a list is JSON, or its items stand between commas.
"""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from distill.common.errors import InputError
from eval.data.labels import class_indices
from eval.data.reading import Columns

SWITCHES = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1, "no": 0, "yes": 1}


def label_sets(columns: Columns, names: Sequence[str], labels: list[str]) -> list[list[int]]:
    """Turn columns into rows of K times 0 or 1.

    Args:
        columns: The data.
        names: One column of lists; or K columns of zeros and ones, in the order of the labels.
        labels: The K names of labels, in the order of the teacher's outputs.

    Raises:
        InputError: A row is no list, has the wrong length, or holds something else than a label; or the lists could be read
            as indices and as zeros and ones.
    """
    if len(names) > 1:
        if len(names) != len(labels):
            raise InputError(
                f"{columns.source}: {len(names)} label columns are named for {len(labels)} labels ({', '.join(labels[:20])}); "
                "name one column for each label, in this order"
            )
        return [[_switch(columns, row, name) for name in names] for row in range(len(columns))]
    (name,) = names
    lists = [_listed(value, f"{columns.at(row)}: column '{name}'") for row, value in enumerate(columns.values[name])]
    if columns.class_names.get(name) is None and _are_vectors(lists, labels, f"{columns.source}: column '{name}'"):
        for row, items in enumerate(lists):
            if len(items) != len(labels) or not all(map(_is_bit, items)):
                raise InputError(
                    f"{columns.at(row)}: column '{name}' holds {_short(items)}, expected {len(labels)} zeros and ones, "
                    "one for each label, like the other rows; fix or remove the row."
                )
        return [[int(item) for item in items] for items in lists]
    rows = [row for row, items in enumerate(lists) for _ in items]
    flat = [item for items in lists for item in items]
    numbers = [columns.row_numbers[row] for row in rows]
    indices = class_indices(Columns(columns.source, {name: flat}, numbers, columns.class_names), name, labels) if flat else []
    found = [[0] * len(labels) for _ in lists]
    for row, index in zip(rows, indices, strict=True):
        found[row][index] = 1
    return found


def _switch(columns: Columns, row: int, name: str) -> int:
    """Return the 0 or 1 that a value of a label's own column stands for."""
    value = columns.values[name][row]
    if _is_bit(value):
        return int(value)
    if isinstance(value, str) and value.strip().lower() in SWITCHES:
        return SWITCHES[value.strip().lower()]
    secret = str(value).strip() in ("-1", "-1.0")
    remedy = "-1 marks a split whose labels are kept secret, choose another split" if secret else "fix or remove the row"
    raise InputError(f"{columns.at(row)}: column '{name}' holds {_short(value)}, expected 0 or 1; {remedy}.")


def _listed(value: Any, where: str) -> list[Any]:
    """Return the items of a list, or of its text."""
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, str):
        text = value.strip()
        try:
            items = json.loads(text) if text.startswith("[") else None
        except (ValueError, RecursionError):
            items = None
        if isinstance(items, list):
            return items
        if not text.startswith("["):
            return [part.strip() for part in text.split(",") if part.strip()]
    raise InputError(f"{where} holds {_short(value)}, expected a list of labels ([] for none); fix or remove the row.")


def _are_vectors(lists: list[list[Any]], labels: list[str], where: str) -> bool:
    """Return whether the lists are zeros and ones, one for each label, and no indices."""
    bits = [items for items in lists if items and all(map(_is_bit, items))]
    if any(len(set(items)) < len(items) for items in bits):  # no index stands twice in a list
        return True
    if len(bits) < len(lists) or any(len(items) != len(labels) for items in bits):
        return False
    if len(labels) > 1 and all(type(item) is int for items in bits for item in items):
        raise InputError(
            f"{where} can be read in two ways: [1, 0] are the labels '{labels[1]}' and '{labels[0]}' by their indices, or "
            f"'{labels[0]}' alone as zeros and ones; write names, or true and false."
        )
    return True


def _is_bit(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and value in (0, 1)


def _short(value: Any) -> str:
    shown = "nothing" if value is None else repr(value)
    return shown if len(shown) < 80 else f"{shown[:76]} ..."
