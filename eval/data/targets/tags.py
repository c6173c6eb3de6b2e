"""From columns to the words of texts and their tags, mostly in the IOB2 format.

`O` is the tag of a word outside of entities. The first word of an entity of type X has the tag `B-X`, its others have `I-X`.
Other formats: `distill.kinds.names.placed_tags`. Data in one format says the same to a teacher that has another.
"""

import logging
from collections.abc import Sequence

from distill.common.errors import InputError
from distill.kinds.names import IOB, OUTSIDE, begins, fault_of_tags, placed_tags, tag_at, tags_of
from eval.data.labels import class_indices, index_of_name
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
    if own := _own_names(columns, name, values, labels):
        rows = tags(columns, name, own, words)
        LOGGER.warning("%s: %s", columns.source, f"its tags are {_listed(own)}; their entities are read as {_listed(labels)}")
        return [_as_written(row, own, labels) for row in rows]
    numbers = [columns.row_numbers[row] for row, value in enumerate(values) for _ in value]
    flat = Columns(columns.source, {name: [tag for value in values for tag in value]}, numbers, columns.class_names)
    indices = iter(class_indices(flat, name, labels))
    numbered = [[next(indices) for _ in value] for value in values]
    for row, chosen in enumerate(numbered):
        _check_nesting(chosen, words[row], labels, f"{columns.at(row)}: column '{name}'")
    return numbered


def _own_names(columns: Columns, name: str, values: Sequence[Sequence[object]], labels: list[str]) -> list[str]:
    """Return the names of the tags of data where they are of another format than the teacher's, with its types alone."""
    declared = columns.class_names.get(name)
    own = declared or sorted({tag for row in values for tag in row if isinstance(tag, str)})
    if OUTSIDE not in own and declared is None:
        own = [OUTSIDE, *own]
    if declared is None and any(not isinstance(tag, str) for row in values for tag in row):
        return []  # numbers count by the teacher's names
    if fault_of_tags(own) or OUTSIDE not in own or OUTSIDE not in labels:
        return []
    taught, said = placed_tags(labels), placed_tags(own)
    endless = _ends(taught) and not _ends(said)  # IOB, whose tags are all among those of BIOES
    if all(index_of_name(tag, labels) is not None for tag in own) and not endless:
        return []
    return own if {tag[2:] for tag in said} <= {tag[2:] for tag in taught} else []


def _ends(placed: Sequence[str]) -> bool:
    """Return whether tags say where an entity ends."""
    return any(tag[0] in "ES" for tag in placed)


def _as_written(row: Sequence[int], own: Sequence[str], labels: Sequence[str]) -> list[int]:
    """Return the same entities in the tags of a teacher."""
    known = placed_tags(own)
    placed = [known[tag] for tag in row]
    first = [tag != OUTSIDE and begins(before, tag) for before, tag in zip([OUTSIDE, *placed], placed, strict=False)]
    last = [tag == OUTSIDE or start for tag, start in zip([*placed[1:], OUTSIDE], [*first[1:], False], strict=True)]
    names = dict(zip(placed_tags(labels), labels, strict=True))
    return [
        list(labels).index(OUTSIDE if tag == OUTSIDE else tag_at(tags_of(names, tag[2:]), begun, ended))
        for tag, begun, ended in zip(placed, first, last, strict=True)
    ]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + ", ..." * (len(names) > 20)


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
