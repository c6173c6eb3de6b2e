"""The file of stored answers: one SQLite database for all teachers, with a checksum in each row.

A row ends in a checksum of its teacher, its text and its answer, so a damaged row is known as such and asked again. Another
table counts the rows of each teacher: fewer rows than that have been lost. Texts and teachers are stored as hashes only.
"""

import hashlib
import itertools
import os
import sqlite3
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from distill.common.files import make_private_file, make_private_folder

# Texts per look-up: older builds of SQLite take at most 999 values in one statement.
LOOKED_UP_AT_ONCE = 500

# A file with more answers of a teacher is not read as a whole when it is opened, which would take a minute for 40 million.
# Each answer is checked when it is looked up in any case; what a large file has lost is asked again without a notice.
CHECKED_AT_ONCE = 1_000_000

STORED_ROW = np.dtype("<f4")

# An odd length tells a row with a checksum from a row of an earlier version, whose length is a multiple of four.
CHECKSUM_BYTES = 9

# `PRAGMA user_version` of a file in which every row has a checksum.
WITH_CHECKSUMS = 1

# What SQLite reports of a file that no waiting, no room on the disk and no rights will make whole.
DAMAGED = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_SCHEMA,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
}


def means_damage(error: Exception) -> bool:
    """Return whether an error says that a database is damaged, and not just locked, full or forbidden."""
    # Errors that Python itself raises about a stored value carry no code of SQLite.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    return isinstance(error, sqlite3.Error) and code in DAMAGED


def set_aside(file: Path) -> Path:
    """Rename a database, and remove the files that SQLite keeps beside it. Return its new name."""
    names = (file.with_name(f"{file.name}.damaged{number or ''}") for number in itertools.count())
    kept = next(name for name in names if not name.exists())
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    os.replace(file, kept)
    return kept


