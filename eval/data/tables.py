"""Columns of Parquet and Arrow files, read without a library that would act on what a file says about itself.

`datasets` decodes what the file's metadata calls an image or a sound, and opens the path or address that a row holds. Here
only the names of classes are taken out of that metadata.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from distill.common.errors import InputError
from eval.data.claimed_sizes import arrow_claims, parquet_claims
from eval.data.text_files import MAX_RATIO

SUSPECT_BYTES, SUSPECT_ROWS, MAX_ROWS_PER_BYTE = 256 << 20, 1_000_000, 100
"""From these sizes on, a file that unpacks to `MAX_RATIO` times its bytes, or to this many rows per byte, is refused."""

REPEATING = re.compile("_view|dictionary<|run_end_encoded")
"""In the names of types whose values may lie at one place, many times."""

FILE_FORMAT = b"ARROW1\0\0"
"""Beginning of an Arrow file with a table of contents."""

FAULTS = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError, NotImplementedError)
"""What pyarrow raises for files that are damaged or made up."""


def read_table(source: str, files: Sequence[Path], names: Sequence[str] | None = None) -> pa.Table:
    """Read columns of Parquet or Arrow files, one below the other.

    Args:
        source: What to call the files in messages.
        files: One or several files of one kind, in their order.
        names: Columns to read where they exist; all if None.

    Raises:
        InputError: A file is damaged, or unpacks to far more than its size; nothing large is allocated before that is known.
            Or the files have different columns, or number their classes in different ways.
    """
    tables = []
    for file in files:
        try:
            read = _arrow if file.suffix.lower() == ".arrow" else _parquet
            tables.append(read(file, names))
        except InputError:
            raise
        except FAULTS as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            kind = "Arrow" if file.suffix.lower() == ".arrow" else "Parquet"
            raise InputError(f"{source}: is not valid {kind} ({reason}); the file is damaged or cut off.") from error
    _check_class_names(source, files, tables)
    try:
        return pa.concat_tables(tables, promote_options="permissive") if len(tables) > 1 else tables[0]
    except FAULTS as error:
        raise InputError(f"{source}: its files have different columns ({error}); give files of one dataset.") from error


def _check_class_names(source: str, files: Sequence[Path], tables: Sequence[pa.Table]) -> None:
    """Refuse files of which one numbers its classes in another way: those of the first file would name its rows, too."""
    known: dict[str, list[str]] = {}
    for file, table in zip(files, tables, strict=True):
        for column, names in class_names(table.schema).items():
            if column in table.column_names and known.setdefault(column, names) != names:
                raise InputError(
                    f"{source}: {file.name} numbers the classes of column '{column}' {', '.join(names)[:300]}, the files "
                    f"before it {', '.join(known[column])[:300]}; give files of one dataset."
                )


def table_columns(source: str, table: pa.Table) -> dict[str, list[Any]]:
    """Return the values of a table by column.

    Raises:
        InputError: A value cannot be read, for instance text that is not UTF-8.
    """
    values = {}
    for name in table.column_names:
        try:
            values[name] = table.column(name).to_pylist()
        except FAULTS as error:
            raise InputError(f"{source}: column '{name}' cannot be read ({error}); the file is damaged.") from error
    return values


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the class names that a dataset declares, in its numbering, for each column of classes or of lists of them."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        found = {name: _names_in(about) for name, about in features.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return {name: names for name, names in found.items() if names is not None}


def _names_in(about: Any) -> list[str] | None:
    """Return the class names of a column that metadata describes; None where it holds no classes and no lists of them."""
    if isinstance(about, list) and len(about) == 1:  # a list, as earlier versions of `datasets` have it
        about = about[0]
    elif isinstance(about, dict):
        about = about.get("feature", about)  # of a Sequence or List
    names = about.get("names") if isinstance(about, dict) and about.get("_type") == "ClassLabel" else None
    return names if isinstance(names, list) and all(isinstance(part, str) for part in names) else None


def columns_of(files: Sequence[Path]) -> list[str]:
    """Return the names of the columns of the first file; [] if it cannot be read."""
    schema = schema_of(files)
    return [] if schema is None else list(schema.names)


def schema_of(files: Sequence[Path]) -> pa.Schema | None:
    """Return the columns of the first file with their types; None if it cannot be read."""
    try:
        return _arrow(files[0], None).schema if files[0].suffix.lower() == ".arrow" else pq.read_schema(files[0])
    except FAULTS:
        return None


def _parquet(file: Path, names: Sequence[str] | None) -> pa.Table:
    size = file.stat().st_size
    about = pq.ParquetFile(file)
    schema = about.schema_arrow
    chosen = [name for name in schema.names if names is None or name in names]
    wanted = set(chosen)
    groups = [about.metadata.row_group(index) for index in range(about.metadata.num_row_groups)]
    columns = [
        column
        for group in groups
        for column in (group.column(index) for index in range(group.num_columns))
        if _is_part(column.path_in_schema, wanted)
    ]
    _check(file, size, about.metadata.num_rows, sum(column.total_uncompressed_size for column in columns))
    with file.open("rb") as stream:
        # A file without rows may have chunks without values; no page is at place 0, where every file names its format.
        chunks = [(_start(column), column.total_compressed_size) for column in columns if _start(column)]
        claims = parquet_claims(stream, chunks)
    _check(file, size, max((claim.values for claim in claims), default=0), sum(claim.unpacked for claim in claims))
    # A dictionary of one long text stands for any number of rows: it is kept as such until the whole length is known.
    texts = [name for name in chosen if pa.types.is_string(schema.field(name).type)]
    if any("DELTA_BYTE_ARRAY" in column.encodings for column in columns):  # a value may repeat the one before, for two bytes
        opened = pq.ParquetFile(file)  # dictionaries cannot be made of these
        rows = max(1, SUSPECT_BYTES // 4 // max(1, *(claim.largest for claim in claims)))
        table = _portions(file, size, opened.iter_batches(rows, columns=chosen), schema)
    else:
        table = pq.ParquetFile(file, read_dictionary=texts).read(columns=chosen)
    return _plain(file, size, table).replace_schema_metadata(schema.metadata)


def _is_part(path: str, names: set[str]) -> bool:
    """Return whether the path of a column chunk, `tokens.list.element`, is one of a column; a name may hold dots itself."""
    parts = path.split(".")
    return any(".".join(parts[:count]) in names for count in range(1, len(parts) + 1))


def _start(column: pq.ColumnChunkMetaData) -> int:
    """Return the place of a column chunk's first page, found as Arrow does; 0 for a chunk without a page of values."""
    dictionary = column.dictionary_page_offset if column.has_dictionary_page else None
    first = column.data_page_offset
    return int(dictionary if dictionary is not None and 0 < dictionary < first else first)


