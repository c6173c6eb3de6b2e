"""What a worker says before it loads anything; no cluster is needed for that."""

import os
from pathlib import Path
from typing import Any

import pytest

from prompter.cluster.worker import actor_class
from prompter.runtime.versions import distribution_of

MAKE = (__name__, "Idle")


class Idle:
    """Work that loads nothing."""

    facts, notes = {"ready": True}, ()


def install(folder: Path, distribution: str, package: str, version: str) -> None:
    """Write the metadata of an installed distribution."""
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (info / "top_level.txt").write_text(package + "\n")


def begun(versions: dict[str, str]) -> Any:
    return actor_class()().begin(versions, os.getcwd(), 1, MAKE, ())


@pytest.mark.parametrize("here, fault", [("0.31.0", ""), ("0.30.2", "has writing_engine 0.30.2, but 0.31.0 runs here")])
def test_a_package_of_another_distribution_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str, fault: str
) -> None:
    install(tmp_path, "writing-engine-cpu", "writing_engine", here)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert distribution_of("writing_engine") == "writing-engine-cpu" and distribution_of("torch") == "torch"
    kind, said = begun({"writing_engine": "0.31.0"})
    if fault:
        assert kind == "fault" and fault in said
    else:
        assert kind == "value" and said[0] == {"ready": True}


def test_a_package_that_is_missing_is_named() -> None:
    assert distribution_of("no_such_engine") is None
    kind, said = begun({"no_such_engine": "1.0"})
    assert kind == "fault" and "lacks no_such_engine, but 1.0 runs here" in said


@pytest.mark.parametrize("error", ["ImportError('no module named\\n this')", "OSError('libcudart.so: cannot open')"])
def test_an_import_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    (tmp_path / "broken_here.py").write_text(f"raise {error}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    kind, said = actor_class()().begin({}, os.getcwd(), 1, ("broken_here", "Idle"), ())
    assert kind == "fault" and "cannot import what it needs (" in said and ": install the same there" in said
    assert "\n" not in said