class StoredAnswers:
    """The stored answers of one teacher.

    Args:
        file: The database.
        teacher: Identity of the teacher.
        columns: Number of classes K.
        patience: Seconds to wait for another process that is writing.
        of_words: Whether an answer is a row of K numbers for each word of the text.

    Attributes:
        damaged: Rows of this teacher that were found damaged or lost. The caller says so, and sets it to 0.

    Raises:
        sqlite3.Error: From any method, where the file is not a database, is damaged, locked for too long or not writable.
        OSError: The folder cannot be made.
    """

    def __init__(self, file: Path, teacher: str, columns: int, patience: float, of_words: bool = False) -> None:
        self.teacher = teacher
        self.of_words = of_words
        self.columns = columns
        self.damaged = 0
        make_private_folder(file.parent)
        make_private_file(file)  # SQLite gives the files beside it the same mode
        for end in ("-wal", "-shm"):  # of an earlier version
            with suppress(OSError):
                Path(f"{file}{end}").chmod(0o600)
        self._database = sqlite3.connect(file, timeout=patience, isolation_level=None, check_same_thread=False)
        self.close = weakref.finalize(self, self._database.close)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        """Make the tables that are missing, and check the rows of the teacher."""
        database = self._database
        # In this mode readers do not wait for a writer. Where two processes switch a new file at the same time, SQLite refuses
        # one of them, and it works in the mode that the other has set.
        with suppress(sqlite3.OperationalError):
            database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # no checkpoint may know an answer that this file lost
        database.execute(
            "CREATE TABLE IF NOT EXISTS answers (teacher TEXT, text BLOB, log_probs BLOB NOT NULL, "
            "PRIMARY KEY (teacher, text)) WITHOUT ROWID"
        )
        database.execute("CREATE TABLE IF NOT EXISTS stored (teacher TEXT PRIMARY KEY, answers INTEGER) WITHOUT ROWID")
        database.execute("CREATE TABLE IF NOT EXISTS named (address TEXT PRIMARY KEY, teacher TEXT) WITHOUT ROWID")
        if database.execute("PRAGMA user_version").fetchone()[0] != WITH_CHECKSUMS:
            self._add_checksums()
        self._check()

    def _add_checksums(self) -> None:
        """Give the rows of an earlier version their checksums, once. What cannot be an answer is left out."""
        with self._database as database:
            database.execute("BEGIN IMMEDIATE")
            if database.execute("PRAGMA user_version").fetchone()[0] == WITH_CHECKSUMS:
                return  # another process was first
            for teacher, text, row in database.execute("SELECT * FROM answers").fetchall():
                types = (type(teacher), type(text), type(row))  # SQLite keeps values of any type in any column
                if types != (str, bytes, bytes) or len(row) % STORED_ROW.itemsize:
                    continue
                whole = np.isclose(np.exp(np.frombuffer(row, STORED_ROW).astype(np.float64)).sum(), 1, atol=0.01)
                row = row + _checksum(teacher, text, row) if whole else b""
                database.execute("UPDATE answers SET log_probs = ? WHERE teacher = ? AND text = ?", (row, teacher, text))
            database.execute("INSERT OR REPLACE INTO stored SELECT teacher, count(*) FROM answers GROUP BY teacher")
            database.execute(f"PRAGMA user_version = {WITH_CHECKSUMS}")

    def _check(self) -> None:
        """Remove the teacher's damaged rows, and say how many of its rows were damaged or lost; see `CHECKED_AT_ONCE`."""
        stored = "SELECT ifnull(CAST(answers AS INTEGER), 0) FROM stored WHERE teacher = ?"  # what is no number counts none
        with self._database as database:
            expected = database.execute(stored, (self.teacher,)).fetchone()
            if expected and expected[0] > CHECKED_AT_ONCE:
                return
            damaged, whole = [], 0
            for text, row in database.execute("SELECT text, log_probs FROM answers WHERE teacher = ?", (self.teacher,)):
                if self._whole(text, row):
                    whole += 1
                else:
                    damaged.append((self.teacher, text))
            lost = max(len(damaged), (expected[0] if expected else 0) - whole)
            if not lost:
                return
            database.execute("BEGIN IMMEDIATE")
            database.executemany("DELETE FROM answers WHERE teacher = ? AND text = ?", damaged)
            database.execute(
                "INSERT OR REPLACE INTO stored VALUES (?1, (SELECT count(*) FROM answers WHERE teacher = ?1))", (self.teacher,)
            )
        self.damaged = lost

    def _whole(self, text: Any, row: Any) -> bool:
        """Return whether a stored answer is what was stored."""
        if not isinstance(text, bytes) or not isinstance(row, bytes):
            return False
        size, one = len(row) - CHECKSUM_BYTES, self.columns * STORED_ROW.itemsize
        fits = size >= 0 and size % one == 0 if self.of_words else size == one
        return fits and row[size:] == _checksum(self.teacher, text, row[:size])

    def _read(self, row: bytes) -> np.ndarray:
        answer = np.frombuffer(row, STORED_ROW)
        return answer.reshape(-1, self.columns) if self.of_words else answer

    def note_name(self, address: str) -> None:
        """Note that this teacher is the model that a service named last.

        Args:
            address: Identity of the service where it names no model.
        """
        if self.last_named(address) != self.teacher:
            with self._database as database:
                database.execute("INSERT OR REPLACE INTO named VALUES (?, ?)", (address, self.teacher))

    def last_named(self, address: str) -> str:
        """Return the identity of the model that a service named last; its own where it never named any."""
        found = self._database.execute("SELECT teacher FROM named WHERE address = ?", (address,)).fetchone()
        return found[0] if found and isinstance(found[0], str) else address

    def any(self) -> bool:
        """Return whether there is an answer of this teacher."""
        found = self._database.execute("SELECT 1 FROM answers WHERE teacher = ? LIMIT 1", (self.teacher,)).fetchone()
        return found is not None

    def look_up(self, keys: list[bytes]) -> dict[bytes, np.ndarray]:
        """Return the stored answers, (K,) float32 each, of words (W, K)."""
        rows = self._rows(keys)
        found = {key: self._read(row[:-CHECKSUM_BYTES]) for key, row in rows.items() if self._whole(key, row)}
        self.damaged += len(rows) - len(found)
        return found

    def _rows(self, keys: list[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for start in range(0, len(keys), LOOKED_UP_AT_ONCE):
            part = keys[start : start + LOOKED_UP_AT_ONCE]
            marks = ",".join("?" * len(part))
            query = f"SELECT text, log_probs FROM answers WHERE teacher = ? AND text IN ({marks})"
            found |= dict(self._database.execute(query, (self.teacher, *part)).fetchall())
        return found

    def keep(self, answers: dict[bytes, np.ndarray]) -> dict[bytes, np.ndarray]:
        """Store answers in one transaction, and return what is stored, because another process may have been first."""
        rows = {key: row.astype(STORED_ROW).tobytes() for key, row in answers.items()}
        with self._database as database:
            database.execute("BEGIN IMMEDIATE")
            stored = self._rows(list(rows))
            first = {key: row[:-CHECKSUM_BYTES] for key, row in stored.items() if self._whole(key, row)}
            database.executemany(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)",
                [
                    (self.teacher, key, row + _checksum(self.teacher, key, row))
                    for key, row in rows.items()
                    if key not in first
                ],
            )
            database.execute(  # the number of rows, by which those are missed that damage has moved to another key
                "INSERT INTO stored VALUES (?, ?) ON CONFLICT DO UPDATE SET answers = answers + excluded.answers",
                (self.teacher, len(rows.keys() - stored.keys())),
            )
        return {key: self._read(row) for key, row in (rows | first).items()}


def _checksum(teacher: str, text: bytes, row: bytes) -> bytes:
    """Return the checksum of a stored row, its key included."""
    return hashlib.blake2b(b"\0".join([teacher.encode(), text, row]), digest_size=CHECKSUM_BYTES).digest()
