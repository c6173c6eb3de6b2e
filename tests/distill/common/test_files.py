import errno
import os
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from distill.checkpoints.checksums import faults
from distill.common import files
from distill.common.errors import InputError, did_you_mean
from distill.common.files import cache_root, read_json, replace_folder, same_place, write_json, write_text


def test_json_comes_back_exactly(tmp_path: Path) -> None:
    value = {"loss": 0.1 + 0.2, "text": "naïve \ud83d \n", "none": None, "n": 2**60}
    write_json(tmp_path / "new" / "folder" / "a.json", value)
    assert read_json(tmp_path / "new" / "folder" / "a.json") == value


def test_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full_disk)
    with pytest.raises(InputError, match=r"a\.txt.*No space left"):
        write_text(target, "new")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_value_that_json_cannot_express_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": {1, 2}})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", ["", '{"a": 1', "\x00"])
def test_damaged_json_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(InputError, match=r"state\.json.*not valid JSON"):
        read_json(tmp_path / "state.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_json(tmp_path / "missing.json")


def test_folder_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "student"
    for version in ("1", "2"):
        with replace_folder(target, marker="config.json") as temporary:
            (temporary / "config.json").write_text(version)
            (temporary / version).touch()
    assert sorted(os.listdir(target)) == ["2", "config.json"]
    assert os.listdir(tmp_path) == ["student"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), RuntimeError("bug")])
def test_interrupted_folder_write_keeps_the_old_one(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "student"
    with replace_folder(target, marker="config.json") as temporary:
        (temporary / "config.json").write_text("old")
    with pytest.raises(InputError if isinstance(error, OSError) else type(error)):
        with replace_folder(target, marker="config.json") as temporary:
            (temporary / "config.json").write_text("half")
            raise error
    assert (target / "config.json").read_text() == "old"
    assert os.listdir(tmp_path) == ["student"]


def test_foreign_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="is not empty and has no config.json"):
        with replace_folder(tmp_path, marker="config.json"):
            raise AssertionError("must not be reached")
    with pytest.raises(InputError, match="is a file"):
        with replace_folder(tmp_path / "thesis.tex", marker="config.json"):
            raise AssertionError("must not be reached")
    assert (tmp_path / "thesis.tex").exists()


def test_a_folder_is_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    """Two that shared the temporary folder both ended well, and left a folder without what one of them had removed."""
    target = tmp_path / "onnx"
    with replace_folder(target, marker="config.json") as temporary:
        (temporary / "config.json").write_text("first")
        with pytest.raises(InputError, match="onnx: is being written by another process"):
            with replace_folder(target, marker="config.json"):
                raise AssertionError("must not be reached")
        (temporary / "model").touch()
    assert sorted(os.listdir(target)) == ["config.json", "model"]
    assert os.listdir(tmp_path) == ["onnx"]
    with replace_folder(target, marker="config.json") as temporary:
        (temporary / "config.json").write_text("again")
    assert os.listdir(target) == ["config.json"]


def test_a_disk_without_locks_is_written_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(lock: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.FileLock, "acquire", refuse)
    with replace_folder(tmp_path / "onnx", marker="config.json") as temporary:
        (temporary / "config.json").touch()
    assert os.listdir(tmp_path) == ["onnx"]


def test_did_you_mean() -> None:
    assert did_you_mean("student_updats", ["student_updates", "seed"]) == " Did you mean 'student_updates'?"
    assert did_you_mean("qqq", ["student_updates"]) == ""


