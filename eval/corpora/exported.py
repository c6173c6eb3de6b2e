"""Which files are an exported dataset, and its `data.jsonl` or `data.csv` read back with the values of its Parquet files.

A file of the user's own may have columns of the same names, such as `keep` or `score`. So an export is known by several
columns at once, and by what they hold.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from distill.common.errors import InputError
from distill.kinds.found import kind_by_columns
from eval.data.config import PAIR_COLUMN
from eval.data.reading import Columns, read_files
from eval.data.text_files import ANSWERS, MARKS, WRITTEN_BESIDE, are_of_export, csv_rows, json_rows, kind_of, opened

READ_AS_ANSWERS = (
    "text and teacher_probs, a list of probabilities; of several labels labels, too; of scores text, score and wanted_label "
    "(-1: unknown); of words text, tokens, tags and tag_probs, a list of probabilities for each word; in CSV and JSON lines "
    "also keep"
)
"""The columns by which a table is known as answers of a teacher, for messages."""

NUMBERS = ("score", "confidence", "lm_logprob")
NAMES = ("label", "wanted_label", "topic", "drop_reason")


def is_exported(schema: pa.Schema) -> bool:
    """Return whether a Parquet or Arrow file without a recipe beside it holds an export, by columns and their types."""
    names = set(schema.names)
    answered = any(_holds_lists_of_numbers(schema.field(name).type) for name in ANSWERS if name in names)
    kept = "keep" in names and pa.types.is_boolean(schema.field("keep").type)
    return "text" in names and (answered or (kept and bool(names & WRITTEN_BESIDE)) or {"score", "wanted_label"} <= names)


def _holds_lists_of_numbers(kind: pa.DataType) -> bool:
    inner = kind
    while pa.types.is_list(inner) or pa.types.is_large_list(inner) or pa.types.is_fixed_size_list(inner):
        inner = inner.value_type
    return inner is not kind and bool(pa.types.is_floating(inner) or pa.types.is_integer(inner))


def is_text_export(file: Path) -> bool:
    """Return whether a file is the JSON lines or CSV of an export; a damaged file is none."""
    if kind_of(file) in (".jsonl", ".ndjson", ".json", ".csv", ".tsv") and file.is_file():
        try:
            names = _columns(file)
        except InputError:
            return False
        return are_of_export(names)
    return False


def _columns(file: Path) -> set[str]:
    kind = kind_of(file)
    rows_of = csv_rows if kind in (".csv", ".tsv") else json_rows
    with opened(file) as stream:  # the names find the separator of a file that another program has saved again
        return next((set(row) for _, row in rows_of(str(file), stream, MARKS, kind)), set())


def text_export_columns(file: Path, names: Iterable[str]) -> Columns:
    """Read columns of such a file.

    Args:
        file: The file.
        names: Columns to read if they are there; `text` and `keep` are read in any case.

    Returns:
        Columns with values as the Parquet files have them, but with names instead of indices of classes. What CSV cannot tell
        from nothing is None.

    Raises:
        InputError: A value is not what an export writes.
    """
    read = read_files(str(file), [file], MARKS, [name for name in names if name not in MARKS])
    fewest = kind_by_columns(read.values).fewest
    for name, values in read.values.items():
        places = [f"{read.at(row)}: column '{name}'" for row in range(len(read))]
        if name in ("text", PAIR_COLUMN):
            values = read.texts(name)
        elif name == "keep":
            values = [_truth(*both) for both in zip(values, places, strict=True)]
        elif name in NUMBERS:
            values = [_number(*both) for both in zip(values, places, strict=True)]
        elif name == "teacher_probs":
            values = [_numbers(*both, fewest) for both in zip(values, places, strict=True)]
        elif name == "tag_probs":
            values = [_of_words(*both) for both in zip(values, places, strict=True)]
        elif name in ("labels", "tokens", "tags"):
            values = [items if isinstance(items := _listed(value), list) else None for value in values]
        elif name in NAMES:
            values = [None if value == "" else value for value in values]
        read.values[name] = values
    return read


def _truth(value: Any, where: str) -> bool:
    if str(value).lower() in ("true", "false", "1", "0"):
        return str(value).lower() in ("true", "1")
    raise InputError(f"{where} holds {str(value)[:40]!r}, expected true or false: export it again")


def _number(value: Any, where: str) -> float | None:
    if value in (None, ""):  # a marked row whose answer was unusable
        return None
    try:
        return float(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{where} holds {str(value)[:40]!r}, expected a number: export it again") from error


def _listed(value: Any) -> Any:
    """Return a list, which is text in a CSV file; something else if it is none."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return None


def _of_words(value: Any, where: str) -> list[list[float]] | None:
    if value in (None, ""):  # a marked row whose answer was unusable
        return None
    try:
        return [[float(number) for number in word] for word in _listed(value)]
    except (ValueError, TypeError, OverflowError) as error:
        wanted = "a list of probabilities for each word"
        raise InputError(f"{where} holds {str(value)[:40]!r}, expected {wanted}: export it again") from error


def _numbers(value: Any, where: str, fewest: int) -> Sequence[float] | None:
    if value in (None, ""):  # a marked row whose answer was unusable
        return None
    try:
        answer = [float(number) for number in _listed(value)]
    except (ValueError, TypeError, OverflowError):
        answer = []
    if len(answer) < fewest:
        raise InputError(f"{where} holds {str(value)[:40]!r}, expected a list of probabilities: export it again")
    return answer
