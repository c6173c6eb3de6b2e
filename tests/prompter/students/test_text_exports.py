"""JSON lines and CSV of an export are the dataset, not the user's own texts."""

import json
import shutil
from pathlib import Path

import pytest

from distill.common.errors import InputError
from eval.data.text_files import opened
from prompter.exporting.shards import features, write_csv, write_jsonl
from prompter.students.sources import DatasetSource, TextSource, open_source
from tests.prompter.students.distilling import STUDENT, run

FILES = ("data.jsonl", "data.csv")


@pytest.fixture
def both(exported: Path) -> Path:
    """A dataset with both files. The names of its shards are those that an export gives them."""
    columns = features(["good", "bad"], teacher=True)
    names = ("text", "label", "teacher_probs", "wanted_label", "topic", "keep")
    columns = type(columns)({name: columns[name] for name in names})
    write_jsonl(exported, columns)
    write_csv(exported, columns)
    return exported


@pytest.mark.parametrize("name", FILES)
def test_the_rows_are_those_of_the_parquet_files(name: str, both: Path) -> None:
    whole, read = open_source(str(both)), open_source(str(both / name))
    assert isinstance(read, DatasetSource) and read.answered and read.rows == whole.rows == 540
    assert read.labels == whole.labels == ["good", "bad"]
    for number in range(3):
        one, other = whole.portion(number), read.portion(number)
        assert one.texts == other.texts and one.topics == other.topics and one.targets.tolist() == other.targets.tolist()
        assert (one.logprobs - other.logprobs).abs().max() < 1e-4


@pytest.mark.parametrize("name", FILES)
def test_distill_asks_no_teacher(name: str, both: Path, tmp_path: Path, teacher_folder: Path) -> None:
    to = tmp_path / "out"
    assert run("--from", both / name, "--student", STUDENT, "--to", to) in (0, 3)
    assert json.loads((to / "summary.json").read_text())["teacher_queries"] == 0


def test_without_the_recipe_the_names_come_from_the_rows(both: Path, tmp_path: Path) -> None:
    for name in FILES:
        shutil.copy(both / name, tmp_path / name)
        assert open_source(str(tmp_path / name)).labels == ["good", "bad"]


def test_texts_that_begin_like_a_formula_come_back_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("text,keep,wanted_label\n'=1+1,True,a\n'tis so,True,b\nplain,False,a\n")
    source = open_source(str(file))
    assert source.rows == 2 and source.portion(0).texts == ["=1+1", "'tis so"] and not source.answered


def test_other_files_stay_the_users_own_texts(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    file.write_text('{"text": "a b", "label": 1}\n')
    assert isinstance(open_source(str(file)), TextSource)


@pytest.mark.parametrize(("column", "value"), [("keep", "x"), ("teacher_probs", "[1"), ("teacher_probs", [1]), ("text", None)])
def test_damaged_values_are_named(column: str, value: object, both: Path) -> None:
    with opened(both / "data.jsonl") as file:
        rows = [json.loads(line) for line in file]
    rows[3][column] = value
    (both / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match=f"row 4: column '{column}'"):
        open_source(str(both / "data.jsonl"))
