"""No test reads or writes the user's own cache, and all compute in float32, whatever the machine has.

Most figures are held against an independent reference to six digits, of which bf16 has three. `PROMPTER_PRECISION=auto` in the
environment runs the tests as users run the programs; `tests/distill/test_precision.py` looks at bf16 on any machine.
"""

import os
import tempfile
from pathlib import Path

# Processes side by side, each with all threads, slow each other tenfold. Said before anything imports torch.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

# Set here and not in a fixture, since fixtures of whole modules come before those of a test.
os.environ.setdefault("PROMPTER_PRECISION", "float32")
os.environ["HF_HUB_OFFLINE"] = "1"
SHARED_CACHE = tempfile.TemporaryDirectory(prefix="prompter-tests-")  # of fixtures that several tests share
os.environ["PROMPTER_CACHE"] = SHARED_CACHE.name


def pytest_unconfigure() -> None:
    SHARED_CACHE.cleanup()  # here, since a worker of pytest-xdist does not reach the end of its interpreter


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that stands in for the user's cache, fresh for each test."""
    folder = tmp_path / "prompter-cache"
    monkeypatch.setenv("PROMPTER_CACHE", str(folder))
    return folder
