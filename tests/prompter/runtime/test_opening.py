"""Opening a run: its folder, its console, and what libraries say meanwhile."""

import errno
import logging
from pathlib import Path

import pytest
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from distill.common.errors import InputError
from prompter.runtime.opening import disk_errors_named, open_console, open_run


def test_the_folder_is_locked_within_the_block_only(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a"
    with open_run(run, quiet=True) as (folder, console):
        assert folder.path == run and console.quiet
        (run / "file").write_text("")
        with pytest.raises(InputError, match="in use by another process"), open_run(run, quiet=True):
            pass
    with open_run(run, quiet=True):
        pass
    assert {file.name for file in run.iterdir()} == {"file", ".lock"}


def test_a_folder_without_content_is_removed(tmp_path: Path) -> None:
    with pytest.raises(ValueError), open_run(tmp_path / "run", quiet=True):
        raise ValueError("a mistake that is found before anything is written")
    assert not (tmp_path / "run").exists()


def test_a_full_disk_names_folder_and_remedy(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(InputError, match="data.*then run it again"), open_console(True, tmp_path / "data", "run it again"):
        raise full


def test_libraries_are_quiet_within_the_block_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRANSFORMERS_VERBOSITY", raising=False)
    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS", raising=False)
    before = (
        transformers_logging.get_verbosity(),
        transformers_logging.is_progress_bar_enabled(),
        logging.getLogger("trl").level,
    )
    with pytest.raises(ValueError), open_run(tmp_path / "run", quiet=True):
        assert transformers_logging.get_verbosity() == logging.ERROR
        assert not transformers_logging.is_progress_bar_enabled()
        assert logging.getLogger("trl").level == logging.ERROR
        raise ValueError
    after = (
        transformers_logging.get_verbosity(),
        transformers_logging.is_progress_bar_enabled(),
        logging.getLogger("trl").level,
    )
    assert after == before


def test_the_users_variables_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "info")
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "0")
    before = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    with open_run(tmp_path / "run", quiet=True):
        assert (transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()) == before


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "somewhere"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:672] . PytorchStreamWriter failed writing file data/0"),
    ],
)
def test_a_full_disk_is_told_apart_from_a_bug(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(InputError, match="cannot be written"), disk_errors_named(tmp_path):
        raise error
    with pytest.raises(RuntimeError, match="a bug"), disk_errors_named(tmp_path):
        raise RuntimeError("a bug")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EFBIG, "File too large"), "file too large.*ulimit -f"),
        (SafetensorError("Error while serializing: I/O error: File too large (os error 27)"), "file too large.*ulimit -f"),
        (OSError(errno.EIO, "Input/output error"), "the disk does not answer"),
        (SafetensorError("I/O error: Stale file handle (os error 116)"), "the disk does not answer"),
    ],
)
def test_other_errors_of_a_disk_have_remedies_of_their_own(tmp_path: Path, error: Exception, said: str) -> None:
    with pytest.raises(InputError, match=f"cannot be written \\({said}.*, then give it again"):
        with disk_errors_named(tmp_path, "give it again"):
            raise error


def test_a_file_that_may_not_be_read_is_not_called_a_full_disk(tmp_path: Path) -> None:
    for place, said in ((tmp_path / "teacher/config.json", "cannot be opened"), (tmp_path / "run/log", "cannot be written")):
        with pytest.raises(InputError, match=f"'{place}' {said} .*not permitted"), disk_errors_named(tmp_path / "run"):
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
