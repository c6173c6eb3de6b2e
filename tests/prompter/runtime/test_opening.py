"""Opening a run: its folder, its console, and what libraries say meanwhile."""

import errno
import logging
from pathlib import Path

import pytest
from transformers.utils import logging as transformers_logging

from distill.common.errors import InputError
from prompter.runtime.opening import open_console, open_run


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
