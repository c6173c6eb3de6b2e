"""Reading a corpus to be judged: an exported dataset with its columns, or plain texts.

The rows that an export kept are judged. The rows that it marked are counted, and judged only if all rows are asked for.
A column that is missing is None; the code that needs it decides what to do.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from distill.common.errors import InputError
from distill.common.hub import HUB_ID
from distill.kinds.found import kind_by_columns
from distill.kinds.kind import Kind
from distill.kinds.names import fault_of_tags
from distill.kinds.tokens import Tokens
from eval.corpora.exported import is_exported, is_text_export, text_export_columns
from eval.data.config import PAIR_COLUMN
from eval.data.folders import parquet_files, saved_files
from eval.data.labelled import load_pairs, load_texts
from eval.data.reading import Columns, read_files
from eval.data.recipe import RECIPE_FILE, check_dataset, names_listed
from eval.data.tables import schema_of
from eval.data.text_files import TABLES, kind_of

WORK = ".export"
"""The folder that `prompter export` works in until it writes the recipe."""

COLUMNS = (
    *("label", "labels", "tags", "score", "wanted_label", "teacher_probs", "confidence", "topic", "lm_logprob", "keep"),
    "drop_reason",
)
"""Columns of an exported dataset that are read beside the text."""


@dataclass(frozen=True)
class Corpus:
    """Texts, and what a dataset says about them.

    Attributes:
        name: Where they came from, as the user wrote it.
        texts: N texts; N >= 1.
        rows: Rows of the dataset, including those left out.
        marked: How many rows the export marked, by its reason.
        labels: Class names in their order; empty if unknown.
        classes: N class names, None in rows without a prediction; of several labels per text, the names of all of them; of
            tagged words, the types that each text holds; None without such a column.
        classes_are: "label", "labels" or "tags" for the teacher's predictions, "wanted_label" for the target labels.
        confidence: (N,) float64, how sure the teacher is, NaN in rows without a prediction; or None.
        scores: (N,) float64, the teacher's numbers, NaN in rows without one; or None.
        topics: N topics; or None.
        logprob: (N,) float64, mean log-probability per token under the writer (nats, <= 0); or None.
    """

    name: str
    texts: list[str]
    rows: int
    marked: dict[str, int] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    classes: list[str | None] | None = None
    classes_are: str = ""
    confidence: np.ndarray | None = None
    topics: list[str] | None = None
    logprob: np.ndarray | None = None
    scores: np.ndarray | None = None
    second: list[str] | None = None


def load_corpus(path: str, text_column: str = "text", all_rows: bool = False, split: str = "train") -> Corpus:
    """Read the corpus that is to be judged.

    Args:
        path: Folder of an exported dataset, one of its Parquet files, its `data.jsonl` or `data.csv`, a folder with a file
            `train.*`, or a file of texts (`.txt` with one text per line, or a file that `eval.data.reading` reads). Of files
            that are no export, only the texts are read.
        text_column: Column of the texts.
        all_rows: Also read the rows that the export marked.
        split: Split of a folder whose files are named after splits.

    Raises:
        InputError: The path does not exist, the export is unfinished, a column is missing or holds something else, or the
            corpus has no rows.
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise InputError(f"{path}: there is no such folder or file; give the folder of a dataset, or a file of texts.")
    if place.is_dir() and (place / WORK).is_dir() and not (place / RECIPE_FILE).is_file():
        raise InputError(f"{path}: is an unfinished export; give the command that began it again (prompter export or label).")
    files = [place] if kind_of(place) in TABLES and place.is_file() else []
    if place.is_dir():
        files = saved_files(place, split) or parquet_files(place, split)
    if files:
        if place.is_dir():
            check_dataset(place, files)
        schema = schema_of(files)
        known = (place / RECIPE_FILE).is_file() or (schema is not None and is_exported(schema))
        optional = (PAIR_COLUMN, *(COLUMNS if known else ()))
        columns = read_files(path, files, [text_column], optional).without_long_texts([text_column])
        if known or not len(columns):
            return _dataset(path, columns, text_column, all_rows)
        return Corpus(path, columns.texts(text_column), len(columns), second=_second(columns, text_column))
    if text_column in ("text", PAIR_COLUMN) and is_text_export(place):
        columns = text_export_columns(place, (PAIR_COLUMN, *COLUMNS))
        columns.class_names.update(names_listed(place.parent / RECIPE_FILE))  # also those that no row has
        if text_column in columns.values:
            return _dataset(path, columns.without_long_texts([text_column]), text_column, all_rows)
    texts, second = load_pairs(path, text_column, split)
    return Corpus(path, texts, len(texts), second=None if text_column == PAIR_COLUMN else second)


def _second(columns: Columns, text_column: str) -> list[str] | None:
    if PAIR_COLUMN not in columns.values or text_column == PAIR_COLUMN:
        return None
    return [value if isinstance(value, str) else "" for value in columns.values[PAIR_COLUMN]]


