"""Text files as people have them, row by row and bounded: packed or not, in UTF-8 or UTF-16, as CSV, TSV or JSON.

They are read with Python's own modules, because the readers of `datasets`, pandas and pyarrow change what they read: "001"
becomes 1, "NA" becomes nothing, an unquoted comma shifts the columns, and a row with a missing key or a broken character loses
its number or the whole file.
"""

import bz2
import csv
import gzip
import io
import itertools
import json
import lzma
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from distill.common.errors import InputError

HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?")
"""What a dataset on the hub may be called."""

MAX_TEXT = 1_000_000
"""Most characters of a text. Rows with a longer one are left out and counted."""

MAX_LINE = 64_000_000
"""Most characters of a line, so of a row of a text file. A file with a longer one is refused."""

SUSPECT, MAX_RATIO = 16 << 20, 100
"""From this many unpacked bytes on, a file that grew by more than this factor is refused; text grows threefold or tenfold."""

PROBED = 128 << 20
"""Unpacked bytes that are looked at before a file is read; the rest is counted while it is read."""

OPENERS: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}

KINDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".parquet", ".arrow")
TABLES = (".parquet", ".arrow")
DATA_FILES = ".jsonl, .ndjson, .json, .csv or .tsv (each also as .gz, .xz or .bz2), .parquet or .arrow"
"""What data files are called, for messages."""

SEPARATORS = (",", ";", "\t", "|")

MAX_JSON = 64_000_000
"""Most characters of a JSON file that has to be read as a whole."""

MAX_ROW = 8 * MAX_TEXT
"""Characters from which a line of JSON is not even parsed: brackets alone would take twenty times as much memory."""

TOO_LONG = "." * (MAX_TEXT + 1)
"""Stands in the columns of such a row, which is left out and counted like any other with a longer text."""

DOUBLED, ESCAPED, BARE = "doubled", "escaped", "bare"
"""How quotes are meant in CSV: `""` inside a quoted field; `\\"` inside one, as Spark and MySQL write; or as any character, as
in the TSV files of GLUE."""

ESCAPED_QUOTE = re.compile(r'(?<!\\)((?:\\\\)*)\\"')

ARCHIVES = {
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "packed with gzip",
    b"\xfd7zXZ": "packed with xz",
    b"BZh91AY&SY": "packed with bzip2",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"7z\xbc\xaf": "a 7z archive",
}
"""What files are that begin like this."""

MAX_NULS = 0.05
"""Largest share of NUL characters in the beginning of a text file. In UTF-16 or UTF-32 read as UTF-8 it is larger."""

MARKS, ANSWERS = ("text", "keep"), ("teacher_probs", "tag_probs")
WRITTEN_BESIDE = {"wanted_label", "drop_reason"}
"""Columns of which some stand in every dataset that this package writes: see `are_of_export`."""

FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""Beginning of a cell that gets an apostrophe in `data.csv`, as a spreadsheet would compute it. One that has apostrophes there
already gets another, so that taking one away always gives the same text."""

Row = tuple[int, dict[str, Any]]
"""The number of a row in its file, from 1, and its values by column."""


def kind_of(path: str | Path) -> str:
    """Return the kind of a file by its name, such as ".csv" for `Data.CSV.gz`; "" for kinds that are not read.

    Examples:
        >>> kind_of("Data.CSV.gz"), kind_of("a.parquet"), kind_of("a.xlsx"), kind_of("a.parquet.gz")
        ('.csv', '.parquet', '', '')
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    packed = bool(suffixes) and suffixes[-1] in OPENERS
    kind = (suffixes[-2] if len(suffixes) > 1 else "") if packed else suffixes[-1] if suffixes else ""
    return kind if kind in KINDS and not (packed and kind in TABLES) else ""


def names_file(name: str) -> bool:
    """Return whether a name can only mean a file or folder, or an address, and no hub id.

    Examples:
        >>> names_file("texts.csv"), names_file("./texts"), names_file("path/to/teacher")
        (True, True, True)
        >>> names_file("owner/name"), names_file("owner/name:config"), names_file("A text, not its file.")
        (False, False, True)
    """
    path = name.startswith((".", "~")) or name.count("/") > 1 or Path(name).is_absolute()
    return path or bool(kind_of(name)) or not HUB_NAME.fullmatch(name.partition(":")[0])


@contextmanager
def opened(path: Path) -> Iterator[IO[str]]:
    """Open a text file within the `with` block, whatever its packing and encoding.

    Raises:
        InputError: It cannot be read, is damaged, an archive, neither UTF-8 nor UTF-16 nor UTF-32, or unpacks to too much.
    """
    try:
        unpack = OPENERS.get(path.suffix.lower())
        if unpack:
            with unpack(path, "rb") as packed:  # before anything is made of the rows
                first = _Counted(packed, path)
                while first.count < PROBED and first.read(1 << 20):
                    pass
        with (unpack or open)(path, "rb") as packed:
            raw = io.BufferedReader(_Counted(packed, path))
            yield io.TextIOWrapper(raw, encoding=_encoding(raw.peek(64), path), newline="")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read as text ({error}); give UTF-8: save it again in that encoding.") from error
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        remedy = "see to its rights" if isinstance(error, PermissionError) else "the file is damaged or not what its name says"
        raise InputError(f"{path}: cannot be read ({reason}); {remedy}.") from error