def _portions(file: Path, size: int, batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """Read a table portion by portion; stop where it grows far beyond the size of its file."""
    read, unpacked = [], 0
    for batch in batches:
        unpacked += batch.nbytes
        _check(file, size, 0, unpacked)
        read.append(batch)
    return pa.Table.from_batches(read, read[0].schema if read else schema)


def _arrow(file: Path, names: Sequence[str] | None) -> pa.Table:
    size = file.stat().st_size
    with pa.memory_map(str(file)) as mapped:
        contents = mapped.read(len(FILE_FORMAT)) == FILE_FORMAT  # with a table of contents behind the messages
        mapped.seek(len(FILE_FORMAT) if contents else 0)
        _check(file, size, 0, arrow_claims(_messages(mapped)).unpacked)
        mapped.seek(0)
        table = (pa.ipc.open_file if contents else pa.ipc.open_stream)(mapped).read_all()
    _check(file, size, table.num_rows, table.nbytes)
    table.validate(full=True)
    chosen = [name for name in table.column_names if names is None or name in names]
    return _plain(file, size, table.select(chosen))


def _messages(mapped: pa.NativeFile) -> Iterator[pa.Message]:
    reader = pa.ipc.MessageReader.open_stream(mapped)
    while True:
        try:
            yield reader.read_next_message()
        except StopIteration:
            return


def _plain(file: Path, size: int, table: pa.Table) -> pa.Table:
    """Return a table without dictionaries and views, after the length of what they stand for was checked.

    One long text may stand there for any number of rows.
    """
    for index, field in enumerate(table.schema):
        column, kind = table.column(index), field.type
        if not REPEATING.search(str(kind)):
            continue
        if pa.types.is_dictionary(kind) and _is_text(kind.value_type):
            lengths = (pc.sum(pc.take(pc.binary_length(part.dictionary), part.indices)).as_py() or 0 for part in column.chunks)
        elif pa.types.is_string_view(kind):
            lengths = (_length_of_views(part) for part in column.chunks)
        elif pa.types.is_dictionary(kind) and (pa.types.is_primitive(kind.value_type) or pa.types.is_null(kind.value_type)):
            continue
        else:
            raise InputError(f"{file}: column '{field.name}' is stored as {kind}, which is not read; store plain values.")
        _check(file, size, table.num_rows, sum(lengths))
        table = table.set_column(index, pa.field(field.name, pa.large_string()), column.cast(pa.large_string()))
    return table


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _length_of_views(part: pa.Array) -> int:
    """Return the bytes of all texts of an array of views; each view begins with its length, 4 of its 16 bytes."""
    views = np.frombuffer(part.buffers()[1], dtype=np.int32)
    return int(views[4 * part.offset : 4 * (part.offset + len(part)) : 4].clip(0).sum(dtype=np.int64))


def _check(file: Path, size: int, rows: int, unpacked: int) -> None:
    """Refuse a file that stands for far more than its size."""
    if unpacked > SUSPECT_BYTES and unpacked > MAX_RATIO * size:
        raise InputError(
            f"{file}: unpacks to {unpacked >> 20:,} MiB, more than {MAX_RATIO} times its size, which real data does not; "
            "write it again without compression if you trust it."
        )
    if rows > SUSPECT_ROWS and rows > MAX_ROWS_PER_BYTE * size:
        raise InputError(f"{file}: claims {rows:,} rows in {size:,} bytes, which real data does not; it is not read.")
