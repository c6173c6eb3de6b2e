"""An interrupted export whose folder was damaged ends as one that nothing touched, or says what is wrong."""

import json
import random
import shutil
import sqlite3
from pathlib import Path

import pytest
import yaml

from distill.common.errors import InputError
from prompter.exporting.folder import ExportFolder
from prompter.exporting.row_sum import RowSum
from prompter.exporting.shards import shard_path
from tests.prompter.exporting.exports import contents, run

FLAGS = ("--balance", "--min_confidence", "0.6")


class Killed(BaseException):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def half(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export that was killed after two shards, in the middle of the third."""
    to = tmp_path_factory.mktemp("half") / "set"
    commit = ExportFolder.commit

    def killed(self, progress):
        commit(self, progress)
        if progress.shards >= 2:
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ExportFolder, "commit", killed)
        run(run_folder, to, *FLAGS)
    assert len(list((to / "data").iterdir())) >= 2
    return to


def removed(folder: Path) -> None:
    (folder / "data" / "train-00000.parquet").unlink()


def swapped(folder: Path) -> None:
    first, second = sorted((folder / "data").iterdir())[:2]
    first.rename(folder / "data" / "other")
    second.rename(first)
    (folder / "data" / "other").rename(second)


def cut(folder: Path) -> None:
    file = folder / "data" / "train-00001.parquet"
    file.write_bytes(file.read_bytes()[:-7])


def foreign(folder: Path) -> None:
    first, second = sorted((folder / "data").iterdir())[:2]
    shutil.copy(first, second)


def other_row(folder: Path) -> None:
    with sqlite3.connect(folder / ".export" / "state.sqlite") as database:
        database.execute("UPDATE signatures SET signature = zeroblob(512) WHERE row = (SELECT min(row) FROM signatures)")


def other_progress(folder: Path) -> None:
    with sqlite3.connect(folder / ".export" / "state.sqlite") as database:
        database.execute("UPDATE state SET value = replace(value, '\"idle\": 0', '\"idle\": 1') WHERE key = 'progress'")


@pytest.mark.parametrize("damage", [removed, swapped, cut, foreign, other_row, other_progress])
def test_the_rows_are_written_again_to_the_same_bytes(
    damage, half: Path, whole: Path, run_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    to = Path(shutil.copytree(half, tmp_path / "set"))
    damage(to)
    said: list[str] = []
    open_state = ExportFolder.open_state

    def listening(self, identity, classes, say):
        return open_state(self, identity, classes, said.append)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ExportFolder, "open_state", listening)
        assert run(run_folder, to, *FLAGS) == 0
    assert contents(to) == contents(whole)
    assert len(said) == 1 and "all rows are written again" in said[0]


def test_rows_that_are_written_again_are_so_once(half: Path, run_folder: Path, tmp_path: Path) -> None:
    to = Path(shutil.copytree(half, tmp_path / "set"))
    removed(to)
    said: list[str] = []
    open_state, commit, batches = ExportFolder.open_state, ExportFolder.commit, []

    def listening(self, identity, classes, say):
        return open_state(self, identity, classes, said.append)

    def killed(self, progress):
        commit(self, progress)
        batches.append(progress.batches)
        if progress.batches == 1:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ExportFolder, "open_state", listening)
        patch.setattr(ExportFolder, "commit", killed)
        with pytest.raises(Killed):
            run(run_folder, to, *FLAGS)
        assert len(said) == 1
        assert run(run_folder, to, *FLAGS) == 0
    assert len(said) == 1 and batches[:3] == [0, 1, 2]


def test_a_file_of_something_else_is_refused(half: Path, whole: Path, run_folder: Path, tmp_path: Path) -> None:
    to = Path(shutil.copytree(half, tmp_path / "set"))
    stranger = to / "data" / "train-00007.parquet"
    shutil.copy(to / "data" / "train-00000.parquet", stranger)
    with pytest.raises(InputError, match="train-00007.parquet is not of this export: move it away"):
        run(run_folder, to, *FLAGS)
    stranger.unlink()
    assert run(run_folder, to, *FLAGS) == 0
    assert contents(to) == contents(whole)


def test_an_export_of_an_earlier_version_goes_on(half: Path, whole: Path, run_folder: Path, tmp_path: Path) -> None:
    for number, (listed, lost) in enumerate(((False, False), (False, True), (True, False), (True, True))):
        to = Path(shutil.copytree(half, tmp_path / str(number) / "set"))
        with sqlite3.connect(to / ".export" / "state.sqlite") as database:
            entries = {name: json.loads(entry) for name, entry in database.execute("SELECT name, entry FROM shards")}
            assert len(entries) >= 2
            database.execute("DELETE FROM state WHERE key = 'checksum'")
            database.execute("DROP TABLE shards")
            if listed:
                database.execute("INSERT INTO state VALUES ('files', ?)", (json.dumps(entries),))
        if lost:
            removed(to)
        assert run(run_folder, to, *FLAGS) == 0
        assert contents(to) == contents(whole)


def test_a_batch_writes_as_much_after_many_shards(tmp_path: Path) -> None:
    folder = ExportFolder(tmp_path / "set")
    progress = folder.open_state({}, 2, pytest.fail)
    folder.watch()
    sizes = []
    for number in range(40):
        shard_path(folder.path, number).parent.mkdir(exist_ok=True)
        shard_path(folder.path, number).write_bytes(b"rows")
        folder.add_shard(number, 1)
        progress.shards += 1
        folder.commit(progress)
        sizes.append(folder.connection.execute("SELECT sum(length(value)) FROM state").fetchone()[0])
    assert sizes[-1] - sizes[0] < 10  # the number of shards has a digit more
    folder.close()
    again = ExportFolder(tmp_path / "set")
    assert again.open_state({}, 2, pytest.fail).shards == 40 and len(again.files) == 40
    again.close()


@pytest.mark.parametrize("seed", range(25))
def test_any_damage_is_named_or_changes_nothing(seed: int, half: Path, whole: Path, run_folder: Path, tmp_path: Path) -> None:
    rng, to = random.Random(seed), Path(shutil.copytree(half, tmp_path / "set"))
    file = rng.choice([to / ".export" / "state.sqlite", *(to / "data").iterdir()])
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)
    try:
        assert run(run_folder, to, *FLAGS) == 0
    except InputError as error:
        assert "state.sqlite is damaged" in str(error) or "other settings" in str(error) or "not written" in str(error)
    else:
        assert contents(to) == contents(whole)


def test_a_finished_dataset_lists_its_files_and_is_checked(whole: Path, run_folder: Path, tmp_path: Path) -> None:
    to = Path(shutil.copytree(whole, tmp_path / "set"))
    assert run(run_folder, to, *FLAGS, "--jsonl", "--csv") == 0
    recipe = yaml.safe_load((to / "recipe.yaml").read_text())
    files = {file.relative_to(to).as_posix(): file.stat().st_size for file in to.rglob("*") if file.is_file()}
    del files["README.md"], files["recipe.yaml"]
    assert {name: entry["bytes"] for name, entry in recipe["files"].items()} == files
    shards = [entry["rows"] for name, entry in recipe["files"].items() if name.endswith(".parquet")]
    assert sum(shards) == recipe["result"]["rows"]
    removed(to)
    with pytest.raises(InputError, match="is finished, but data/train-00000.parquet is missing"):
        run(run_folder, to, *FLAGS)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.7, 0.8, 0.85, 0.9, 0.93, 0.96])
def test_a_recipe_that_was_cut_off(share: float, whole: Path, run_folder: Path, tmp_path: Path) -> None:
    to = Path(shutil.copytree(whole, tmp_path / "set"))
    lines = (to / "recipe.yaml").read_text().splitlines(keepends=True)
    text = "".join(lines)[: int(share * len("".join(lines)))]
    marked, files = (next(i for i, line in enumerate(lines) if line.strip() == key) for key in ("marked:", "files:"))
    listed = "".join(lines[: files + 1])
    for content in (text, "".join(lines[: marked + 1]), listed, listed.rstrip() + " dat", listed + lines[files + 1]):
        (to / "recipe.yaml").write_text(content)
        try:  # what is left may be a recipe of an older version, which lists no files
            assert run(run_folder, to, *FLAGS) == 0
        except InputError as error:
            assert any(said in str(error) for said in ("recipe.yaml", "other settings", "is damaged"))


def test_the_sum_over_all_rows_follows_every_change() -> None:
    database = sqlite3.connect(":memory:")
    for table in ("pending", "shards", "state"):
        database.execute(f"CREATE TABLE {table} (name TEXT, value)")
    database.execute("INSERT INTO shards VALUES ('first', 1)")
    watched = RowSum(database, besides="state")
    watched.watch()
    begun = watched.value
    database.executemany("INSERT INTO pending VALUES (?, ?)", [("a", 1), ("b", 2.5), ("c", None)])
    assert watched.value == RowSum(database, besides="state").value != begun
    database.execute("DELETE FROM pending WHERE name <> 'b'")
    assert watched.value == RowSum(database, besides="state").value != begun
    database.execute("DELETE FROM pending")
    database.execute("INSERT INTO state VALUES ('progress', 3)")
    assert watched.value == begun
