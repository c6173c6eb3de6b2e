"""JSON lines and CSV of an export are the dataset, not the user's own texts."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

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
        assert torch.equal(one.logprobs, other.logprobs)


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


@pytest.mark.parametrize("name", FILES)
def test_what_label_writes_is_known_though_it_has_no_target_classes(name: str, both: Path) -> None:
    file = both / name
    if name == "data.csv":
        pd.read_csv(file, keep_default_na=False).drop(columns=["wanted_label", "topic"]).to_csv(file, index=False)
    else:
        pd.read_json(file, lines=True).drop(columns=["wanted_label", "topic"]).to_json(file, orient="records", lines=True)
    source = open_source(str(file))
    assert isinstance(source, DatasetSource) and source.answered and source.rows == 540
    assert source.labels == ["good", "bad"] and set(source.portion(0).targets.tolist()) == {-1}


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_file_that_was_saved_again_with_another_separator_is_known(separator: str, both: Path) -> None:
    frame = pd.read_csv(both / "data.csv", keep_default_na=False)
    frame.to_csv(both / "again.csv", sep=separator, index=False)
    source, whole = open_source(str(both / "again.csv")), open_source(str(both))
    assert isinstance(source, DatasetSource) and source.portion(0).texts == whole.portion(0).texts


def test_texts_of_json_lines_keep_their_apostrophes(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": "\'- well", "keep": true, "wanted_label": "a"}\n')
    assert open_source(str(tmp_path / "x.jsonl")).portion(0).texts == ["'- well"]


def test_class_names_that_begin_like_a_formula_are_found(tmp_path: Path) -> None:
    rows = 'a,True,\'=a,"[0.9, 0.1]",\'=a\nb,True,b,"[0.2, 0.8]",b\n'
    (tmp_path / "x.csv").write_text(f"text,keep,label,teacher_probs,wanted_label\n{rows}")
    source = open_source(str(tmp_path / "x.csv"))
    assert source.labels == ["=a", "b"] and source.portion(0).targets.tolist() == [0, 1]


@pytest.mark.parametrize("keep", [["yes", "no"], [True, False], [1, 0]])
def test_a_column_keep_of_the_users_own_filters_nothing(keep: list, tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["a b", "c d"], "body": ["e", "f"], "keep": keep, "score": [1, 2]})
    frame.to_parquet(tmp_path / "own.parquet")
    frame.to_csv(tmp_path / "own.csv", index=False)
    for name in ("own.parquet", "own.csv"):
        source = open_source(str(tmp_path / name))
        assert isinstance(source, TextSource) and source.rows == 2
        assert open_source(str(tmp_path / name), column="body").portion(0).texts == ["e", "f"]


def test_other_files_stay_the_users_own_texts(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    file.write_text('{"text": "a b", "label": 1}\n')
    assert isinstance(open_source(str(file)), TextSource)


@pytest.mark.parametrize(
    ("column", "value"),
    [("keep", "x"), ("teacher_probs", "[1"), ("teacher_probs", [1]), ("teacher_probs", [10**400, 0]), ("text", None)],
)
def test_damaged_values_are_named(column: str, value: object, both: Path) -> None:
    with opened(both / "data.jsonl") as file:
        rows = [json.loads(line) for line in file]
    rows[3][column] = value
    (both / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match=f"row 4: column '{column}'"):
        open_source(str(both / "data.jsonl"))