VARIABLES = ("PROMPTER_CACHE", "HF_HOME", "XDG_CACHE_HOME")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (VARIABLES, "PROMPTER_CACHE"),
        (("HF_HOME", "XDG_CACHE_HOME"), "HF_HOME/prompter"),
        (("XDG_CACHE_HOME",), "XDG_CACHE_HOME/prompter"),
        ((), "home/.cache/prompter"),
    ],
)
def test_cache_lies_where_the_first_variable_says(
    given: tuple[str, ...], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in given:
        monkeypatch.setenv(name, str(tmp_path / name))
    assert cache_root() == tmp_path / expected


def test_the_cache_may_lie_below_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("PROMPTER_CACHE", "~/kept")
    assert cache_root() == tmp_path / "kept"


def test_answers_of_an_earlier_version_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.delenv("PROMPTER_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    old, new = tmp_path / ".cache" / "prompter", tmp_path / "hf" / "prompter"
    assert cache_root() == new
    old.mkdir(parents=True)
    assert cache_root() == old
    new.mkdir(parents=True)
    assert cache_root() == new


def test_writing_does_without_what_only_posix_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "POSIX", False)
    opened = os.open
    # Windows cannot open a folder
    monkeypatch.setattr(files.os, "open", lambda name, *rest: None if os.path.isdir(name) else opened(name, *rest))
    with replace_folder(tmp_path / "student", marker="config.json") as temporary:
        (temporary / "config.json").write_text("new")
    assert (tmp_path / "student" / "config.json").read_text() == "new"


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600), (0o002, 0o664)])
def test_written_files_get_the_mode_that_the_umask_asks_for(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        with files.replace_folder(tmp_path / "model", "model.safetensors") as folder:
            save_file({"a": torch.zeros(2)}, folder / "model.safetensors")
            (folder / "deep").mkdir()
            (folder / "deep" / "text").write_text("x")
            (folder / "deep" / "text").chmod(0o600)
        files.replace_file(tmp_path / "file", lambda temporary: save_file({"a": torch.zeros(2)}, temporary))
    finally:
        os.umask(before)
    written = [tmp_path / "file", *(file for file in (tmp_path / "model").rglob("*") if file.is_file())]
    assert {file.stat().st_mode & 0o777 for file in written} == {mode}
    assert len(written) == 3


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_private_files_and_folders_are_of_one_user(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    files.make_private_folder(folder)
    (folder / "open").write_text("x")
    for name in ("open", "new"):
        files.make_private_file(folder / name)
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "open", folder / "new")] == [0o700, 0o600, 0o600]


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    for name in ("a.json", "a.yaml", "checksums.json"):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, 2**40)  # it takes no room on the disk
    with pytest.raises(InputError, match=r"a\.json: has more than 67,108,864 bytes"):
        read_json(tmp_path / "a.json")
    with pytest.raises(InputError, match=r"a\.yaml: has more than 16,000,000 bytes"):
        files.read_yaml(tmp_path / "a.yaml")
    assert faults(tmp_path) == ["checksums.json is damaged"]


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="a file that never ends")
def test_a_link_to_a_file_that_never_ends_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="has more than"):
        read_json(tmp_path / "a.json")


@pytest.mark.skipif(os.name != "posix", reason="a pipe")
def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    writer = threading.Thread(target=lambda: (tmp_path / "a.yaml").write_bytes(b"text: a\r\nb: " + b"c" * 200_000 + b"\r\n"))
    writer.start()
    read = files.read_yaml(tmp_path / "a.yaml")
    writer.join()
    assert read == {"text": "a", "b": "c" * 200_000}


@pytest.mark.skipif(os.name != "posix", reason="Windows asks for rights to make a link")
def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("other")
    for name in ("student", ".student.tmp", ".student.old"):
        (tmp_path / name).symlink_to("other")
    for text in ("first", "second"):
        with replace_folder(tmp_path / "student", "config.json") as temporary:
            (temporary / "config.json").write_text(text)
        assert (tmp_path / "student" / "config.json").read_text() == text
        assert sorted(os.listdir(tmp_path)) == ["other", "student"]
    assert (tmp_path / "other" / "config.json").read_text() == "other"


def test_one_place_may_be_written_in_several_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("project/a", "project/b", "other/a"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to("project/a")
    for written in ("project/a", "./project/a/", str(tmp_path / "project" / "a"), "link"):
        assert same_place("project/a", written) and same_place(written, "project/a")
    assert not same_place("project/a", "project/b") and not same_place("project/a", "other/a")
    (tmp_path / "project").rename(tmp_path / "renamed")
    assert same_place(str(tmp_path / "project" / "a"), "renamed/a") and not same_place("project/a", "renamed/b")
    assert not same_place("bert:layers=1,hidden=16", "renamed/a") and not same_place("org/model", "org/other")
    assert same_place(1, 1) and not same_place(1, 2) and not same_place(None, "renamed/a")
