"""How much the pages of a Parquet file and the buffers of an Arrow file unpack to, read before anything is unpacked.

pyarrow allocates what a page or a buffer says about itself, and it offers no bound. A made-up file says gigabytes. So the
headers are read here first: of Parquet the page headers (Thrift's compact protocol), of Arrow the record batches
(FlatBuffers). Only the few fields that hold sizes are understood; everything else is skipped. No library that reads these
headers is installed with pyarrow.
"""

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa

USUAL_HEADER, LARGEST_HEADER = 1 << 12, 1 << 20
"""Bytes of a page header that are looked at, first and at most. Statistics in it may hold a text."""

DEEPEST = 16

COMPRESSED_PREFIX = 8
"""A compressed buffer of an Arrow file begins with its unpacked length, -1 if it is not compressed after all."""


@dataclass
class Claims:
    """What headers say.

    Attributes:
        unpacked: Bytes of all pages or buffers.
        largest: Bytes of the largest one.
        values: Number of values of all pages, nulls included.
    """

    unpacked: int = 0
    largest: int = 0
    values: int = 0

    def add(self, unpacked: int, values: int = 0) -> None:
        """Count a page or a buffer."""
        self.unpacked += unpacked
        self.largest = max(self.largest, unpacked)
        self.values += values


def parquet_claims(file: BinaryIO, chunks: list[tuple[int, int]]) -> list[Claims]:
    """Return what the pages of column chunks claim.

    Args:
        file: The Parquet file.
        chunks: Place and length of each column chunk, from the file's table of contents.

    Raises:
        ValueError: A page header is damaged.
    """
    return [_chunk_claims(file, start, length) for start, length in chunks]


def _chunk_claims(file: BinaryIO, start: int, length: int) -> Claims:
    claims, place = Claims(), start
    while place < start + length:
        header, fields = _page_header(file, place, start + length - place)
        unpacked, packed = fields.get((2,), 0), fields.get((3,), 0)
        if unpacked < 0 or packed < 0:
            raise ValueError("a page header holds a negative size")
        # Number of values: of a data page (5, and 8 in version 2); those of a dictionary page (7) are no rows.
        claims.add(unpacked, max(0, fields.get((5, 1), 0), fields.get((8, 1), 0)))
        place += header.place + packed
    return claims


def _page_header(file: BinaryIO, place: int, left: int) -> tuple["_Thrift", dict[tuple[int, ...], int]]:
    for size in (USUAL_HEADER, LARGEST_HEADER):
        file.seek(place)
        header = _Thrift(file.read(min(size, left)))
        with contextlib.suppress(IndexError):
            return header, header.struct()
    raise ValueError("a page header is damaged")


class _Thrift:
    """Reads numbers out of a struct in Thrift's compact protocol."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def struct(self, path: tuple[int, ...] = ()) -> dict[tuple[int, ...], int]:
        """Read a struct; return its whole numbers, and those of structs in it, by their field numbers."""
        found: dict[tuple[int, ...], int] = {}
        number = 0
        while (head := self._byte()) != 0:
            number = number + (head >> 4) if head >> 4 else self._signed()
            self._value(head & 15, (*path, number), found)
        return found

    def _value(self, kind: int, path: tuple[int, ...], found: dict[tuple[int, ...], int]) -> None:
        if len(path) > DEEPEST:
            raise ValueError("a page header is nested too deeply")
        if kind == 12:
            found |= self.struct(path)
        elif kind in (4, 5, 6):
            found[path] = self._signed()
        elif kind == 3:
            self._skip(1)
        elif kind == 7:
            self._skip(8)
        elif kind == 8:
            self._skip(self._varint())
        elif kind in (9, 10):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            for _ in range(count):
                self._byte() if head & 15 in (1, 2) else self._value(head & 15, (*path, 0), found)
        elif kind not in (1, 2):  # both values of a truth value, without content
            raise ValueError(f"a page header holds a value of kind {kind}")

    def _skip(self, length: int) -> None:
        """Go on behind so many bytes. A made-up list claims more values than any content holds."""
        if length > len(self.content) - self.place:
            raise IndexError("the header goes on")
        self.place += length

    def _byte(self) -> int:
        self.place += 1
        return self.content[self.place - 1]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a page header holds a number that does not end")

    def _signed(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def arrow_claims(messages: Iterator[pa.Message]) -> Claims:
    """Return what the compressed buffers of an Arrow file claim; others are read in place.

    Args:
        messages: The messages of the file, which are not unpacked yet.

    Raises:
        ValueError: A header is damaged.
    """
    claims = Claims()
    for message in messages:
        body = message.body
        if body is None:
            continue
        try:
            compressed, buffers = _record_batch(message.metadata.to_pybytes())
        except (struct.error, IndexError) as error:
            raise ValueError("the header of a record batch is damaged") from error
        for offset, length in buffers if compressed else ():
            if length < COMPRESSED_PREFIX or offset < 0 or offset + length > body.size:
                continue  # empty; or pyarrow refuses it
            (unpacked,) = struct.unpack("<q", body[offset : offset + COMPRESSED_PREFIX].to_pybytes())
            claims.add(max(unpacked, 0))
    return claims


def _record_batch(header: bytes) -> tuple[bool, list[tuple[int, int]]]:
    """Return whether the buffers of a record batch or a dictionary are compressed, and place and length of each."""
    (root,) = struct.unpack_from("<I", header, 0)
    kind = _field(header, root, 1)
    at = _field(header, root, 2)
    if kind is None or at is None or header[kind] not in (2, 3):  # neither a dictionary nor a record batch
        return False, []
    table = _pointed(header, at)
    if header[kind] == 2:
        inner = _field(header, table, 1)
        if inner is None:
            return False, []
        table = _pointed(header, inner)
    listed = _field(header, table, 2)
    if listed is None or _field(header, table, 3) is None:
        return False, []
    start = _pointed(header, listed)
    (count,) = struct.unpack_from("<I", header, start)
    if count > len(header) // 16:
        raise ValueError("the header of a record batch is damaged")
    return True, [struct.unpack_from("<qq", header, start + 4 + 16 * index) for index in range(count)]


def _field(header: bytes, table: int, number: int) -> int | None:
    """Return the place of a table's field, None if the table lacks it."""
    (back,) = struct.unpack_from("<i", header, table)
    size, _ = struct.unpack_from("<HH", header, table - back)
    entry = 4 + 2 * number
    if entry >= size:
        return None
    (offset,) = struct.unpack_from("<H", header, table - back + entry)
    return table + offset if offset else None


def _pointed(header: bytes, place: int) -> int:
    (offset,) = struct.unpack_from("<I", header, place)
    return int(place + offset)
