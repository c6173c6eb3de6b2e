"""A checksum over tables of SQLite that is kept while rows come and go.

It is the sum of the hashes of all rows, so that adding or removing a row changes it by one hash and the order does not matter.
An export compares it when it goes on: SQLite itself does not notice when a bit of a row is wrong.
"""

import hashlib
import sqlite3
from typing import Any

MODULUS = 1 << 64


class RowSum:
    """The sum over all tables of a database but one.

    Args:
        connection: The database.
        besides: Name of a table that is not summed, because it holds the sum.

    Attributes:
        value: The sum over the rows that were there at first, and the changes since `watch`.
    """

    def __init__(self, connection: sqlite3.Connection, besides: str) -> None:
        self._connection, self._besides = connection, besides
        self.value = 0
        for table in self._tables():
            for row in connection.execute(f"SELECT * FROM {table}"):
                self._add(table, *row)

    def watch(self) -> None:
        """Follow all changes from now on. Tables that are made later are not followed."""
        self._connection.create_function("row_added", -1, self._add)
        self._connection.create_function("row_removed", -1, self._remove)
        for table in self._tables():
            columns = [row[1] for row in self._connection.execute(f"PRAGMA table_info({table})")]
            for event, function, row in (("INSERT", "row_added", "NEW"), ("DELETE", "row_removed", "OLD")):
                values = ", ".join(f"{row}.{column}" for column in columns)
                self._connection.execute(
                    f"CREATE TEMP TRIGGER {table}_{event} AFTER {event} ON main.{table} "
                    f"BEGIN SELECT {function}('{table}', {values}); END"
                )

    def _tables(self) -> list[str]:
        found = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return [name for (name,) in found if name != self._besides and name.isidentifier()]

    def _add(self, *row: Any) -> None:
        self.value = (self.value + _hash(row)) % MODULUS

    def _remove(self, *row: Any) -> None:
        self.value = (self.value - _hash(row)) % MODULUS


def _hash(row: tuple[Any, ...]) -> int:
    return int.from_bytes(hashlib.blake2b(repr(row).encode(), digest_size=8).digest(), "big")
