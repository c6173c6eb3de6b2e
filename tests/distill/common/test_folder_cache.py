"""The cache of trained folders: built once, addressed by its key, never trusted when damaged."""

import os
import stat
from pathlib import Path

import pytest

from distill.common.errors import InputError
from distill.common.folder_cache import CACHE_MANIFEST, cached_folder, default_cache_dir, is_complete, source_hash


class Builder:
    """Fills a folder and counts how often it was asked to."""

    def __init__(self, text: str = "weights") -> None:
        self.calls, self.text = 0, text

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        (folder / "model.txt").write_text(self.text)
        (folder / "sub").mkdir()
        (folder / "sub" / "more.txt").write_text("more")


def test_second_call_builds_nothing(tmp_path):
    build = Builder()
    first = cached_folder("model", {"seed": 0}, build, tmp_path)
    assert cached_folder("model", {"seed": 0}, build, tmp_path) == first
    assert build.calls == 1
    assert first.parent == tmp_path and first.name.startswith("model-")
    assert (first / "sub" / "more.txt").read_text() == "more"
    assert [entry.name for entry in tmp_path.iterdir()] == [first.name]  # no temporary folder is left


def test_another_key_or_name_is_another_entry(tmp_path):
    build = Builder()
    folders = {cached_folder("a", {"seed": 0}, build, tmp_path), cached_folder("a", {"seed": 1}, build, tmp_path)}
    folders.add(cached_folder("b", {"seed": 0}, build, tmp_path))
    assert len(folders) == build.calls == 3


def test_order_of_the_key_does_not_matter(tmp_path):
    build = Builder()
    first = cached_folder("a", {"x": 1, "y": 2}, build, tmp_path)
    assert cached_folder("a", {"y": 2, "x": 1}, build, tmp_path) == first
    assert build.calls == 1


def cut(folder: Path) -> None:
    (folder / "model.txt").write_text("wei")


def lose(folder: Path) -> None:
    (folder / "sub" / "more.txt").unlink()


def cut_manifest(folder: Path) -> None:
    text = (folder / CACHE_MANIFEST).read_text()
    (folder / CACHE_MANIFEST).write_text(text[: len(text) // 2])


def lose_manifest(folder: Path) -> None:
    (folder / CACHE_MANIFEST).unlink()


def empty_manifest(folder: Path) -> None:
    (folder / CACHE_MANIFEST).write_text("[]")


@pytest.mark.parametrize("damage", [cut, lose, cut_manifest, lose_manifest, empty_manifest])
def test_damaged_entry_is_rebuilt(tmp_path, damage):
    build = Builder()
    folder = cached_folder("model", {"seed": 0}, build, tmp_path)
    damage(folder)
    assert not is_complete(folder)
    assert cached_folder("model", {"seed": 0}, build, tmp_path) == folder
    assert build.calls == 2
    assert is_complete(folder)
    assert (folder / "model.txt").read_text() == "weights"


def test_failed_build_leaves_nothing(tmp_path):
    def build(folder: Path) -> None:
        (folder / "half.txt").write_text("half")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        cached_folder("model", {}, build, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_process_that_finishes_first_wins(tmp_path):
    """Two builds of one entry at once: the second finds a complete folder and keeps it."""
    other = Builder("from the other process")

    def build(folder: Path) -> None:
        cached_folder("model", {}, other, tmp_path)
        (folder / "model.txt").write_text("mine")

    folder = cached_folder("model", {}, build, tmp_path)
    assert (folder / "model.txt").read_text() == "from the other process"
    assert list(tmp_path.iterdir()) == [folder]


def test_entries_are_as_readable_as_the_umask_allows(tmp_path):
    mask = os.umask(0o022)
    try:
        folder = cached_folder("model", {}, Builder(), tmp_path)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_unwritable_cache_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="toy cache: .*file.* cannot be written .*PROMPTER_CACHE"):
        cached_folder("model", {}, Builder(), tmp_path / "file")


def test_toy_models_lie_in_the_cache_of_the_package(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMPTER_CACHE", str(tmp_path))
    assert default_cache_dir() == tmp_path / "toy"


def test_changed_source_changes_the_hash(tmp_path):
    file = tmp_path / "code.py"
    file.write_text("x = 1\n")
    before = source_hash([file])
    assert source_hash([file]) == before
    file.write_text("x = 2\n")
    assert source_hash([file]) != before