def lines_of(file: IO[str], source: str) -> Iterator[str]:
    """Yield the lines of an open file, with their ends.

    Raises:
        InputError: A line is longer than `MAX_LINE`.
    """
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise InputError(f"{source}, line {number}: is longer than {MAX_LINE:,} characters; give one row per line.")
        yield line


def _encoding(start: bytes, path: Path) -> str:
    """Return the encoding that the first bytes of a file show.

    Raises:
        InputError: They are those of an archive, or of no text.
    """
    for mark, name in ARCHIVES.items():
        if start.startswith(mark):
            raise InputError(
                f"{path}: is {name}; unpack it and give the file in it, or name it .gz, .xz or .bz2 if it is that."
            )
    encoding = _marked_encoding(start)
    if (shown := start.decode(encoding, "ignore")).count("\0") > MAX_NULS * len(shown):
        raise InputError(
            f"{path}: is no text, or UTF-16 or UTF-32 without a mark; give UTF-8: save it again in that encoding."
        )
    return encoding


def _marked_encoding(start: bytes) -> str:
    if start.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):  # first, as one of them begins like UTF-16
        return "utf-32"
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    # UTF-16 without a mark: every other byte of plain text is zero.
    if len(start) >= 8 and not any(start[1:32:2]) and all(start[0:32:2]):
        return "utf-16-le"
    if len(start) >= 8 and not any(start[0:32:2]) and all(start[1:32:2]):
        return "utf-16-be"
    return "utf-8-sig"  # with and without the mark that spreadsheet programs put first


class QuoteFault(InputError):
    """The quotes of a CSV file are not what they were taken for."""


class _Counted(io.RawIOBase):
    """A stream of unpacked bytes that stops where a small file turns out to be enormous."""

    def __init__(self, inner: Any, path: Path) -> None:
        self.inner, self.path = inner, path
        self.packed, self.count = path.stat().st_size, 0
        self.bounded = path.suffix.lower() in OPENERS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.inner.read(len(buffer))
        buffer[: len(data)] = data
        self.count += len(data)
        if self.bounded and self.count > SUSPECT and self.count > MAX_RATIO * self.packed:
            raise InputError(
                f"{self.path}: unpacks to more than {MAX_RATIO} times its size, which text does not; if you trust it, unpack "
                "it yourself and give the file."
            )
        return len(data)


def csv_rows(source: str, file: IO[str], names: Sequence[str], kind: str, quotes: str = DOUBLED) -> Iterator[Row]:
    """Yield the rows of a CSV or TSV file. The separator is the one that splits the header into the columns asked for.

    Args:
        source: What to call the file in messages.
        file: The open file.
        names: Columns asked for.
        kind: ".csv" or ".tsv".
        quotes: `DOUBLED`, `ESCAPED` or `BARE`. Bare quotes are those of files with tabs that have no line within a field.

    Raises:
        QuoteFault: Quotes are not what `quotes` says: one is never closed, or text follows a closing one.
        InputError: A row has more fields than the header, or a column is there twice.
    """
    lines = itertools.dropwhile(lambda line: not line.strip(" \r\n"), lines_of(file, source))
    first = next(lines, "")
    separator = ""
    if first.startswith("sep=") and len(first.rstrip("\r\n")) == 5:  # what Excel reads, and some programs write
        separator, first = first[4], next(lines, "")
    separator = separator or _separator(first, names, "\t" if kind == ".tsv" else ",")
    tabs, bare = separator == "\t", quotes == BARE
    if bare and not tabs:
        raise QuoteFault(f"{source}: has quotes around fields")
    every: Iterator[str] = itertools.chain([first], lines)
    if quotes == ESCAPED:
        every = (ESCAPED_QUOTE.sub(r'\1""', line) for line in every)
    csv.field_size_limit(MAX_LINE)
    number = 0
    try:
        reader = csv.reader(every, delimiter=separator, strict=True, quoting=csv.QUOTE_NONE if bare else csv.QUOTE_MINIMAL)
        header = [name.strip() for name in next(reader, [])]
        for name in names:
            if header.count(name) > 1:
                raise InputError(f"{source}: has {header.count(name)} columns named '{name}'; rename or remove one.")
        for fields in reader:
            if not fields:
                continue
            number += 1
            if bare and len(fields) != len(header):
                raise QuoteFault(f"{source}, row {number}: has {len(fields)} fields, expected {len(header)}")
            if tabs and not bare and _swallows(fields, len(header)):
                raise QuoteFault(
                    f"{source}, row {number}: has a quote that is closed only lines later; write a quote inside a text twice, "
                    "and put quotes around the text."
                )
            if len(fields) > len(header):
                raise InputError(
                    f"{source}, row {number}: has more fields than the header; put quotes around texts with commas."
                )
            yield number, dict(zip(header, fields, strict=False)) | dict.fromkeys(header[len(fields) :])
    except csv.Error as error:
        raise QuoteFault(
            f"{source}, row {number + 1}: begins a field whose quotes do not fit ({error}): one is never closed, or text "
            "follows a closing one; write a quote inside a text twice, and put quotes around the text."
        ) from error


