"""Reading labelled texts for evaluation, from files or from the hub.

This data is reported on, never trained on or selected by. Files are read directly, without a cache: JSON lines, CSV
and Parquet, the first two also gzipped. A folder is taken to hold one file per split (`test.jsonl.gz`), or Parquet files
named after the splits (`data/test-00000-of-00002.parquet`), as most data sets are laid out. Anything else is a hub id
(`owner/name`, or `owner/name:config`), loaded with `datasets`.

The delicate part is the labels. A number is a class index; a name is looked up among the teacher's class names. Data
sets and teachers may number the same names differently, so wherever both sides have names, names decide.
"""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from distill.common.errors import InputError, did_you_mean
from eval.toy import located

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet")
OF_SPLIT = re.compile(r"(train|validation|valid|val|dev|test|eval)[-.]")
EXPECTED = f"a file ({', '.join(SUFFIXES)}), a folder with one such file per split, or a hub id"


class NotReachable(InputError):
    """The data is on the hub, and there is no way to the hub: the mistake may be nobody's."""


@dataclass
class EvaluationData:
    """Labelled texts, with what the teacher says of them once it was asked.

    Attributes:
        texts: N texts.
        labels: N class indices in 0..K-1.
        teacher_log_probs: (N, K) float32 on the CPU, NaN in rows without a usable answer; None while not asked. Kept
            here so that students can be compared with the teacher again and again at the cost of asking it once.
        text_pairs: N second texts for pair tasks; None where the texts stand alone.
        class_names: class names as the data itself declares and numbers them; None where it declares none.
    """

    texts: list[str]
    labels: list[int]
    teacher_log_probs: "Tensor | None" = None
    text_pairs: list[str] | None = None
    class_names: list[str] | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.texts)


@dataclass
class _Columns:
    """Columns as read: the values, where they came from, and the class names that the data itself declares."""

    source: str
    values: dict[str, list[Any]]
    row_numbers: list[int]
    class_names: dict[str, list[str]]

    def at(self, row: int) -> str:
        return f"{self.source}, row {self.row_numbers[row]}"


def load_labelled(
    path_or_hub_id: str | Path,
    split: str,
    text_column: str,
    label_column: str,
    labels: Sequence[str],
    limit: int = 0,
    seed: int = 0,
    *,
    pair_column: str | None = None,
    revision: str | None = None,
) -> EvaluationData:
    """Read labelled texts, or pairs of them.

    Args:
        path_or_hub_id: File, folder, hub id, or `toy:TASK`; see the module's text.
        split: Split of a folder or hub id. A single file is one split already, so it is not used there.
        text_column: Column of the texts.
        label_column: Column of the labels: class indices (numbers), or class names. A column of strings is read as
            names if all of them are names, otherwise as indices.
        labels: The K class names of the teacher, in the order of its answers.
        limit: Number of rows to draw without repetition, kept in their order; 0 for all.
        seed: Seed of that draw.
        pair_column: Column of the second texts, for pair tasks.
        revision: Branch or commit of a hub id; its newest state if None.

    Raises:
        InputError: The data cannot be found or read, a column is missing, a text is no string, a label is out of
            range, or there are no rows.
        NotReachable: It is on the hub, which cannot be reached.
    """
    text_columns = (text_column,) if pair_column is None else (text_column, pair_column)
    columns = _read(str(path_or_hub_id), split, (*text_columns, label_column), revision)
    texts = _texts(columns, text_column)
    pairs = None if pair_column is None else _texts(columns, pair_column)
    classes = _class_indices(columns, label_column, list(labels))
    if limit and limit < len(texts):
        kept = _drawn(len(texts), limit, seed)
        texts, classes = [texts[i] for i in kept], [classes[i] for i in kept]
        pairs = None if pairs is None else [pairs[i] for i in kept]
    return EvaluationData(texts, classes, text_pairs=pairs, class_names=columns.class_names.get(label_column))


def _drawn(rows: int, limit: int, seed: int) -> list[int]:
    """Draw row indices without repetition, in ascending order."""
    import torch

    from distill.common.seeding import random_generator

    drawn = torch.randperm(rows, generator=random_generator(seed, "evaluation rows"))[:limit]
    indices: list[int] = drawn.sort().values.tolist()
    return indices


def load_texts(path_or_hub_id: str | Path, text_column: str, split: str = "train") -> list[str]:
    """Read texts alone; whatever labels lie beside them are not looked at.

    Args:
        path_or_hub_id: File, folder, hub id, or `toy:TASK`; also a file `.txt`, which holds a text a line.
        text_column: Column of the texts.
        split: Split of a folder or hub id.

    Raises:
        InputError: As `load_labelled`.
    """
    if str(path_or_hub_id).endswith(".txt"):
        return _lines(Path(path_or_hub_id))
    return _texts(_read(str(path_or_hub_id), split, (text_column,)), text_column)


