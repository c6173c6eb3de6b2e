"""`data.jsonl` and `data.csv` of an export, read back as the dataset that they are.

They hold the same rows as the Parquet files: the teacher's answers, and rows that the export only marked. Read as the user's
own texts, the answers would be paid for again, and the marked rows would count.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from distill.common.errors import InputError
from distill.kinds.found import kind_by_columns
from distill.kinds.scores import STEPS
from distill.kinds.tokens import Tokens
from eval.data.config import PAIR_COLUMN
from eval.data.reading import read_files
from eval.data.text_files import csv_rows, json_rows, kind_of, opened
from prompter.exporting.shards import FORMULA_STARTS

MARKS = {"text", "keep", "wanted_label"}
"""Columns by which an export is known."""

TAKEN = (
    *("text", PAIR_COLUMN, "topic", "label", "labels", "wanted_label"),
    *("teacher_probs", "score", "tokens", "tags", "tag_probs", "keep"),
)


def is_text_export(file: Path) -> bool:
    """Return whether a file is the JSON lines or CSV of an export; a damaged file is none."""
    if kind_of(file) in (".jsonl", ".ndjson", ".json", ".csv", ".tsv") and file.is_file():
        try:
            return _columns(file) >= MARKS
        except InputError:
            return False
    return False


def _columns(file: Path) -> set[str]:
    kind = kind_of(file)
    rows_of = csv_rows if kind in (".csv", ".tsv") else json_rows
    with opened(file) as stream:
        return next((set(row) for _, row in rows_of(str(file), stream, (), kind)), set())


def read_text_export(file: Path, labels: list[str] | None, tags: list[str]) -> tuple[pa.Table, list[str] | None]:
    """Read such a file.

    Args:
        file: The file.
        labels: Class names from the recipe beside it, or None.
        tags: Tags of words from there, or [].

    Returns:
        A table with the columns of the Parquet files, classes as indices, and the class names, or the tags of words. These
        come from the rows where there is no recipe: the label of a row, or the tag of a word, is the one with its highest
        probability.

    Raises:
        InputError: A value is not what an export writes.
    """
    present = _columns(file)
    names = [name for name in TAKEN if name in present]
    read = read_files(str(file), [file], names)
    values: dict[str, list[Any]] = {"text": [_unquoted(text) for text in read.texts("text")]}
    values["keep"] = [_truth(value, read.at(row)) for row, value in enumerate(read.values["keep"])]
    if PAIR_COLUMN in names:
        values[PAIR_COLUMN] = [_unquoted(text) for text in read.texts(PAIR_COLUMN)]
    if "topic" in names:
        values["topic"] = [_unquoted(topic) if isinstance(topic, str) else "" for topic in read.values["topic"]]
    if "teacher_probs" in names:
        fewest = kind_by_columns(names).fewest
        values["teacher_probs"] = [
            _numbers(value, read.at(row), fewest) for row, value in enumerate(read.values["teacher_probs"])
        ]
        labels = labels or _labels(values["teacher_probs"], read.values.get("label", []))
    if "tag_probs" in names:
        values["tag_probs"] = [_of_words(value, read.at(row)) for row, value in enumerate(read.values["tag_probs"])]
        labels = tags or _tags(values["tag_probs"], read.values.get("tags", []))
    for name in {"labels", "tokens"} & set(names):  # its presence says the kind; the probabilities say what it holds
        values[name] = [str(value) for value in read.values[name]]
    if "score" in names:
        values["score"] = [_score(value, read.at(row)) for row, value in enumerate(read.values["score"])]
        labels = labels or list(STEPS)
    targets = Tokens().targets(labels) if labels and "tag_probs" in names else labels
    place = {name: index for index, name in enumerate(targets or [])}
    values["wanted_label"] = [place.get(str(value), -1) for value in read.values["wanted_label"]]
    return pa.table(values), labels


def _labels(answers: Sequence[list[float] | None], names: list[Any]) -> list[str] | None:
    """Return the name of each class from rows that have both; None where one never comes or has two names."""
    found: dict[int, str] = {}
    count = 0
    for answer, name in zip(answers, names, strict=False):
        if answer is None:
            continue
        count = len(answer)
        first = max(range(len(answer)), key=answer.__getitem__)
        if found.setdefault(first, str(name)) != str(name):
            return None
    return [found[index] for index in range(count)] if found and set(found) == set(range(count)) else None


def _tags(answers: list[list[list[float]] | None], names: list[Any]) -> list[str] | None:
    """Return the name of each tag from the words of all rows; None where one never comes or has two names."""
    words: list[list[float]] = []
    said: list[Any] = []
    for row, given in zip(answers, names, strict=False):
        tags = _listed(given)
        for word, name in zip(row or [], tags if isinstance(tags, list) else [], strict=False):
            if any(word):
                words.append(word)
                said.append(name)
    return _labels(words, said)


def _unquoted(text: str) -> str:
    """Return a text without the apostrophe that keeps a spreadsheet from computing it."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA_STARTS) else text


def _truth(value: Any, where: str) -> bool:
    if str(value).lower() in ("true", "false", "1", "0"):
        return str(value).lower() in ("true", "1")
    raise InputError(f"{where}: column 'keep' holds {str(value)[:40]!r}, expected true or false: export it again")


def _score(value: Any, where: str) -> float | None:
    if value in (None, ""):  # a marked row whose answer was unusable
        return None
    try:
        return float(value)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: column 'score' holds {str(value)[:40]!r}, expected a number: export it again") from error


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
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{where}: column 'tag_probs' holds {str(value)[:40]!r}, expected a list of probabilities for each word: export "
            "it again"
        ) from error


def _numbers(value: Any, where: str, fewest: int) -> list[float] | None:
    if value in (None, ""):  # a marked row whose answer was unusable
        return None
    try:
        answer = [float(number) for number in _listed(value)]
    except (ValueError, TypeError):
        answer = []
    if len(answer) < fewest:
        raise InputError(
            f"{where}: column 'teacher_probs' holds {str(value)[:40]!r}, expected a list of probabilities: export it again"
        )
    return answer