def load_reference(path: str, text_column: str = "text", split: str = "train") -> Corpus:
    """Read real texts to compare with.

    Args:
        path: As in `load_corpus`; or a hub id, or `toy:TASK`.
        text_column: Column of the texts.
        split: Split of a folder, hub id or toy task.

    Raises:
        InputError: As `load_corpus`; or the hub has no such dataset.
    """
    # "data/real.jsonl" could be a hub id; with a folder "data" here it is a mistyped path, known without a network.
    on_hub = HUB_ID.fullmatch(path.partition(":")[0]) and not ("/" in path and Path(path.split("/")[0]).is_dir())
    try:
        if path.partition(":")[0] == "toy" or (on_hub and not Path(path).exists()):
            texts = load_texts(path, text_column, split)
            return Corpus(path, texts, len(texts))
        return load_corpus(path, text_column, split=split)
    except InputError as error:
        raise InputError(f"reference: {error}") from error


def _dataset(path: str, columns: Columns, text_column: str, all_rows: bool) -> Corpus:
    rows, values = len(columns), columns.values
    marked = Counter(str(reason) for reason in values.get("drop_reason", []) if reason is not None)
    for name, of in {"keep": bool, "labels": list}.items():
        if not all(value is None or isinstance(value, of) for value in values.get(name, [])):
            wanted = "true or false" if of is bool else "lists of labels"
            raise InputError(f"{path}: column '{name}' holds something other than {wanted}; export it again.")
    if "keep" in values and not all_rows:
        columns = columns.take([row for row in range(rows) if values["keep"][row]])
        values = columns.values
    if not len(columns):
        remedy = "give --all_rows to judge the marked ones" if rows else "give a dataset with at least one"
        raise InputError(f"{path}: holds no kept row ({rows} in all); {remedy}.")
    kind = kind_by_columns(values)
    classes_are = next((name for name in ("label", "labels", "tags", "wanted_label") if name in values), "")
    classes: list[str | None] | None = None
    labels: list[str] = []
    if classes_are == "tags":
        classes, labels = _types(values["tags"], columns.class_names.get("tags", []))
    elif classes_are:
        declared = columns.class_names.get(classes_are, [])
        given = values[classes_are]
        if classes_are == "labels":
            given = [one for row in given for one in ([None] if row is None else row)]
        classes = [_class_name(value, declared) for value in given]
        labels = declared or sorted({name for name in classes if name is not None})
    return Corpus(
        name=path,
        texts=columns.texts(text_column),
        rows=rows,
        marked=dict(marked.most_common()),
        labels=labels,
        classes=classes,
        classes_are=classes_are,
        confidence=_confidence(path, values, kind),
        topics=[str(topic or "") for topic in values["topic"]] if "topic" in values else None,
        logprob=_numbers(path, "lm_logprob", values["lm_logprob"]) if "lm_logprob" in values else None,
        scores=_numbers(path, "score", values["score"]) if kind.stored_in == "score" else None,
        second=_second(columns, text_column),
    )


def _types(rows: list[Any], declared: list[str]) -> tuple[list[str | None] | None, list[str]]:
    """Return the types that each text holds, one after the other, None for a text without an answer; and all types.

    There are none where the names are not known: text files name only the tags that occur.
    """
    names = declared or sorted({tag for row in rows for tag in row or [] if isinstance(tag, str) and tag})
    if fault_of_tags(names):
        return None, []
    kind, numbers = Tokens(tuple(names)), {name: number for number, name in enumerate(names)}
    types, found = kind.targets(names), list[str | None]()
    for row in rows:
        tags = [tag if isinstance(tag, int) and tag < len(names) else numbers.get(str(tag), -1) for tag in row or []]
        given = kind.given({"tags": None if row is None else tags})
        found += [types[one] for one in given] or [None]
    return found, types


def _class_name(value: Any, declared: list[str]) -> str | None:
    """Return the name of a class; None for a row without a prediction, which `datasets` writes as -1."""
    if value is None or value == -1:
        return None
    return declared[value] if isinstance(value, int) and 0 <= value < len(declared) else str(value)


def _confidence(path: str, columns: dict[str, list[Any]], kind: Kind) -> np.ndarray | None:
    """Return how sure the teacher is of each row, from the predictions themselves if they are stored."""
    if "teacher_probs" in columns:
        try:
            sure = [kind.cells(shown or None)["confidence"] for shown in columns["teacher_probs"]]
        except TypeError as error:
            raise InputError(f"{path}: column 'teacher_probs' is not a list of numbers; export it again.") from error
        return _numbers(path, "teacher_probs", sure)
    return _numbers(path, "confidence", columns["confidence"]) if "confidence" in columns else None


def _numbers(path: str, name: str, values: list[Any]) -> np.ndarray | None:
    """Return (N,) float64 with NaN for values that are missing or infinite; None if all of them are."""
    if not all(value is None or isinstance(value, int | float) for value in values):
        raise InputError(f"{path}: column '{name}' holds something other than numbers; export it again.")
    numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    numbers[~np.isfinite(numbers)] = np.nan
    return None if np.isnan(numbers).all() else numbers
