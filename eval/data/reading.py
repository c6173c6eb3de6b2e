"""The one reader behind labelled data, texts and corpora: named columns from a file, a folder or the hub.

Parquet is read with pyarrow and hub data with `datasets`, which know the class names that data declares. JSON lines and
CSV are read with Python's own modules, because the readers of `datasets` and pyarrow change what they read: "001" becomes 1,
"NA" becomes nothing, an unquoted comma shifts the columns, and a row with a missing key or a broken character loses its number
or the whole file. Nothing is cached on disk, except by the hub client.
"""

import csv
import gzip
import io
import json
import lzma
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from distill.common.errors import InputError, did_you_mean
from eval.toy import located

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet")
TEXT_SUFFIXES = (".txt", ".txt.gz", ".txt.xz")
SPLIT_NAME = re.compile(r"(train|validation|valid|val|dev|test|eval)[-.]")
LOCAL_SOURCES = f"a file ({', '.join(SUFFIXES)}) or a folder with one such file per split"


class NotReachable(InputError):
    """The data is on the hub, and the hub cannot be reached, which need not be a mistake of the user."""


@dataclass
class Columns:
    """Columns of a source.

    Attributes:
        source: File, folder or hub id, for messages.
        values: The N values of each column.
        row_numbers: Numbers of the N rows in the source, from 1, for messages.
        class_names: Class names that the data declares, in its own numbering, for each column that has them.
    """

    source: str
    values: dict[str, list[Any]]
    row_numbers: list[int]
    class_names: dict[str, list[str]]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.row_numbers)

    def at(self, row: int) -> str:
        """Return the place of a row, counted from 0 here, for a message."""
        return f"{self.source}, row {self.row_numbers[row]}"

    def take(self, rows: Sequence[int]) -> "Columns":
        """Return some of the rows, under their old numbers."""
        values = {name: [column[row] for row in rows] for name, column in self.values.items()}
        return Columns(self.source, values, [self.row_numbers[row] for row in rows], self.class_names)

    def texts(self, name: str) -> list[str]:
        """Return a column of texts.

        Raises:
            InputError: A value is not a text.
        """
        for row, value in enumerate(self.values[name]):
            if not isinstance(value, str):
                found = "nothing" if value is None else type(value).__name__
                raise InputError(f"{self.at(row)}: column '{name}' holds {found}, expected text; fix or remove the row.")
        # No tokenizer accepts half of a surrogate pair, which a cut emoji leaves behind in JSON.
        return [value.encode("utf-8", "replace").decode("utf-8") for value in self.values[name]]


def read_columns(source: str, split: str, names: Sequence[str], *, revision: str | None = None) -> Columns:
    """Read columns from wherever the user's data is.

    Args:
        source: File, folder with a file per split, hub id (`owner/name` or `owner/name:config`), or `toy:TASK`.
        split: Split of a folder, hub id or toy task. A single file is one split, so it is ignored there.
        names: Columns to read.
        revision: Branch or commit of a hub id; the newest if None.

    Raises:
        InputError: The source does not exist, is damaged, lacks a column, or has no rows.
        NotReachable: The hub cannot be reached.
    """
    source = located(source, split)
    path = Path(source)
    if path.is_dir():
        files = _files_of_split(path, split)
        columns = read_files(str(files[0]) if len(files) == 1 else source, files, names)
    elif path.is_file():
        columns = read_files(source, [path], names)
    elif path.name.endswith(SUFFIXES) or path.is_absolute() or source.startswith(".") or source.count("/") > 1:
        raise InputError(f"{source}: there is no such file; expected {LOCAL_SOURCES}, or a hub id.")
    else:
        columns = _read_hub(source, split, names, revision)
    if not len(columns):
        raise InputError(f"{columns.source}: holds no rows; give data with at least one.")
    return columns


def read_files(source: str, files: Sequence[Path], names: Sequence[str], optional: Sequence[str] = ()) -> Columns:
    """Read columns of one file, or of all Parquet files of a split.

    Args:
        source: What to call the files in messages.
        files: One file, or several Parquet files in their order.
        names: Columns that must be there.
        optional: Columns of Parquet files to read as well if they exist.

    Raises:
        InputError: A file cannot be read, or a column is missing.
    """
    if files[0].name.endswith(".parquet"):
        return _read_parquet(source, files, names, optional)
    if not files[0].name.endswith(SUFFIXES):
        raise InputError(f"{source}: files of this kind are not read; expected one of {', '.join(SUFFIXES)}.")
    rows_of = _json_rows if ".jsonl" in files[0].suffixes else _csv_rows
    try:
        with _opened(files[0]) as file:
            rows = list(rows_of(source, file))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{source}: cannot be read ({error}); the file is damaged or not what its name says.") from error
    for number, row in rows:
        for name in names:
            if name not in row:
                raise _missing_column(f"{source}, row {number}", name, list(row))
    return Columns(source, {name: [row[name] for _, row in rows] for name in names}, [number for number, _ in rows], {})


