"""From columns to the words of texts and their tags, mostly in the IOB2 format.

`O` is the tag of a word outside of entities. The first word of an entity of type X has the tag `B-X`, its others have `I-X`.
Other formats: `distill.kinds.names.placed_tags`.
"""

import logging
from collections.abc import Sequence

from distill.common.errors import InputError
from distill.kinds.names import IOB, OUTSIDE, begins, fault_of_tags, placed_tags
from eval.data.labels import class_indices
from eval.data.reading import Columns, report_long
from eval.data.targets.lists import list_in
from eval.data.text_files import MAX_TEXT

LOGGER = logging.getLogger("prompter")


def with_words(columns: Columns, name: str) -> tuple[Columns, list[list[str]]]:
    """Return the rows that have words, and their words; lines say how many rows are left out.

    Raises:
        InputError: A row is no list of words, or no row is left.
    """
    kept, words, long, empty = [], [], 0, 0
    for row, value in enumerate(map(list_in, columns.values[name])):
        if value is None or not all(isinstance(word, str) for word in value):
            given = columns.values[name][row]
            found = "nothing" if given is None else repr(given)[:80]
            wanted = "a list of words" + " as JSON" * isinstance(given, str)
            raise InputError(f"{columns.at(row)}: column '{name}' holds {found}, expected {wanted}; fix or remove the row.")
        if sum(map(len, value)) + len(value) > MAX_TEXT:
            long += 1
        elif not any(word.strip() for word in value):
            empty += 1
        else:
            kept.append(row)
            words.append([word.encode("utf-8", "replace").decode("utf-8") for word in value])
    if long:
        report_long(columns.source, long, len(columns))
    if not kept:
        raise InputError(f"{columns.source}: no row has a word in column '{name}'; check the column.")
    if empty:
        LOGGER.warning("%s: %s", columns.source, f"{empty:,} of {len(columns):,} rows have no word and are left out")
    return (columns if len(kept) == len(columns) else columns.take(kept)), words


def tags(columns: Columns, name: str, labels: list[str], words: Sequence[Sequence[str]]) -> list[list[int]]:
    """Turn a column into the tag indices of each row's words.

    Args:
        columns: The data.
        name: The column: lists of indices or names.
        labels: The K names of tags, in the order of the teacher's outputs.
        words: The words of the N rows.

    Raises:
        InputError: The names of the tags are in no known format, a row has not as many tags as words, a tag is none of the
            names, or an `I-` tag continues no entity of its type.
    """
    if fault := fault_of_tags(labels):
        raise InputError(f"{columns.source}: the tags are {', '.join(labels[:20])}, but {fault}; expected {IOB}")
    values = [value if (items := list_in(value)) is None else items for value in columns.values[name]]
    for row, (value, given) in enumerate(zip(values, words, strict=True)):
        if not isinstance(value, list | tuple):
            found = "nothing" if value is None else repr(value)[:80]
            wanted = "a list of tags" + " as JSON" * isinstance(value, str)
            raise InputError(f"{columns.at(row)}: column '{name}' holds {found}, expected {wanted}; fix or remove the row.")
        if len(value) != len(given):
            raise InputError(
                f"{columns.at(row)}: column '{name}' holds {len(value)} tags for {len(given)} words, expected one for each "
                "word; fix or remove the row."
            )
    numbers = [columns.row_numbers[row] for row, value in enumerate(values) for _ in value]
    flat = Columns(columns.source, {name: [tag for value in values for tag in value]}, numbers, columns.class_names)
    indices = iter(class_indices(flat, name, labels))
    numbered = [[next(indices) for _ in value] for value in values]
    for row, chosen in enumerate(numbered):
        _check_nesting(chosen, words[row], labels, f"{columns.at(row)}: column '{name}'")
    return numbered


def _check_nesting(chosen: Sequence[int], words: Sequence[str], labels: Sequence[str], where: str) -> None:
    """Refuse an `I-` or `E-` tag that continues nothing, where its type has a `B-` tag that could begin the entity."""
    placed = placed_tags(labels)
    before, written = OUTSIDE, "nothing"
    for number, (place, word) in enumerate(zip(chosen, words, strict=True), start=1):
        tag, label = placed[place], labels[place]
        if tag[0] in "IE" and f"B-{tag[2:]}" in placed and begins(before, tag):
            wanted = " or ".join([f"B-{tag[2:]}", *[f"I-{tag[2:]}"] * (f"I-{tag[2:]}" in placed)])
            raise InputError(
                f"{where} holds {label} for word {number} ({word[:40]!r}) after {written}, expected {label} to follow "
                f"{wanted}; write the tags as IOB2 has them, where each entity begins with its B- tag."
            )
        before, written = tag, label
