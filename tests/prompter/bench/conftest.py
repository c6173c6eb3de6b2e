"""Fixtures of the tests of the bench."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.prompter.bench.suites import SMALL


@pytest.fixture
def suite(teacher_folder: Path, lm_folder: Path, tmp_path: Path):
    """Write a small suite; keyword arguments change its keys."""
    labelled = tmp_path / "labelled.jsonl"
    rows = [{"text": f"w{i % 20} w{i % 7} w{i % 3} good", "label": i % 2} for i in range(40)]
    labelled.write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("".join(f"w{i % 20} w{i % 5} w1 good bad w{i % 11}.\n" for i in range(40)))
    task = {
        "teacher": str(teacher_folder),
        "generator": str(lm_folder),
        "eval_data": str(labelled),
        "real_data": str(labelled),
        "corpus": str(corpus),
    }

    def make(**changes: Any) -> Path:
        content = {
            "tasks": {"tiny": task},
            "methods": ["prompted", "unprompted", "supervised"],
            "students": ["bert:layers=1,hidden=16,heads=1"],
            "budgets": [32],
            "seeds": [0],
            "settings": SMALL,
        } | changes
        file = tmp_path / "suite.yaml"
        file.write_text(yaml.safe_dump(content))
        return file

    return make
