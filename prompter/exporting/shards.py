"""Rows on the disk: Parquet shards that `datasets` and pandas open, and the same rows as JSON lines and CSV.

The Parquet schema stores the class names in the form that `datasets` reads. A file gets its name only when it is complete,
and the same rows always give the same bytes.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, List, Value

from distill.common.errors import InputError
from distill.common.files import replace_file
from distill.kinds.classes import SINGLE
from distill.kinds.kind import Kind
from eval.data.config import PAIR_COLUMN
from eval.data.text_files import FORMULA

ROWS_IN_MEMORY = 1000
"""Rows in memory while a dataset is written or read. Also the rows of a Parquet row group."""

CONFIDENCE = "confidence"
"""Column of how sure the teacher is, where its answers say so."""

ABOUT = {
    "label": "class that the teacher answered",
    "labels": "labels that the teacher gave: those with a probability above one half",
    "teacher_probs": "the teacher's probabilities, in the order of the labels",
    "score": "the teacher's number",
    "tokens": "the words of the text that the teacher reads",
    "tags": "the likeliest tag of each word",
    "tag_probs": "the teacher's probabilities of the tags of each word, in the order of the tags",
    "starts": "first character of each word",
    "ends": "character after the last one of each word",
}
"""What the cards say of the columns of answers."""


def answer_features(labels: list[str], kind: Kind) -> dict[str, Any]:
    """Return the columns of a teacher's answers, see `Kind.columns`, for classes or labels of these names."""
    known = {
        "label": ClassLabel(names=labels),
        "labels": List(ClassLabel(names=labels)),
        "teacher_probs": List(Value("float32")),
        "score": Value("float32"),
        "tokens": List(Value("string")),
        "tags": List(ClassLabel(names=kind.named_by(labels))),
        "tag_probs": List(List(Value("float32"))),
        "starts": List(Value("int64")),
        "ends": List(Value("int64")),
        "confidence": Value("float32"),
    }
    return {name: known[name] for name in kind.columns}


def features(labels: list[str], teacher: bool, kind: Kind = SINGLE) -> Features:
    """Return the columns of a dataset.

    Args:
        labels: Names of the targets, for instance the classes.
        teacher: Whether a teacher labelled the rows.
        kind: What its answers are.
    """
    answers = answer_features(labels, kind) if teacher else {}
    confidence = answers.pop(CONFIDENCE, None)
    columns: dict[str, Any] = {"text": Value("string")}
    if kind.texts == 2:
        columns[PAIR_COLUMN] = Value("string")
    columns |= answers
    columns |= {"wanted_label": ClassLabel(names=labels), "topic": Value("string")}
    if confidence is not None:
        columns[CONFIDENCE] = confidence
    columns |= {
        "lm_logprob": Value("float32"),
        "near_duplicate_of": Value("int64"),
        "keep": Value("bool"),
        "drop_reason": Value("string"),
        "prompter": Value("string"),
        "seed": Value("int64"),
    }
    return Features(columns)


def shard_path(folder: Path, number: int) -> Path:
    """Return the file of a shard. From its name `datasets` knows that it belongs to the split `train`."""
    return folder / "data" / f"train-{number:05d}.parquet"


def write_shard(folder: Path, number: int, rows: Iterable[dict[str, Any]], columns: Features) -> None:
    """Write one shard. An earlier shard of that number is replaced."""
    schema, rest = columns.arrow_schema, iter(rows)

    def write(temporary: Path) -> None:
        with pq.ParquetWriter(temporary, schema) as file:
            while portion := list(islice(rest, ROWS_IN_MEMORY)):
                file.write_table(pa.Table.from_pylist(portion, schema=schema))

    (folder / "data").mkdir(exist_ok=True)
    replace_file(shard_path(folder, number), write)


def read_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield all rows of a dataset in order, with classes as indices."""
    for file in sorted((folder / "data").glob("train-*.parquet")):
        with pq.ParquetFile(file) as shard:
            for batch in shard.iter_batches(ROWS_IN_MEMORY):
                yield from batch.to_pylist()


def check_tags(path: str, answers: pa.Array, labels: list[str] | None) -> int:
    """Return how many tags the answers about words in a column `tag_probs` have.

    Raises:
        InputError: The names of the tags are unknown, or a row is no list of probabilities of the tags for each word.
    """
    if not labels:
        raise InputError(f"{path}: the names of the tags are lost: put its recipe.yaml beside it again")
    nested = pa.types.is_list(answers.type) and pa.types.is_list(answers.type.value_type)
    words = answers.flatten() if nested else None
    if words is None or answers.null_count or words.null_count or not pa.types.is_floating(words.type.value_type):
        raise InputError(f"{path}: column 'tag_probs' holds no lists of numbers for each word: export it again")
    values = words.flatten()
    fits = pc.all(pc.equal(pc.list_value_length(words), len(labels)))
    inside = pc.all(pc.and_(pc.greater_equal(values, 0), pc.less_equal(values, 1.001)))
    if values.null_count or not all(found.as_py() in (True, None) for found in (fits, inside)):
        raise InputError(f"{path}: column 'tag_probs' holds something else than {len(labels)} probabilities: export it again")
    return len(labels)


def write_jsonl(folder: Path, columns: Features) -> None:
    """Write `data.jsonl`: one row per line, with class names."""

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            for row in _readable_rows(folder, columns):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")

    replace_file(folder / "data.jsonl", write)


def write_csv(folder: Path, columns: Features) -> None:
    """Write `data.csv`, with class names, and with probabilities as a JSON list; see `csv_cell` for texts."""

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(columns)
            for row in _readable_rows(folder, columns):
                lines.writerow([csv_cell(value) for value in row.values()])

    replace_file(folder / "data.csv", write)


def csv_cell(value: Any) -> Any:
    """Return a value as a CSV cell. Text that a spreadsheet would compute gets a leading apostrophe.

    Examples:
        >>> csv_cell("=1+1"), csv_cell(-0.5), csv_cell([0.5, 0.5]), csv_cell("well")
        ("'=1+1", -0.5, '[0.5, 0.5]', 'well')
        >>> csv_cell(["悲伤"])
        '["悲伤"]'
    """
    if isinstance(value, str):
        return f"'{value}" if FORMULA.match(value) else value
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


def _readable_rows(folder: Path, columns: Features) -> Iterator[dict[str, Any]]:
    """Yield rows with class names instead of indices, and float32 numbers with their own digits."""
    classes = {name: feature.names for name, feature in columns.items() if isinstance(feature, ClassLabel)}
    sets = {name: item.names for name, f in columns.items() if isinstance(item := getattr(f, "feature", None), ClassLabel)}
    for row in read_rows(folder):
        for name, value in row.items():
            if name in classes:
                row[name] = None if value == -1 else classes[name][value]
            elif name in sets and value is not None:
                row[name] = [None if index == -1 else sets[name][index] for index in value]
            else:
                row[name] = _shortest(value)
        yield row


def _shortest(value: Any) -> Any:
    """Return numbers, also those in lists, with the fewest digits that give the same float32; other values as they are."""
    if isinstance(value, list):
        return [_shortest(item) for item in value]
    return float(str(np.float32(value))) if isinstance(value, float) else value
