"""The folder of an export, with a working state that survives a kill at any moment.

One SQLite file holds everything that is not part of the dataset yet: the progress, the rows of the shard that is not full,
and the index of duplicates. One transaction per batch changes all three, so they agree after a kill, and the interrupted
batch is written again to the same bytes. `recipe.yaml` is written last and marks a dataset as finished.
"""

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from distill.common.errors import InputError
from distill.common.files import read_yaml, write_text
from prompter.runtime.run_folder import differences, take_lock

WORK_FOLDER, STATE_FILE, RECIPE_FILE = ".export", "state.sqlite", "recipe.yaml"

CACHE_KIB = 8192
"""Memory for the pages of SQLite, in KiB."""


@dataclass
class ExportProgress:
    """How far an export is.

    Attributes:
        batches: Batches written.
        rows: Rows written, including marked rows.
        kept: Rows kept.
        kept_of: Kept rows by class of the teacher.
        answers: All rows by class of the teacher.
        marked: Marked rows by reason.
        idle: Batches since the last batch with a kept row.
        shards: Shards written.
    """

    batches: int = 0
    rows: int = 0
    kept: int = 0
    kept_of: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    marked: dict[str, int] = field(default_factory=dict)
    idle: int = 0
    shards: int = 0


class ExportFolder:
    """The folder of one export, used by one process at a time.

    Args:
        path: The folder; made if it is missing.

    Raises:
        InputError: The folder holds something else or cannot be written, or another process uses it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.work = self.path / WORK_FOLDER
        self.recipe: dict[str, Any] | None = self._read_recipe()
        if self.path.is_dir() and self.recipe is None and not self.work.is_dir() and any(self.path.iterdir()):
            raise InputError(f"to: folder '{path}' holds other files, which stay as they are: choose another folder")
        self._lock = take_lock(self.work / "lock", "to:", path)
        self.connection: sqlite3.Connection | None = None

    def _read_recipe(self) -> dict[str, Any] | None:
        """Return the recipe of a finished dataset, or None."""
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"to: '{self.path}' is a file, a folder was expected: choose another name")
        file = self.path / RECIPE_FILE
        if not file.is_file():
            return None
        try:
            recipe = read_yaml(file)
        except InputError:
            recipe = {}
        if not {"prompter", "export", "result"} <= recipe.keys():
            raise InputError(f"to: {file} was not written by an export: choose another folder")
        return recipe

    def compare(self, identity: dict[str, Any], defaults: Mapping[str, Any]) -> None:
        """Check that the folder is new, or holds an export with the same settings.

        Args:
            identity: Everything that decides the rows.
            defaults: Values of settings that an older export did not store; see `differences`.

        Raises:
            InputError: The settings differ. The message names each difference.
        """
        stored = self.recipe["export"] if self.recipe else self._stored_identity()
        if stored is None:
            return
        differing = differences(stored, identity, defaults)
        if differing:
            raise InputError(
                f"to: '{self.path}' holds an export with other settings ({'; '.join(differing)}): "
                "give the same settings, or choose another folder"
            )

    def _stored_identity(self) -> dict[str, Any] | None:
        if not (self.work / STATE_FILE).is_file():
            return None
        with contextlib.closing(_connect(self.work / STATE_FILE)) as connection:
            value = connection.execute("SELECT value FROM state WHERE key = 'identity'").fetchone()
        return json.loads(value[0]) if value else None

    # The working state

    def open_state(self, identity: dict[str, Any], classes: int) -> ExportProgress:
        """Start the working state, or open the one of an interrupted export."""
        self.connection = _connect(self.work / STATE_FILE)
        if self._get("identity") is None:
            self._set("identity", identity)
            self._set("progress", asdict(ExportProgress(kept_of=[0] * classes, answers=[0] * classes)))
            self.connection.commit()
        return ExportProgress(**self._get("progress"))

    def add(self, number: int, row: dict[str, Any]) -> None:
        """Add a row to the shard that is not full yet."""
        assert self.connection is not None
        self.connection.execute("INSERT INTO pending VALUES (?, ?)", (number, json.dumps(row)))

    def pending(self, limit: int) -> Iterator[dict[str, Any]]:
        """Yield the first `limit` rows that are in no shard yet."""
        assert self.connection is not None
        for (value,) in self.connection.execute("SELECT value FROM pending ORDER BY row LIMIT ?", (limit,)):
            yield json.loads(value)

    def forget(self, limit: int) -> None:
        """Remove the first `limit` rows, which are in a shard now."""
        assert self.connection is not None
        self.connection.execute("DELETE FROM pending WHERE row IN (SELECT row FROM pending ORDER BY row LIMIT ?)", (limit,))

    def commit(self, progress: ExportProgress) -> None:
        """Make all changes since the last call permanent, in one step."""
        assert self.connection is not None
        self._set("progress", asdict(progress))
        self.connection.commit()

    def _get(self, key: str) -> Any:
        assert self.connection is not None
        value = self.connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return json.loads(value[0]) if value else None

    def _set(self, key: str, value: Any) -> None:
        assert self.connection is not None
        self.connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, json.dumps(value)))

    # The end

    def finish(self, recipe: dict[str, Any]) -> None:
        """Mark the dataset as finished. `close` then removes the working state."""
        write_text(self.path / RECIPE_FILE, yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True))
        self.recipe = recipe

    def close(self) -> None:
        """Let other processes use the folder. Remove the working state if it is empty or no longer needed."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        if self.recipe is not None or not (self.work / STATE_FILE).exists():
            shutil.rmtree(self.work, ignore_errors=True)
            if not any(self.path.iterdir()):
                self.path.rmdir()
        self._lock.release()


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute("CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT)")
    connection.execute("CREATE TABLE IF NOT EXISTS pending (row INTEGER PRIMARY KEY, value TEXT)")
    return connection
