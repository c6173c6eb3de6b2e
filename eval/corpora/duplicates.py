"""Near-duplicates among any number of texts, with an index on disk.

MinHash (Broder 1997) turns the set of word triples of a text into a short signature. The share of equal entries of two
signatures estimates the Jaccard similarity of the sets. Banding finds candidates without comparing all pairs: texts whose
signatures are equal throughout one band. `datasketch` computes the signatures and chooses the bands. SQLite keeps the bands
instead of its dictionaries, so that memory does not grow with the number of texts.
"""

import hashlib
import sqlite3
from dataclasses import dataclass

import numpy as np
from datasketch import MinHash, MinHashLSH

from eval.corpora.words import marks

SHINGLE = 3
"""Words per shingle."""

PERMUTATIONS = 128

WEIGHTS = (0.2, 0.8)
"""Weights of false candidates, which cost a comparison, and of missed ones, which leave a duplicate in the data."""

BETWEEN = "\t"
"""Stands between the words of a first and of a second text; no word is like it."""

TABLES = """
CREATE TABLE IF NOT EXISTS exact (key INTEGER PRIMARY KEY, row INTEGER);
CREATE TABLE IF NOT EXISTS bands (key INTEGER, row INTEGER, PRIMARY KEY (key, row)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS signatures (row INTEGER PRIMARY KEY, signature BLOB);
"""


@dataclass(frozen=True)
class Sketch:
    """The parts of a text that are compared.

    Attributes:
        exact: Hash of its words, with emoji and signs.
        signature: (PERMUTATIONS,) uint32, or None if only exact duplicates are looked for.
        bands: One hash per band.
    """

    exact: int
    signature: np.ndarray | None
    bands: list[int]


class DuplicateIndex:
    """An index of the texts seen so far, by row number.

    The index commits nothing: additions belong to the transaction of the owner of the connection.

    Args:
        connection: The database.
        threshold: Estimated Jaccard similarity from which a text is a near-duplicate, in (0, 1); 0 looks for exact
            duplicates only.
    """

    def __init__(self, connection: sqlite3.Connection, threshold: float) -> None:
        self.connection, self.threshold = connection, threshold
        connection.executescript(TABLES)
        self._minhash = MinHash(PERMUTATIONS, scheme="affine32")  # reused for every text
        self._ranges: list[tuple[int, int]] = []
        if threshold:
            self._ranges = MinHashLSH(threshold, PERMUTATIONS, weights=WEIGHTS).hashranges

    def sketch(self, text: str, text_pair: str | None = None) -> Sketch:
        """Return the sketch of a text or a pair, which ignores case and punctuation; see `eval.corpora.words.marks`."""
        found = marks(text) if text_pair is None else [*marks(text), BETWEEN, *marks(text_pair)]
        exact = _hash(" ".join(found).encode())
        if not self._ranges:
            return Sketch(exact, None, [])
        shingles = [" ".join(found[i : i + SHINGLE]).encode() for i in range(max(1, len(found) - SHINGLE + 1))]
        self._minhash.clear()
        self._minhash.update_batch(shingles)
        signature = self._minhash.hashvalues.copy()
        bands = [
            _hash(band.to_bytes(2, "big") + signature[begin:end].tobytes()) for band, (begin, end) in enumerate(self._ranges)
        ]
        return Sketch(exact, signature, bands)

    def find(self, sketch: Sketch) -> tuple[int, bool] | None:
        """Return the row that a text repeats and whether it does so exactly: the most similar row, the earliest of equals."""
        row = self.connection.execute("SELECT row FROM exact WHERE key = ?", (sketch.exact,)).fetchone()
        if row:
            return row[0], True
        if sketch.signature is None:
            return None
        marks = ", ".join("?" * len(sketch.bands))
        candidates = self.connection.execute(
            f"SELECT row, signature FROM signatures WHERE row IN (SELECT row FROM bands WHERE key IN ({marks})) ORDER BY row",
            sketch.bands,
        )
        best, found = self.threshold, None
        for number, signature in candidates:
            similarity = float((np.frombuffer(signature, dtype=np.uint32) == sketch.signature).mean())
            if similarity > best or (found is None and similarity >= best):
                best, found = similarity, number
        return None if found is None else (found, False)

    def add(self, sketch: Sketch, row: int) -> None:
        """Add a text under its row number."""
        self.connection.execute("INSERT OR IGNORE INTO exact VALUES (?, ?)", (sketch.exact, row))
        if sketch.signature is not None:
            self.connection.executemany("INSERT OR IGNORE INTO bands VALUES (?, ?)", [(key, row) for key in sketch.bands])
            self.connection.execute("INSERT INTO signatures VALUES (?, ?)", (row, sketch.signature.tobytes()))


def _hash(data: bytes) -> int:
    """Return a 64-bit hash as a signed integer, as SQLite stores it."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big", signed=True)