def are_of_export(names: Iterable[str]) -> bool:
    """Return whether columns are those of a dataset that this package wrote; a user's own may be called `keep`, too."""
    known = set(names)
    return known.issuperset(MARKS) and not known.isdisjoint({*ANSWERS, *WRITTEN_BESIDE})


def without_apostrophes(rows: Iterator[Row]) -> Iterator[Row]:
    """Yield the rows of a CSV file, of `data.csv` without the apostrophes that keep a spreadsheet from computing cells."""
    written = None  # all rows have the columns of the header
    for number, row in rows:
        written = are_of_export(row) if written is None else written
        yield number, {name: _without_apostrophe(value) for name, value in row.items()} if written else row


def _without_apostrophe(value: str | None) -> str | None:
    return value[1:] if value and value[0] == "'" and FORMULA.match(value) else value


def _swallows(fields: Sequence[str], columns: int) -> bool:
    """Return whether a row of several lines is rather one row per line, of which one begins with a quote."""
    if columns < 2 or not any("\n" in field for field in fields):
        return False
    return all(line.count("\t") == columns - 1 for line in "\t".join(fields).split("\n"))


def _separator(header: str, names: Sequence[str], usual: str) -> str:
    """Return the separator of a header line."""
    found: dict[str, list[str]] = {}
    for separator in (usual, *SEPARATORS):
        try:
            found[separator] = [field.strip() for field in next(csv.reader([header], delimiter=separator), [])]
        except csv.Error:
            continue
    fitting = (separator for separator, fields in found.items() if set(names) <= set(fields))
    most = max(found, key=lambda separator: len(found[separator]), default=usual)
    return next(fitting, most)


def json_rows(source: str, file: IO[str], names: Sequence[str], kind: str) -> Iterator[Row]:
    """Yield the rows of a JSON file: one object per line, or in `.json` also a list of objects, or columns as pandas writes.

    Raises:
        InputError: It is not JSON, or its content has another form.
    """
    if kind != ".json":
        yield from _json_lines(source, lines_of(file, source), names)
        return
    text = file.read(MAX_JSON + 1)
    if len(text) > MAX_JSON:
        raise InputError(f"{source}: has more than {MAX_JSON:,} characters; give JSON lines, one object per line.")
    try:
        content = json.loads(text)
    except RecursionError:
        raise InputError(f"{source}: is nested too deeply; expected a list of objects.") from None
    except ValueError:  # several objects, one per line
        yield from _json_lines(source, iter(text.split("\n")), names)
        return
    for number, row in enumerate(_records(content, names), start=1):
        if not isinstance(row, dict):
            raise InputError(f"{source}, row {number}: is {type(row).__name__}, expected an object with the columns.")
        yield number, row


def _json_lines(source: str, lines: Iterator[str], names: Sequence[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if len(line) > MAX_ROW:
            yield number, dict.fromkeys(names, TOO_LONG)
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{source}, row {number}: is not valid JSON ({error}); expected one object per line.") from error
        if not isinstance(row, dict):
            raise InputError(f"{source}, row {number}: is {type(row).__name__}, expected one JSON object per line.")
        yield number, row


def _records(content: Any, names: Sequence[str]) -> list[Any]:
    """Return the rows of a JSON document: a list, rows below one key, or the columns that `DataFrame.to_json` writes."""
    if not isinstance(content, dict):
        return content if isinstance(content, list) else [content]
    columns, data = content.get("columns"), content.get("data")
    if isinstance(columns, list) and isinstance(data, list):  # orient="split"
        return [dict(zip(map(str, columns), row, strict=False)) if isinstance(row, list) else row for row in data]
    if all(isinstance(content.get(name), list | dict) for name in names):
        return _of_columns(content)
    if content and all(isinstance(row, dict) and set(names) <= row.keys() for row in content.values()):  # orient="index"
        return list(content.values())
    lists = [value for value in content.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
    return lists[0] if len(lists) == 1 and not set(names) & content.keys() else [content]


def _of_columns(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of columns, each a list, or values by the row's key."""
    rows: dict[Any, dict[str, Any]] = {}
    for name, column in content.items():
        if isinstance(column, list | dict):
            for key, value in column.items() if isinstance(column, dict) else enumerate(column):
                rows.setdefault(key, {})[name] = value
    return list(rows.values())