def parquet_files(folder: Path, split: str) -> list[Path]:
    """Return the Parquet files of a split, from the folder or its subfolder `data`, in their order.

    Files are named as `datasets` names them: `test.parquet` or `test-00000-of-00002.parquet`. If no file carries the name of
    a split, all files are returned.
    """
    files = sorted(folder.glob("data/*.parquet")) or sorted(folder.glob("*.parquet"))
    named = {file: found[1] for file in files if (found := SPLIT_NAME.match(file.name))}
    return [file for file in files if named.get(file) == split] if named else files


def text_lines(path: Path, longest: int = -1) -> Iterator[str]:
    """Yield the lines of a text file, plain or packed as .gz or .xz.

    Args:
        path: The file.
        longest: Characters after which a line is cut, so that one enormous line does not fill the memory; -1 for never.

    Raises:
        InputError: The file does not exist, is damaged, or is not UTF-8.
    """
    try:
        with _opened(path) as file:
            while line := file.readline(longest):
                yield line.rstrip("\r\n")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; give a file with one text per line.") from None
    except (UnicodeDecodeError, OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as text ({error}); give UTF-8, one text per line.") from error


def _opened(path: Path) -> IO[str]:
    openers: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open}
    # "utf-8-sig" reads UTF-8 with and without the mark that spreadsheet programs put first.
    return io.TextIOWrapper(openers.get(path.suffix, open)(path, "rb"), encoding="utf-8-sig", newline="")


def _files_of_split(folder: Path, split: str) -> list[Path]:
    found = [folder / f"{split}{suffix}" for suffix in SUFFIXES if (folder / f"{split}{suffix}").is_file()]
    if len(found) == 1:
        return found
    shards = [file for file in parquet_files(folder, split) if SPLIT_NAME.match(file.name)]
    if not found and shards:
        return shards
    files = [*folder.iterdir(), *folder.glob("data/*")]
    have = ", ".join(sorted(file.name for file in files if file.name.endswith(SUFFIXES))) or "no data file"
    expected = f"one file named {split}.jsonl (or {', '.join(SUFFIXES[1:])})"
    raise InputError(f"{folder}: expected {expected}, but it has {have}; name the split or the file itself.")


def _json_rows(source: str, file: IO[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{source}, row {number}: is not valid JSON ({error}); expected one object per line.") from error
        if not isinstance(row, dict):
            raise InputError(f"{source}, row {number}: is {type(row).__name__}, expected one JSON object per line.")
        yield number, row


def _csv_rows(source: str, file: IO[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, row in enumerate(csv.DictReader(file), start=1):
        if None in row:
            raise InputError(f"{source}, row {number}: has more fields than the header; put quotes around texts with commas.")
        yield number, row


def _read_parquet(source: str, files: Sequence[Path], names: Sequence[str], optional: Sequence[str]) -> Columns:
    import datasets
    import pyarrow.dataset

    try:
        data = pyarrow.dataset.dataset([str(file) for file in files], format="parquet")
        present = data.schema.names
        chosen = dict.fromkeys(name for name in (*names, *optional) if name in present)
        table = datasets.Dataset(data.to_table(columns=list(chosen)))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{source}: is not valid Parquet ({error}); the file is damaged or cut off.") from error
    return _columns(source, table, names, present)


def _read_hub(source: str, split: str, names: Sequence[str], revision: str | None) -> Columns:
    import datasets

    hub_id, _, config = source.partition(":")
    try:
        data = datasets.load_dataset(hub_id, config or None, split=split, revision=revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        kind = NotReachable if isinstance(error, ConnectionError) else InputError
        raise kind(
            f"{source}: split '{split}' could not be loaded from the hub ({reason}); without a network, download it "
            f"elsewhere and give {LOCAL_SOURCES}."
        ) from error
    present = data.column_names
    return _columns(source, data.select_columns([name for name in names if name in present]), names, present)


def _columns(source: str, data: Any, names: Sequence[str], present: Sequence[str]) -> Columns:
    """Take the chosen columns out of a `datasets.Dataset`, with the class names that its features declare."""
    from datasets import ClassLabel

    for name in names:
        if name not in present:
            raise _missing_column(source, name, present)
    declared = {name: list(feature.names) for name, feature in data.features.items() if isinstance(feature, ClassLabel)}
    return Columns(source, data[:], list(range(1, len(data) + 1)), declared)


def _missing_column(where: str, name: str, have: Sequence[str]) -> InputError:
    remedy = did_you_mean(name, have).strip() or "Name one of these."
    return InputError(f"{where}: has no column '{name}', only {', '.join(have) or 'none'}. {remedy}")
