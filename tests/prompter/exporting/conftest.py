"""Fixtures of the tests of exports."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest

from prompter.exporting import folder as export_folder
from prompter.exporting import loop as export_module
from tests.prompter.exporting.exports import run


@pytest.fixture(autouse=True)
def own_datasets_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `datasets` loads stays in the test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture(scope="module", autouse=True)  # not package: without an __init__.py that means the whole session
def quick() -> Iterator[None]:
    """Load equal models once, and do not wait for the disk: tests kill the process, not the machine."""
    loaded: dict[str, tuple] = {}
    load, connect = export_module.load_prompter_and_teacher, export_folder._connect

    def load_once(config, writer, source, manifest, show):
        if config.writer != "transformers":
            return load(config, writer, source, manifest, show)
        key = repr((config.run, config.teacher, config.teacher_labels, writer))
        loaded[key] = loaded.get(key) or load(dataclasses.replace(config, teacher_cache=False), writer, source, manifest, show)
        return loaded[key]

    def connect_quickly(file):
        connection = connect(file)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_module, "load_prompter_and_teacher", load_once)
        patch.setattr(export_folder, "_connect", connect_quickly)
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="package")
def whole(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export that nothing interrupted."""
    to = tmp_path_factory.mktemp("data") / "set"
    assert run(run_folder, to, "--balance", "--min_confidence", "0.6") == 0
    return to
