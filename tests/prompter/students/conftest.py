"""Fixtures of the tests of students."""

import json
from pathlib import Path

import pytest
from datasets import Dataset

from distill.teachers.loading import load_teacher
from tests.prompter.students.distilling import FEATURES, texts


@pytest.fixture
def exported(tmp_path: Path, teacher_folder: Path) -> Path:
    """A dataset as `prompter export` writes it: 600 rows in two files, every tenth row marked."""
    rows = texts(600)
    probabilities = load_teacher(str(teacher_folder), "cpu")(rows).exp()
    table = {
        "text": rows,
        "label": probabilities.argmax(1).tolist(),
        "teacher_probs": probabilities.tolist(),
        "wanted_label": [i % 2 for i in range(600)],
        "topic": [row.split()[0] for row in rows],
        "keep": [i % 10 != 0 for i in range(600)],
    }
    folder = tmp_path / "exported"
    (folder / "data").mkdir(parents=True)
    data = Dataset.from_dict(table, features=FEATURES)
    data.select(range(400)).to_parquet(folder / "data" / "train-00000.parquet")
    data.select(range(400, 600)).to_parquet(folder / "data" / "train-00001.parquet")
    (folder / "recipe.yaml").write_text(f"export:\n  teacher: {teacher_folder}\n")
    return folder


@pytest.fixture
def own_text(tmp_path: Path) -> Path:
    file = tmp_path / "own.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts(300, 1)))
    return file
