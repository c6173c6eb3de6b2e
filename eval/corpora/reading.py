"""Reading a corpus to be judged: an exported dataset with its columns, or plain texts from a file.

Of an exported dataset the kept rows count; what the export marked is counted, not judged, unless all rows are asked for.
A column that is missing is None: whoever needs it says what to do about that.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset
import pyarrow.parquet
from pyarrow import ArrowException

from distill.common.errors import InputError, did_you_mean
from distill.common.hub import HUB_ID
from eval.data.labelled import load_texts, parquet_files
from eval.toy import located

RECIPE, WORK = "recipe.yaml", ".export"
"""What `prompter export` writes last into a finished dataset, and the folder it works in until then."""

COLUMNS = ("label", "wanted_label", "teacher_probs", "confidence", "topic", "lm_logprob", "keep", "drop_reason")
"""What is read beside the text, where it is there."""


@dataclass(frozen=True)
class Corpus:
    """Texts, and what a dataset says of them.

    Attributes:
        name: Where they came from, as the user wrote it.
        texts: N texts; N >= 1.
        rows: Rows of the dataset, those left out included.
        marked: How many rows the export marked, by its reason.
        labels: Class names in their order; empty where nothing tells them.
        classes: N class names, None in rows without an answer; None without such a column.
        classes_are: "label", the teacher's answers, or "wanted_label", what was asked for.
        confidence: (N,) float64, the teacher's largest probability, NaN in rows without an answer; or None.
        topics: N openings; or None.
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


def load_corpus(path: str, text_column: str = "text", all_rows: bool = False, split: str = "train") -> Corpus:
    """Read the corpus that is to be judged.

    Args:
        path: Folder of an exported dataset, one of its Parquet files, a folder with a file `train.*`, or a file of texts
            (`.txt` with a text a line, or what `eval.data.labelled` reads).
        text_column: Column of the texts.
        all_rows: Read the rows that the export marked, too.
        split: Split of a folder whose files are named after splits.

    Raises:
        InputError: There is nothing there, an export is unfinished, a column is missing or holds something else, or there
            is no row.
    """
    place = Path(path)
    if not place.exists():
        raise InputError(f"{path}: there is no such folder or file; give the folder of a dataset, or a file of texts.")
    if place.is_dir() and (place / WORK).is_dir() and not (place / RECIPE).is_file():
        raise InputError(f"{path}: is an unfinished export; run the same prompter export again, which goes on with it.")
    files = [place] if place.name.endswith(".parquet") else parquet_files(place, split) if place.is_dir() else []
    if files:
        return _read_dataset(path, files, text_column, all_rows)
    texts = load_texts(path, text_column, split)
    return Corpus(path, texts, len(texts))


def load_reference(path: str, text_column: str = "text", split: str = "train") -> Corpus:
    """Read real texts to compare with.

    Args:
        path: As in `load_corpus`; or a dataset of the hub, or `toy:TASK`, the training text of a toy task.
        text_column: Column of the texts.
        split: Split of a folder or of a dataset of the hub.

    Raises:
        InputError: As `load_corpus`; or the hub has no such dataset.
    """
    path = located(path, "train")
    # "data/real.jsonl" could be a hub id; with a folder "data" here it is a mistyped path, known without a network.
    on_hub = HUB_ID.fullmatch(path.partition(":")[0]) and not ("/" in path and Path(path.split("/")[0]).is_dir())
    try:
        if not Path(path).exists() and on_hub:
            texts = load_texts(path, text_column, split)
            return Corpus(path, texts, len(texts))
        return load_corpus(path, text_column, split=split)
    except InputError as error:
        raise InputError(f"reference: {error}") from error


def _read_dataset(path: str, files: Sequence[Path], text_column: str, all_rows: bool) -> Corpus:
    from datasets import ClassLabel, Features

    try:
        data = pyarrow.dataset.dataset([str(file) for file in files], format="parquet")
        names = data.schema.names
        if text_column not in names:
            hint = did_you_mean(text_column, names).strip() or "Name another with --text_column."
            raise InputError(f"{path}: has no column '{text_column}', only {', '.join(names)}. {hint}")
        table = data.to_table(columns=[text_column, *(name for name in COLUMNS if name in names and name != text_column)])
        features = Features.from_arrow_schema(table.schema)
    except (ArrowException, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read as Parquet ({error}); the files are damaged; export them again.") from error
    values = {name: table.column(name).to_pylist() for name in table.column_names}
    kept = list(range(table.num_rows))
    if "keep" in values and not all_rows:
        kept = [row for row in kept if values["keep"][row]]
    if not kept:
        remedy = "give --all_rows to judge the marked ones" if table.num_rows else "give a dataset with at least one"
        raise InputError(f"{path}: holds no kept row ({table.num_rows} in all); {remedy}.")
    chosen = {name: [column[row] for row in kept] for name, column in values.items()}
    for row, text in zip(kept, chosen[text_column], strict=True):
        if not isinstance(text, str):
            raise InputError(f"{path}, row {row + 1}: column '{text_column}' holds {type(text).__name__}, expected text.")
    classes_are = next((name for name in ("label", "wanted_label") if name in chosen), "")
    classes, labels = None, []
    if classes_are:
        feature = features[classes_are]
        declared = list(feature.names) if isinstance(feature, ClassLabel) else []
        classes = [_class_name(value, declared) for value in chosen[classes_are]]
        labels = declared or sorted({name for name in classes if name is not None})
    return Corpus(
        name=path,
        texts=chosen[text_column],
        rows=table.num_rows,
        marked=dict(Counter(str(reason) for reason in values.get("drop_reason", []) if reason is not None).most_common()),
        labels=labels,
        classes=classes,
        classes_are=classes_are,
        confidence=_confidence(path, chosen),
        topics=[str(topic or "") for topic in chosen["topic"]] if "topic" in chosen else None,
        logprob=_numbers(path, "lm_logprob", chosen["lm_logprob"]) if "lm_logprob" in chosen else None,
    )


def _class_name(value: Any, declared: list[str]) -> str | None:
    """A class by its name; None for a row without an answer, which `datasets` writes as -1."""
    if value is None or value == -1:
        return None
    return declared[value] if isinstance(value, int) and 0 <= value < len(declared) else str(value)


def _confidence(path: str, columns: dict[str, list[Any]]) -> np.ndarray | None:
    """The largest probability of each row, from the answers themselves where they are there."""
    if "teacher_probs" in columns:
        try:
            largest = [None if not probabilities else max(probabilities) for probabilities in columns["teacher_probs"]]
        except TypeError as error:
            raise InputError(f"{path}: column 'teacher_probs' is no list of numbers; export it again.") from error
        return _numbers(path, "teacher_probs", largest)
    return _numbers(path, "confidence", columns["confidence"]) if "confidence" in columns else None


def _numbers(path: str, name: str, values: list[Any]) -> np.ndarray | None:
    """(N,) float64 with NaN for what is missing or infinite; None where every value is."""
    if not all(value is None or isinstance(value, int | float) for value in values):
        raise InputError(f"{path}: column '{name}' holds something other than numbers; export it again.")
    numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    numbers[~np.isfinite(numbers)] = np.nan
    return None if np.isnan(numbers).all() else numbers
