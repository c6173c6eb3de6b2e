"""The folder of an export, with a working state that survives a kill at any moment.

One SQLite file holds everything that is not part of the dataset yet: the progress, the rows of the shard that is not full,
and the index of duplicates. One transaction per batch changes all three, so they agree after a kill, and the interrupted
batch is written again to the same bytes. `recipe.yaml` is written last and marks a dataset as finished.

The state holds checksums of the shards and of itself. An export that goes on compares them. Where something is missing or
damaged it writes all rows again, to the same bytes, and a file that is not its own is refused.
"""

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from datasets import Features

from distill.common.errors import InputError
from distill.common.files import read_yaml, write_text
from distill.teachers.found import made_here, remember
from distill.teachers.stored_answers import means_damage
from eval.data.recipe import FILES, RECIPE_FILE, checked_entries, file_entry, file_fault, is_result, names_as_written
from prompter.exporting.marks import NO_ANSWER
from prompter.exporting.row_sum import RowSum
from prompter.exporting.shards import shard_path, write_csv, write_jsonl
from prompter.runtime.run_folder import differences, moved, take_lock

WORK_FOLDER, STATE_FILE = ".export", "state.sqlite"

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
        self.recipe = self._read_recipe()  # again: another process may have finished it since
        self.connection: sqlite3.Connection | None = None
        self.files: dict[str, dict[str, Any]] = {}
        self._sum: RowSum | None = None

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
        whole = isinstance(recipe["prompter"], dict) and isinstance(recipe["export"], dict) and is_result(recipe["result"])
        if not whole:
            raise InputError(f"to: {file} is damaged or cut off: put it back, or choose another folder")
        return names_as_written(recipe)

    def compare(self, identity: dict[str, Any], defaults: Mapping[str, Any], sample: Callable[[str], dict[str, str]]) -> None:
        """Check that the folder is new, or holds an export with the same settings.

        Args:
            identity: Everything that decides the rows.
            defaults: Values of settings that an older export did not store; see `differences`.
            sample: Returns what tells a teacher from others of its name; see `prompter.exporting.opening.sample_of_teacher`.

        Raises:
            InputError: The settings differ. The message names each difference.
        """
        stored = self.recipe["export"] if self.recipe else self._stored_identity()
        if stored is None:
            return
        if self.recipe and stored.get("teacher") != identity["teacher"]:
            stored = stored | self._lay(str(identity["teacher"]), sample(identity["teacher"]).get("teacher_weights"))
        if differing := differences(stored, identity | {"to": str(self.path)}, defaults, {"to"}):
            raise InputError(
                f"to: '{self.path}' holds an export with other settings ({'; '.join(differing)}): "
                "give the same settings, or choose another folder"
            )

    def _lay(self, teacher: str, weights: str | None) -> dict[str, str]:
        """Return where a finished dataset lay, by where its teacher lay that is gone there; {} where they were not moved."""
        recipe, here = self.recipe or {}, Path(os.path.abspath(self.path))
        stored = str(recipe["export"].get("teacher"))
        before, now = moved(stored, teacher)
        found = recipe.get("found")
        same = weights is not None and isinstance(found, dict) and found.get("teacher_weights") == weights
        gone = same and not Path(stored).exists() and here.is_relative_to(now)
        return {"to": str(before / here.relative_to(now))} if gone else {}

    def _stored_identity(self) -> dict[str, Any] | None:
        if not (self.work / STATE_FILE).is_file():
            return None
        with self.damage_named():
            with contextlib.closing(_connect(self.work / STATE_FILE)) as connection:
                values = {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM state")}
            begun = "identity" in values and not self._nothing_made(values)
            return values["identity"] | {"to": values.get("place")} if begun else None  # no place: begun by an earlier version

    def _nothing_made(self, state: dict[str, Any]) -> bool:
        """Return whether an export ended before the teacher answered, so that other settings may take the place of its own."""
        noted = (self.work / "writer.json").is_file()  # about a server that writes
        progress = state["progress"]
        written = progress["batches"] or progress["shards"]
        unanswered = written and progress["rows"] == progress["marked"].get(NO_ANSWER)
        return not (noted or (written and not unanswered) or state.get("writer_batch_size"))

    @contextlib.contextmanager
    def damage_named(self, *errors: type[Exception]) -> Iterator[None]:
        """Turn an error about a damaged working state into an `InputError`.

        Args:
            errors: What counts as one; by default all that reading a damaged state raises. Around code that does more than
                read the state, give `sqlite3.Error`: teachers and writers raise the others, too.
        """
        damage = errors or (sqlite3.Error, ValueError, TypeError, LookupError, AttributeError)
        try:
            yield
        except InputError:  # a ValueError, about something else than the state
            raise
        except damage as error:
            if isinstance(error, sqlite3.Error) and not means_damage(error):
                raise
            raise InputError(
                f"to: {self.work / STATE_FILE} is damaged ({error}), and the export cannot go on: remove the folder "
                f"'{self.path}' and give the same command again"
            ) from error

    # The working state

    def open_state(self, identity: dict[str, Any], classes: int, say: Callable[[str], None]) -> ExportProgress:
        """Start the working state, or open the one of an interrupted export.

        Args:
            identity: Everything that decides the rows.
            classes: Number of classes.
            say: Shows a line if all rows must be written again.

        Raises:
            InputError: The state is damaged as a whole, or the folder holds a file that is not of this export.
        """
        with self.damage_named():
            self.connection = _connect(self.work / STATE_FILE)
            self._sum = RowSum(self.connection, besides="state")
            progress = self._get("progress")
            faults = self._faults(progress) if progress else []
            if faults:
                say(f"{self.path}: {', '.join(faults)}; all rows are written again.")
                for number in range(progress["shards"]):
                    shard_path(self.path, number).unlink(missing_ok=True)
            found_size = {"writer_batch_size": self._get("writer_batch_size")}
            if faults or not progress or self._nothing_made({"progress": progress} | found_size):
                self._begin(identity, classes)
            self.files = self._listed() or self._entries_of_older_export(self._get("progress"))
            found = ExportProgress(**self._get("progress"))
        for number in itertools.count(found.shards):  # shards that were written but not committed before a kill
            if not shard_path(self.path, number).is_file():
                break
            shard_path(self.path, number).unlink()
        self._refuse_others()
        return found

    def _begin(self, identity: dict[str, Any], classes: int) -> None:
        """Make the state of an export that has no rows yet."""
        assert self.connection is not None
        for (table,) in self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            self.connection.execute(f'DELETE FROM "{table}"')
        self._sum = RowSum(self.connection, besides="state")
        self._set("identity", identity)
        self._set("place", str(self.path))
        self.commit(ExportProgress(kept_of=[0] * classes, answers=[0] * classes))

    def _faults(self, progress: dict[str, Any]) -> list[str]:
        """Return what is missing or damaged, of the shards and of the state."""
        assert self.connection is not None
        checksum, files = self._get("checksum"), self._listed()
        faults = [] if checksum is None or checksum == self._checksum() else [f"{WORK_FOLDER}/{STATE_FILE} is damaged"]
        if progress["shards"] and not files:
            names = [self._shard(number) for number in range(progress["shards"])]
            if missing := [f"{name} is missing" for name in names if not (self.path / name).is_file()]:
                return missing
            found = sum(entry["rows"] for entry in self._entries_of_older_export(progress).values())
            pending = self.connection.execute("SELECT count(*) FROM pending").fetchone()[0]
            return [] if found + pending == progress["rows"] else [f"{found + pending} rows instead of {progress['rows']}"]
        return faults + [fault for name, entry in files.items() if (fault := file_fault(self.path, name, entry))]

    def _listed(self) -> dict[str, dict[str, Any]]:
        """Return the entries of the shards, see `file_entry`. Exports begun by an older version have some in their state."""
        assert self.connection is not None
        rows = self.connection.execute("SELECT name, entry FROM shards ORDER BY rowid")
        return (self._get("files") or {}) | {name: json.loads(entry) for name, entry in rows}

    def _entries_of_older_export(self, progress: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the entries of shards whose checksums were not stored; see `file_entry`."""
        names = [self._shard(number) for number in range(progress["shards"])]
        return {name: file_entry(self.path / name, pq.read_metadata(self.path / name).num_rows) for name in names}

    def _refuse_others(self) -> None:
        """Refuse files among the shards that are not of this export: a reader would take their rows for its own.

        Raises:
            InputError: There is such a file.
        """
        data = self.path / "data"
        for file in sorted(data.iterdir()) if data.is_dir() else []:
            name = file.relative_to(self.path).as_posix()
            if name not in self.files and not file.name.startswith("."):
                raise InputError(f"to: {file} is not of this export: move it away, then give the same command again")

    def _shard(self, number: int) -> str:
        return shard_path(self.path, number).relative_to(self.path).as_posix()

    def watch(self) -> None:
        """Follow the changes of all tables that exist now, for the checksum of the state."""
        assert self._sum is not None
        self._sum.watch()

    def add_shard(self, number: int, rows: int) -> None:
        """Note the checksum of a shard that was written."""
        assert self.connection is not None
        name, entry = self._shard(number), file_entry(shard_path(self.path, number), rows)
        self.files[name] = entry
        # A row of its own, so that a batch costs the same after ten thousand shards.
        self.connection.execute("INSERT INTO shards VALUES (?, ?)", (name, json.dumps(entry)))

    def add(self, number: int, row: dict[str, Any]) -> None:
        """Add a row to the shard that is not full yet."""
        assert self.connection is not None
        self.connection.execute("INSERT INTO pending VALUES (?, ?)", (number, json.dumps(row)))

    def pending(self, limit: int) -> Iterator[dict[str, Any]]:
        """Yield the first `limit` rows that are in no shard yet."""
        assert self.connection is not None
        for (value,) in self.connection.execute("SELECT value FROM pending ORDER BY row LIMIT ?", (limit,)):
            with self.damage_named():
                row = json.loads(value)
            yield row

    def forget(self, limit: int) -> None:
        """Remove the first `limit` rows, which are in a shard now."""
        assert self.connection is not None
        self.connection.execute("DELETE FROM pending WHERE row IN (SELECT row FROM pending ORDER BY row LIMIT ?)", (limit,))

    def commit(self, progress: ExportProgress) -> None:
        """Make all changes since the last call permanent, in one step."""
        assert self.connection is not None
        self._set("progress", asdict(progress))
        self._set("checksum", self._checksum())
        self.connection.commit()

    def _checksum(self) -> str:
        """Return a checksum of the whole state."""
        assert self.connection is not None and self._sum is not None
        values = self.connection.execute("SELECT key, value FROM state WHERE key <> 'checksum' ORDER BY key").fetchall()
        return hashlib.sha256(repr((self._sum.value, values)).encode()).hexdigest()

    def _get(self, key: str) -> Any:
        assert self.connection is not None
        value = self.connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return json.loads(value[0]) if value else None

    def _set(self, key: str, value: Any) -> None:
        assert self.connection is not None
        self.connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, json.dumps(value)))

    @property
    def batch_size(self) -> int | None:
        """The batch size of the writer that this export has found, or None."""
        with self.damage_named():
            return self._get("writer_batch_size")

    @batch_size.setter
    def batch_size(self, size: int) -> None:
        self._set("writer_batch_size", size)

    # The end

    def finish(self, recipe: dict[str, Any], own: bool = True) -> None:
        """Mark the dataset as finished. `close` then removes the working state.

        Args:
            recipe: Content of the recipe, but for its files.
            own: Whether the user named the teacher; then what reads the dataset may ask it again without a question, see
                `distill.teachers.found`.

        Raises:
            InputError: A shard was removed or changed while the export ran.
        """
        self._refuse_others()
        if faults := [fault for name, entry in self.files.items() if (fault := file_fault(self.path, name, entry))]:
            raise InputError(f"to: '{self.path}': {', '.join(faults)} while the export ran: give the same command again")
        self._write_recipe(recipe | {FILES: self.files}, own)

    def _write_recipe(self, recipe: dict[str, Any], own: bool) -> None:
        write_text(self.path / RECIPE_FILE, yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True))
        if own:
            remember(self.path / RECIPE_FILE, recipe["export"]["teacher"])
        self.recipe = recipe

    def check_finished(self) -> None:
        """Check that a finished dataset is still the one that was exported.

        Raises:
            InputError: A file is missing or was changed.
        """
        listed = checked_entries(self.path, (self.recipe or {}).get(FILES, {}))
        if faults := [fault for name, entry in listed.items() if (fault := file_fault(self.path, name, entry))]:
            raise InputError(
                f"to: '{self.path}' is finished, but {', '.join(faults)}: copy it again, or export into another folder"
            )

    def lacks(self, name: str) -> bool:
        """Return whether a finished dataset lacks a further file, or has one that a kill may have cut off."""
        assert self.recipe is not None
        return not (self.path / name).is_file() or name not in self.recipe.get(FILES, {name: None})

    def add_file(self, name: str) -> None:
        """List a further file of a finished dataset in its recipe, if that lists files."""
        assert self.recipe is not None
        if FILES in self.recipe:
            entry = file_entry(self.path / name, self.recipe["result"]["rows"])
            own = made_here(self.path / RECIPE_FILE)  # that of a folder from elsewhere stays one from elsewhere
            self._write_recipe(self.recipe | {FILES: self.recipe[FILES] | {name: entry}}, own)

    def write_further(self, columns: Features, jsonl: bool, csv: bool) -> None:
        """Write the rows of a finished dataset in further formats too, where they are asked for and missing."""
        for requested, name, write in ((jsonl, "data.jsonl", write_jsonl), (csv, "data.csv", write_csv)):
            if requested and self.lacks(name):
                write(self.path, columns)
                self.add_file(name)

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
    connection.execute("CREATE TABLE IF NOT EXISTS shards (name TEXT PRIMARY KEY, entry TEXT)")
    return connection
