"""The one reader behind labelled data, texts and corpora: named columns from a file, a folder or the hub.

Text files are read by `eval.data.text_files`, Parquet and Arrow files by `eval.data.tables`, and hub data with `datasets`.
Nothing is cached on disk, except by the hub client.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.common.errors import InputError, did_you_mean
from eval.data.folders import split_files
from eval.data.text_files import (
    BARE,
    DATA_FILES,
    DOUBLED,
    ESCAPED,
    MAX_TEXT,
    TABLES,
    QuoteFault,
    Row,
    csv_rows,
    json_rows,
    kind_of,
    lines_of,
    names_file,
    opened,
    without_apostrophes,
)
from eval.toy import located

LOCAL_SOURCES = f"a file ({DATA_FILES}) or a folder with one such file per split"

LOGGER = logging.getLogger("prompter")


class NotReachable(InputError):
    """The data is on the hub, and the hub cannot be reached, which need not be a mistake of the user."""


class MissingColumn(InputError):
    """The data has no column of that name.

    Attributes:
        name: The column.
        found: The message without its remedy.
    """

    name = ""
    found = ""


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and len(value) > MAX_TEXT


def report_long(source: str, long: int, rows: int) -> None:
    """Say in one line that rows are left out because of their length.

    Raises:
        InputError: All rows are.
    """
    if long == rows:
        raise InputError(f"{source}: all {rows:,} texts have more than {MAX_TEXT:,} characters; split them into shorter ones.")
    left_out = f"{long:,} of {rows:,} rows hold a text of more than {MAX_TEXT:,} characters and are left out"
    LOGGER.warning("%s: %s", source, left_out)


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

    def without_long_texts(self, names: Sequence[str]) -> "Columns":
        """Return the rows whose texts have at most `MAX_TEXT` characters. One line says how many are left out.

        Raises:
            InputError: No row is left.
        """
        columns = [self.values[name] for name in names]
        short = [row for row in range(len(self)) if not any(_is_long(column[row]) for column in columns)]
        if len(short) == len(self):
            return self
        report_long(self.source, len(self) - len(short), len(self))
        return self.take(short)

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


def read_columns(
    source: str, split: str, names: Sequence[str], *, optional: Sequence[str] = (), revision: str | None = None
) -> Columns:
    """Read columns from wherever the user's data is.

    Args:
        source: File, folder with a file per split, hub id (`owner/name` or `owner/name:config`), or `toy:TASK`.
        split: Split of a folder, hub id or toy task. A single file is one split, so it is ignored there.
        names: Columns to read.
        optional: Columns to read as well if they exist.
        revision: Branch or commit of a hub id; the newest if None.

    Raises:
        InputError: The source does not exist, is damaged, lacks a column, or has no rows.
        NotReachable: The hub cannot be reached.
    """
    source = located(os.path.expanduser(source), split)
    path = Path(source)
    if path.is_dir():
        files = split_files(path, split)
        columns = read_files(str(files[0]) if len(files) == 1 else source, files, names, optional)
    elif path.is_file():
        columns = read_files(source, [path], names, optional)
    elif names_file(source):
        raise InputError(f"{source[:200]}: there is no such file; expected {LOCAL_SOURCES}, or a hub id.")
    else:
        columns = _read_hub(source, split, names, optional, revision)
    if not len(columns):
        raise InputError(f"{columns.source}: holds no rows; give data with at least one.")
    return columns


def read_files(source: str, files: Sequence[Path], names: Sequence[str], optional: Sequence[str] = ()) -> Columns:
    """Read columns of one file, or of all Parquet or Arrow files of a split.

    Args:
        source: What to call the files in messages.
        files: One file, or several Parquet or Arrow files in their order.
        names: Columns that must be there.
        optional: Columns to read as well if they exist; in a text file, if its first row has them.

    Raises:
        InputError: A file cannot be read, or a column is missing.
    """
    kind = kind_of(files[0])
    if kind in TABLES:
        return _table_columns(source, files, names, optional)
    if kind in ("", ".txt"):
        remedy = f"one text per line has no column '{names[-1]}'" if kind else "files of this kind are not read"
        raise InputError(f"{source}: {remedy}; expected one of {DATA_FILES}.")
    if kind not in (".csv", ".tsv"):
        with opened(files[0]) as file:
            return _collected(source, json_rows(source, file, names, kind), names, optional)
    fault: QuoteFault | None = None
    for quotes in (DOUBLED, ESCAPED, BARE):
        try:
            with opened(files[0]) as file:
                rows = without_apostrophes(csv_rows(source, file, names, kind, quotes))
                return _collected(source, rows, names, optional)
        except QuoteFault as error:
            fault = fault or error
    assert fault is not None
    raise fault


def _collected(source: str, rows: Iterator[Row], names: Sequence[str], optional: Sequence[str]) -> Columns:
    """Return columns of the rows of a text file; None where a row lacks an optional one.

    Raises:
        InputError: A row lacks one of `names`, or the rows cannot be read.
    """
    numbers: list[int] = []
    values: dict[str, list[Any]] = {name: [] for name in names}
    for number, row in rows:
        if not numbers:
            values |= {name: [] for name in optional if name in row}
        numbers.append(number)
        for name in values:
            if name not in row and name in names:
                raise _missing_column(f"{source}, row {number}", name, list(row))
            values[name].append(row.get(name))
    return Columns(source, values, numbers, {})


def text_lines(path: Path, longest: int = -1) -> Iterator[str]:
    """Yield the lines of a text file, plain or packed as .gz, .xz or .bz2.

    Args:
        path: The file.
        longest: Characters after which a line is cut, so that one enormous line does not fill the memory; -1 for never.

    Raises:
        InputError: The file does not exist, is damaged, or is neither UTF-8 nor UTF-16.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such file; give a file with one text per line.")
    with opened(path) as file:
        if longest < 0:
            yield from (line.rstrip("\r\n") for line in lines_of(file, str(path)))
            return
        while line := file.readline(longest):
            yield line.rstrip("\r\n")


