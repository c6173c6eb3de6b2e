"""From columns to sets of labels: for each row K times 0 or 1.

A column holds lists of names or indices, as `Sequence(ClassLabel)` gives them, or lists of K zeros and ones. Or each label has
a column of its own, of zeros and ones. In text files a list is JSON, or as Python writes it, or its items stand between
commas.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from distill.common.errors import InputError
from eval.data.labels import class_indices, index_of_name
from eval.data.reading import Columns
from eval.data.targets.lists import list_in

SWITCHES = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1, "no": 0, "yes": 1}

BITS: dict[str, int | float | bool] = {"0": 0, "1": 1, "0.0": 0.0, "1.0": 1.0, "false": False, "true": True}
"""Zeros and ones as text files hold them; `class_indices` reads the first four as indices too."""


def label_sets(columns: Columns, names: Sequence[str], labels: list[str]) -> list[list[int]]:
    """Turn columns into rows of K times 0 or 1.

    Args:
        columns: The data.
        names: One column of lists; or K columns of zeros and ones, which are called like the labels or are in their order.
        labels: The K names of labels, in the order of the teacher's outputs.

    Raises:
        InputError: A row is no list, has the wrong length, or holds something else than a label; the lists could be read
            as indices and as zeros and ones; or some columns are called like labels in another place.
    """
    if len(names) == 1 and columns.values[names[0]] and all(map(_is_bare_bit, columns.values[names[0]])):
        if len(labels) > 1:
            raise InputError(
                f"{columns.source}: column '{names[0]}' holds one 0 or 1 in each row, expected lists of labels; where each "
                f"label has a column of its own, name them all, as in --eval_label_column {','.join(labels)[:1000]}, in a "
                "task's file as label_columns; write an index as [1]."
            )
        return [[_switch(columns, row, names[0])] for row in range(len(columns))]
    if len(names) > 1:
        if len(names) != len(labels):
            raise InputError(
                f"{columns.source}: {len(names)} label columns are named for {len(labels)} labels ({', '.join(labels[:20])}); "
                "name one column for each label, in this order"
            )
        places = _places(names, labels, columns.source)
        return [[_switch(columns, row, names[place]) for place in places] for row in range(len(columns))]
    (name,) = names
    lists = [_listed(value, f"{columns.at(row)}: column '{name}'") for row, value in enumerate(columns.values[name])]
    vectors = _with_numbers(lists, labels)
    if columns.class_names.get(name) is None and _are_vectors(vectors, labels, f"{columns.source}: column '{name}'"):
        for row, items in enumerate(vectors):
            if len(items) != len(labels) or not all(map(_is_bit, items)):
                raise InputError(
                    f"{columns.at(row)}: column '{name}' holds {_short(items)}, expected {len(labels)} zeros and ones, "
                    "one for each label, like the other rows; fix or remove the row."
                )
        return [[int(item) for item in items] for items in vectors]
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


def _is_bare_bit(value: Any) -> bool:
    """Return whether a value is one 0 or 1, and no list of it."""
    return _is_bit(value) or (isinstance(value, str) and value.strip().lower() in BITS)


def _places(names: Sequence[str], labels: list[str], source: str) -> list[int]:
    """Return for each label the place of its column: by the names where they are the labels' names, else by the order."""
    order = [index_of_name(name, labels) for name in names]
    if sorted(-1 if index is None else index for index in order) == list(range(len(labels))):
        return [order.index(label) for label in range(len(labels))]
    for place, (name, index) in enumerate(zip(names, order, strict=True)):
        if index not in (None, place):
            raise InputError(
                f"{source}: label column {place + 1} is '{name}', but the labels are {', '.join(labels[:20])}; name one "
                "column for each label, in this order"
            )
    return list(range(len(labels)))


def _listed(value: Any, where: str) -> list[Any]:
    """Return the items of a list, or of its text."""
    items = list_in(value)
    if items is not None:
        return items
    if isinstance(value, str) and not value.strip().startswith("["):
        return [part.strip() for part in value.split(",") if part.strip()]
    wanted = "a list of labels ([] for none)" + " as JSON" * isinstance(value, str)
    raise InputError(f"{where} holds {_short(value)}, expected {wanted}; fix or remove the row.")


def _with_numbers(lists: list[list[Any]], labels: list[str]) -> list[list[Any]]:
    """Return the lists with numbers where text spells 0 or 1, unless these are names of labels."""
    if any(label.strip().lower() in BITS for label in labels):
        return lists
    return [[BITS.get(item.strip().lower(), item) if isinstance(item, str) else item for item in items] for items in lists]


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
