"""`data.jsonl` and `data.csv` of an export, read back as the dataset that they are.

They hold the same rows as the Parquet files: the teacher's answers, and rows that the export only marked. Read as the user's
own texts, the answers would be paid for again, and the marked rows would count.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from distill.kinds.scores import STEPS
from distill.kinds.tokens import Tokens
from eval.corpora.exported import text_export_columns
from eval.data.config import PAIR_COLUMN

TAKEN = (
    *("text", PAIR_COLUMN, "topic", "label", "labels", "wanted_label"),
    *("teacher_probs", "score", "tokens", "tags", "tag_probs", "keep"),
)
"""Columns of an exported dataset that are read where they exist."""


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
    read = text_export_columns(file, TAKEN).values
    values: dict[str, list[Any]] = {
        name: read[name] for name in ("text", "keep", PAIR_COLUMN, "teacher_probs", "tag_probs", "score") if name in read
    }
    if "topic" in read:
        values["topic"] = [topic if isinstance(topic, str) else "" for topic in read["topic"]]
    if "teacher_probs" in read:
        labels = labels or _labels(read["teacher_probs"], read.get("label", []))
    if "tag_probs" in read:
        labels = tags or _tags(read["tag_probs"], read.get("tags", []))
    for name in ("labels", "tokens"):
        if name in read:  # its presence says the kind; the probabilities say what it holds
            values[name] = [str(value) for value in read[name]]
    if "score" in read:
        labels = labels or list(STEPS)
    if "wanted_label" in read:  # texts that `prompter label` was given have none
        targets = Tokens().targets(labels) if labels and "tag_probs" in read else labels
        place = {name: index for index, name in enumerate(targets or [])}
        values["wanted_label"] = [place.get(str(value), -1) for value in read["wanted_label"]]
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
    for row, tags in zip(answers, names, strict=False):
        for word, name in zip(row or [], tags or [], strict=False):
            if any(word):
                words.append(word)
                said.append(name)
    return _labels(words, said)