def _table_columns(source: str, files: Sequence[Path], names: Sequence[str], optional: Sequence[str]) -> Columns:
    from eval.data.tables import class_names, columns_of, read_table, table_columns  # pyarrow is slow to import

    table = read_table(source, files, [*names, *optional])
    for name in names:
        if name not in table.column_names:
            raise _missing_column(source, name, columns_of(files))
    return Columns(source, table_columns(source, table), list(range(1, table.num_rows + 1)), class_names(table.schema))


def _read_hub(source: str, split: str, names: Sequence[str], optional: Sequence[str], revision: str | None) -> Columns:
    import datasets

    from distill.checkpoints.network import heed_network

    heed_network()
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
    names = [*names, *(name for name in optional if name in present)]
    return _columns(source, data.select_columns([name for name in names if name in present]), names, present)


def _columns(source: str, data: Any, names: Sequence[str], present: Sequence[str]) -> Columns:
    """Take the chosen columns out of a `datasets.Dataset`, with the class names that its features declare."""
    from datasets import ClassLabel

    for name in names:
        if name not in present:
            raise _missing_column(source, name, present)
    inner = {name: getattr(feature, "feature", feature) for name, feature in data.features.items()}  # of a Sequence or List
    declared = {name: list(feature.names) for name, feature in inner.items() if isinstance(feature, ClassLabel)}
    return Columns(source, data[:], list(range(1, len(data) + 1)), declared)


def _missing_column(where: str, name: str, have: Sequence[str]) -> MissingColumn:
    remedy = did_you_mean(name, have).strip() or "Name one of these."
    shown = ", ".join(have[:20]) + (f" and {len(have) - 20} more" if len(have) > 20 else "")
    found = f"{where}: has no column '{name}', only {shown[:1000] or 'none'}."
    missing = MissingColumn(f"{found} {remedy}")
    missing.name, missing.found = name, found
    return missing
