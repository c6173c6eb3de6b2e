"""The folder of an export: what it refuses, and how it knows an export again."""

import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from safetensors.torch import load_file, save_file

from distill.common.errors import InputError
from prompter.exporting import folder, shards
from prompter.exporting import loop as export_module
from prompter.exporting.folder import ExportFolder
from prompter.runtime.run_folder import take_lock
from tests.prompter.exporting.exports import contents, run


def test_the_same_command_again_does_nothing_and_another_is_refused(
    whole: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(whole)
    monkeypatch.setattr(export_module, "load_prompter_and_teacher", None)  # nothing is loaded
    assert run(run_folder, whole, "--balance", "--min_confidence", "0.6") == 0
    with pytest.raises(
        InputError, match=r"other settings \(balance: True there, False here; min_confidence: 0.6 there, 0.5 here"
    ):
        run(run_folder, whole, "--min_confidence", "0.5")
    assert contents(whole) == before


@pytest.mark.parametrize("finished", [True, False])
def test_a_project_that_was_moved_goes_on(
    run_folder: Path, teacher_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    before, now = tmp_path / "before", tmp_path / "now"
    shutil.copytree(run_folder, before / "run")
    shutil.copytree(teacher_folder, before / "models" / "teacher")
    with monkeypatch.context() as killing:
        if not finished:
            killing.setattr(ExportFolder, "finish", None)  # ends with a TypeError
        with nullcontext() if finished else pytest.raises(TypeError):
            run(before / "run", before / "set", "--teacher", str(before / "models" / "teacher"))
    before.rename(now)
    other = shutil.copytree(now / "models" / "teacher", now / "teacher") / "model.safetensors"
    save_file({name: weight + 1 for name, weight in load_file(other).items()}, other, metadata={"format": "pt"})
    with pytest.raises(InputError, match="other settings .teacher"):
        run(now / "run", now / "set", "--teacher", str(now / "teacher"))
    assert run(now / "run", now / "set", "--teacher", str(now / "models" / "teacher")) == 0
    assert (now / "set" / "recipe.yaml").is_file()


def test_a_setting_that_an_old_export_did_not_store_counts_as_its_default(
    whole: Path, run_folder: Path, tmp_path: Path
) -> None:
    old = Path(shutil.copytree(whole, tmp_path / "old"))
    recipe = yaml.safe_load((old / "recipe.yaml").read_text())
    del recipe["export"]["near_duplicates"]
    (old / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert run(run_folder, old, "--balance", "--min_confidence", "0.6") == 0
    with pytest.raises(InputError, match=r"other settings \(near_duplicates: 0.8 there, 0.5 here\)"):
        run(run_folder, old, "--balance", "--min_confidence", "0.6", "--near_duplicates", "0.5")


def test_folders_that_are_refused(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="holds other files"):
        run(run_folder, tmp_path)
    with pytest.raises(InputError, match="is a file"):
        run(run_folder, tmp_path / "notes.txt")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["notes.txt"]
    with pytest.raises(InputError, match="cannot be written"):
        run(run_folder, Path("/proc/nothing"))
    busy = ExportFolder(tmp_path / "busy")
    with pytest.raises(InputError, match="in use by another process"):
        run(run_folder, tmp_path / "busy")
    busy.close()
    assert not (tmp_path / "busy").exists()


def test_a_dataset_that_another_process_finishes_before_the_lock_is_taken_is_left_as_it_is(
    whole: Path, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, to = contents(whole), tmp_path / "to"

    def late(*given: object) -> FileLock:
        shutil.copytree(whole, to)
        return take_lock(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(folder, "take_lock", late)
    monkeypatch.setattr(export_module, "load_prompter_and_teacher", None)  # nothing is loaded
    assert run(run_folder, to, "--balance", "--min_confidence", "0.6") == 0
    assert contents(to) == before


def test_a_full_disk_is_named(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shards.pq, "ParquetWriter", full)
    with pytest.raises(InputError, match="disk full, or not permitted.*run the same command again"):
        run(run_folder, tmp_path / "set")
    monkeypatch.undo()
    assert run(run_folder, tmp_path / "set") == 0