def _lines(path: Path) -> list[str]:
    try:
        texts = [line for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; give one with a text a line.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error}); give UTF-8, a text a line.") from error
    if not texts:
        raise InputError(f"{path}: holds no text; give at least one line.")
    return texts


def _texts(columns: _Columns, name: str) -> list[str]:
    values = columns.values[name]
    for row, value in enumerate(values):
        if not isinstance(value, str):
            found = "nothing" if value is None else type(value).__name__
            raise InputError(f"{columns.at(row)}: column '{name}' holds {found}, expected text; fix or remove the row.")
    # Half of a surrogate pair, as a cut emoji leaves it in JSON, is no text to any tokenizer.
    return [value.encode("utf-8", "replace").decode("utf-8") for value in values]


def _class_indices(columns: _Columns, name: str, labels: list[str]) -> list[int]:
    """Turn a label column into indices in 0..K-1."""
    values = columns.values[name]
    declared = columns.class_names.get(name)
    if declared is not None:
        order = [_index_of_name(label, labels) for label in declared]
        if None in order and len(declared) != len(labels):
            raise InputError(
                f"{columns.source}: column '{name}' has {len(declared)} classes ({', '.join(declared)}), the teacher "
                f"has {len(labels)} ({', '.join(labels)}); give data of the teacher's own task."
            )
        if None in order and any(known not in (None, own) for own, known in enumerate(order)):
            raise InputError(
                f"{columns.source}: column '{name}' numbers its classes {', '.join(declared)}, the teacher has "
                f"{', '.join(labels)}: some names are the same in another order; rename the classes of the data."
            )
        if None not in order:
            values = [order[v] if isinstance(v, int) and 0 <= v < len(order) else v for v in values]
    by_name = [_index_of_name(value, labels) if isinstance(value, str) else None for value in values]
    if None not in by_name:
        return [index for index in by_name if index is not None]
    return [_checked_index(value, labels, columns.at(row), name) for row, value in enumerate(values)]


def _index_of_name(name: str, labels: list[str]) -> int | None:
    """Return the position of a class name: as written, else without regard to case where that is unambiguous."""
    if name in labels:
        return labels.index(name)
    alike = [i for i, label in enumerate(labels) if label.casefold() == name.strip().casefold()]
    return alike[0] if len(alike) == 1 else None


def _checked_index(value: Any, labels: list[str], where: str, column: str) -> int:
    if isinstance(value, str):
        named = _index_of_name(value, labels)
        if re.fullmatch(r"\s*-?\d+\s*", value):
            value = int(value)
        elif named is not None:
            value = named
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and 0 <= value < len(labels):
        return int(value)
    remedy = "check the column"
    if value == -1:
        remedy = "-1 marks a split whose labels are kept secret, choose another split"
    elif isinstance(value, str):
        remedy = f"rename it.{did_you_mean(value, labels)}".rstrip(".")
    shown = "nothing" if value is None else repr(value)
    raise InputError(
        f"{where}: column '{column}' holds {shown}, expected 0 to {len(labels) - 1} or one of {', '.join(labels)}; {remedy}."
    )


# Where rows come from


def _read(source: str, split: str, names: tuple[str, ...], revision: str | None = None) -> _Columns:
    source = located(source, split)
    path = Path(source)
    if path.is_dir():
        columns = _joined(source, [_read_file(file, names) for file in _files_of_split(path, split)])
    elif path.is_file():
        columns = _read_file(path, names)
    elif path.name.endswith(SUFFIXES) or path.is_absolute() or source.startswith(".") or source.count("/") > 1:
        raise InputError(f"{source}: there is no such file; expected {EXPECTED}.")
    else:
        columns = _read_hub(source, split, names, revision)
    if not columns.values[names[0]]:
        raise InputError(f"{columns.source}: holds no rows; give data with at least one.")
    return columns


def parquet_files(folder: Path, split: str) -> list[Path]:
    """The Parquet files of a split, in the folder or in its folder `data`, in their order.

    They are named as `datasets` names them, `test.parquet` or `test-00000-of-00002.parquet`; where none of the files is named
    after a split, all of them are meant.
    """
    files = sorted(folder.glob("data/*.parquet")) or sorted(folder.glob("*.parquet"))
    named = {file: found[1] for file in files if (found := OF_SPLIT.match(file.name))}
    return [file for file in files if named.get(file) == split] if named else files


