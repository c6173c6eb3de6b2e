"""Rows on the disk."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from eval.corpora.exported import text_export_columns
from eval.data.labelled import load_labelled, load_texts
from prompter.exporting.shards import features, read_rows, shard_path, write_csv, write_jsonl, write_shard

COLUMNS = features(["good", "bad"], teacher=True)


def row(**changes: object) -> dict:
    values = {
        "text": "a text", "label": 1, "teacher_probs": [0.3, 0.7], "wanted_label": 0, "topic": "a", "confidence": 0.7,
        "lm_logprob": -1.5, "near_duplicate_of": None, "keep": True, "drop_reason": None, "prompter": "p", "seed": 0,
    }  # fmt: skip
    return values | changes


def test_rows_come_back_in_order_and_bytes_are_the_same(tmp_path: Path) -> None:
    rows = [row(text=str(i), label=-1 if i == 1 else 0) for i in range(5)]
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        write_shard(folder, 0, rows[:3], COLUMNS)
        write_shard(folder, 1, rows[3:], COLUMNS)
    found = list(read_rows(tmp_path / "a"))
    assert [r["text"] for r in found] == ["0", "1", "2", "3", "4"] and list(found[0]) == list(COLUMNS)
    assert found[1]["label"] == -1
    assert shard_path(tmp_path / "a", 1).read_bytes() == shard_path(tmp_path / "b", 1).read_bytes()
    assert b"huggingface" in pq.read_schema(shard_path(tmp_path / "a", 0)).metadata


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"]


def test_csv_cells_that_a_spreadsheet_would_compute_are_text(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, [row(text=text, topic=text) for text in [*FORMULAS, "plain, with comma"]], COLUMNS)
    write_csv(tmp_path, COLUMNS)
    with (tmp_path / "data.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["text"] for line in lines] == [f"'{text}" for text in FORMULAS] + ["plain, with comma"]
    assert {line["lm_logprob"] for line in lines} == {"-1.5"}
    assert {line["label"] for line in lines} == {"bad"} and {line["teacher_probs"] for line in lines} == {"[0.3, 0.7]"}


ODD = [
    *(
        "'@user well said'",
        "'=1",
        "''-1",
        "'tis so",
        "'",
        '"',
        '\\"',
        "",
        " a ",
        "null",
        "NaN",
        "1.0",
        "True",
        "a,b;c|d",
        "sep=;",
    ),
    *("a\nb", "a\r\nb", "a\rb", "\0", "\ufeffa", "a\u2028b", "a\x85b", "\x1c", '["a", "b"]', "👍"),
]


def test_every_text_comes_back_from_csv_and_json_lines_as_it_was(tmp_path: Path) -> None:
    texts = [*FORMULAS, *ODD]
    write_shard(tmp_path, 0, [row(text=text, topic=text or "a") for text in texts], COLUMNS)
    for write, name in ((write_csv, "data.csv"), (write_jsonl, "data.jsonl")):
        write(tmp_path, COLUMNS)
        values = text_export_columns(tmp_path / name, ["topic"]).values
        assert values["text"] == texts and values["topic"] == [text or "a" for text in texts]


def test_csv_is_read_without_its_apostrophes_where_texts_or_labels_alone_are_wanted_too(tmp_path: Path) -> None:
    columns = features(["-1", "+1"], teacher=True)
    write_shard(tmp_path, 0, [row(text=text) for text in FORMULAS], columns)
    write_csv(tmp_path, columns)
    file = tmp_path / "data.csv"
    assert load_texts(file, "text") == FORMULAS
    assert load_labelled(file, "train", "text", "label", ["-1", "+1"]).labels == [1] * len(FORMULAS)
    file.write_text("text,keep\n'=1,'+1\n")  # a file of the user's own
    assert load_texts(file, "text") == ["'=1"] and load_texts(file, "keep") == ["'+1"]


def test_jsonl_has_names_and_short_numbers(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, [row(), row(label=-1, teacher_probs=None, confidence=None)], COLUMNS)
    write_jsonl(tmp_path, COLUMNS)
    first, second = (json.loads(line) for line in (tmp_path / "data.jsonl").read_text().splitlines())
    assert (first["label"], first["wanted_label"], first["teacher_probs"]) == ("bad", "good", [0.3, 0.7])
    assert second["label"] is None and second["teacher_probs"] is None


def test_small_and_large_numbers_keep_their_digits_in_other_formats(tmp_path: Path) -> None:
    probabilities = np.float32([1.2345678e-5, 3.3e-8, 0.99998766])
    write_shard(tmp_path, 0, [row(teacher_probs=probabilities.tolist(), lm_logprob=-123.456789)], COLUMNS)
    write_jsonl(tmp_path, COLUMNS)
    write_csv(tmp_path, COLUMNS)
    found = json.loads((tmp_path / "data.jsonl").read_text())
    assert (np.float32(found["teacher_probs"]) == probabilities).all() and found["lm_logprob"] == -123.45679
    with (tmp_path / "data.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    assert json.loads(line["teacher_probs"]) == found["teacher_probs"] == [1.2345678e-05, 3.3e-08, 0.99998766]


def test_a_failing_write_leaves_the_old_file(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, [row()], COLUMNS)
    before = shard_path(tmp_path, 0).read_bytes()
    with pytest.raises(Exception):  # noqa: B017 (whatever pyarrow raises for a wrong type)
        write_shard(tmp_path, 0, [row(seed="x")], COLUMNS)
    assert shard_path(tmp_path, 0).read_bytes() == before
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["train-00000.parquet"]
