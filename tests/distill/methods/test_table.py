"""The table of methods: complete, true to the classes, and cheap to import."""

import importlib
import subprocess
import sys

import pytest

from distill.methods.config import AsDfdConfig
from distill.methods.synthesizer import Synthesizer
from distill.methods.table import METHODS, method_of


@pytest.mark.parametrize("name", METHODS)
def test_entry_names_the_class_of_the_method(name: str) -> None:
    method = METHODS[name]
    synthesizer: type[Synthesizer] = getattr(importlib.import_module(method.entry.split(":")[0]), method.entry.split(":")[1])
    assert synthesizer.name == method.name == name
    assert ("corpus" in synthesizer.__init__.__code__.co_varnames) == method.needs_corpus


def test_settings_lead_to_their_method() -> None:
    assert method_of(AsDfdConfig()).name == "as-dfd"
    assert len({method.settings for method in METHODS.values()}) == len(METHODS)


def test_import_needs_no_torch() -> None:
    code = "import sys, distill.methods.table, distill.teachers.names; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