def _files_of_split(folder: Path, split: str) -> list[Path]:
    found = [folder / f"{split}{suffix}" for suffix in SUFFIXES if (folder / f"{split}{suffix}").is_file()]
    if len(found) == 1:
        return found
    shards = [file for file in parquet_files(folder, split) if OF_SPLIT.match(file.name)]
    if not found and shards:
        return shards
    files = [*folder.iterdir(), *folder.glob("data/*")]
    have = ", ".join(sorted(file.name for file in files if file.name.endswith(SUFFIXES))) or "nothing of the kind"
    expected = f"one file named {split}.jsonl (or {', '.join(SUFFIXES[1:])})"
    raise InputError(f"{folder}: expected {expected}, it has {have}; name the split or the file itself.")


def _joined(source: str, parts: list[_Columns]) -> _Columns:
    if len(parts) == 1:
        return parts[0]
    values = {name: [value for part in parts for value in part.values[name]] for name in parts[0].values}
    rows = sum(len(part.row_numbers) for part in parts)
    return _Columns(source, values, list(range(1, rows + 1)), parts[0].class_names)


def _read_file(path: Path, names: tuple[str, ...]) -> _Columns:
    try:
        if path.name.endswith(".parquet"):
            return _read_parquet(path, names)
        if not path.name.endswith(SUFFIXES):
            raise InputError(f"{path}: files of this kind are not read; expected one of {', '.join(SUFFIXES)}.")
        with _open_text(path) as file:
            rows = list(_json_rows(path, file) if ".jsonl" in path.suffixes else _csv_rows(path, file))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}); the file is damaged or not what its name says.") from error
    for number, row in rows:
        for name in names:
            if name not in row:
                raise _missing_column(f"{path}, row {number}", name, list(row))
    values = {name: [row[name] for _, row in rows] for name in names}
    return _Columns(str(path), values, [number for number, _ in rows], {})


def _open_text(path: Path) -> IO[str]:
    # "utf-8-sig" reads UTF-8 with and without the mark that spreadsheet programs put first.
    raw: Any = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
    return io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")


def _json_rows(path: Path, file: IO[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}, row {number}: is not valid JSON ({error}); expected one object a line.") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}, row {number}: is {type(row).__name__}, expected one JSON object a line.")
        yield number, row


def _csv_rows(path: Path, file: IO[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, row in enumerate(csv.DictReader(file), start=1):
        if None in row:
            raise InputError(f"{path}, row {number}: has more fields than the header; put quotes around texts with commas.")
        yield number, row


def _read_parquet(path: Path, names: tuple[str, ...]) -> _Columns:
    from datasets import Features
    from pyarrow import ArrowException, parquet

    try:
        schema = parquet.read_schema(path)
        for name in names:
            if name not in schema.names:
                raise _missing_column(str(path), name, schema.names)
        table = parquet.read_table(path, columns=list(names))
    except ArrowException as error:
        raise InputError(f"{path}: is not valid Parquet ({error}); the file is damaged or cut off.") from error
    values = {name: table.column(name).to_pylist() for name in names}
    rows = list(range(1, table.num_rows + 1))
    # Files written by `datasets` declare their class names in the schema.
    return _Columns(str(path), values, rows, _class_names(Features.from_arrow_schema(table.schema), names))


def _read_hub(source: str, split: str, names: tuple[str, ...], revision: str | None) -> _Columns:
    import datasets

    hub_id, _, config = source.partition(":")
    try:
        data = datasets.load_dataset(hub_id, config or None, split=split, revision=revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        kind = NotReachable if isinstance(error, ConnectionError) else InputError
        raise kind(
            f"{source}: split '{split}' could not be loaded from the hub ({reason}); without network, download it "
            f"elsewhere and give {EXPECTED.rsplit(',', 1)[0]}."
        ) from error
    for name in names:
        if name not in data.column_names:
            raise _missing_column(source, name, data.column_names)
    values = {name: list(data[name]) for name in names}
    return _Columns(f"{source} ({split})", values, list(range(1, len(data) + 1)), _class_names(data.features, names))


def _class_names(features: Any, names: tuple[str, ...]) -> dict[str, list[str]]:
    from datasets import ClassLabel

    return {name: list(features[name].names) for name in names if isinstance(features[name], ClassLabel)}


def _missing_column(where: str, name: str, have: Sequence[str]) -> InputError:
    hint = did_you_mean(name, have).strip()
    return InputError(f"{where}: has no column '{name}', only {', '.join(have) or 'none'}. {hint}".rstrip())
