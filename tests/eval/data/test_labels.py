"""Class indices: names decide over numbers, and contradictions are refused."""

import datasets
import pytest

from distill.common.errors import InputError
from tests.eval.data_files import jsonl, load, objects


def test_names_decide_where_both_sides_have_them(tmp_path):
    named = jsonl(tmp_path / "a.jsonl", objects([("x", "sports"), ("y", "World")]))
    assert load(named).labels == [1, 0]
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    table = datasets.Dataset.from_list(objects([("x", 0), ("y", 1), ("z", 1)]), features=features)
    table.to_parquet(tmp_path / "b.parquet")
    assert load(tmp_path / "b.parquet", ["POS", "NEG"]).labels == [1, 0, 0]  # numbered the other way round
    assert load(tmp_path / "b.parquet", ["LABEL_0", "LABEL_1"]).labels == [0, 1, 1]
    with pytest.raises(InputError, match="2 classes.*teacher has 3"):
        load(tmp_path / "b.parquet")


def test_a_column_of_strings_is_read_as_names_only_if_all_are_names(tmp_path):
    stars = ["1", "2", "3"]
    rows = jsonl(tmp_path / "names.jsonl", objects([("x", "1"), ("y", "3")]))
    assert load(rows, stars).labels == [0, 2]
    rows = jsonl(tmp_path / "indices.jsonl", objects([("x", "0"), ("y", "1")]))
    assert load(rows, stars).labels == [0, 1]


def test_hub_data_is_read_with_its_class_names(monkeypatch):
    features = datasets.Features({"s": datasets.Value("string"), "y": datasets.ClassLabel(names=["pos", "neg"])})
    table = datasets.Dataset.from_list([{"s": "x", "y": 0}, {"s": "y", "y": 1}], features=features)
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: table)
    data = load("owner/data", ["neg", "pos"], text="s", label="y", revision="abc")
    assert data.labels == [1, 0] and data.class_names == ["pos", "neg"]
    with pytest.raises(InputError, match="owner/data: has no column 'text', only s, y"):
        load("owner/data", ["neg", "pos"], label="y")


def test_names_that_fit_in_part_are_no_numbers(tmp_path):
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "mid", "pos"])})
    datasets.Dataset.from_list(objects([("x", 0), ("y", 2)]), features=features).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="numbers its classes neg, mid, pos, the teacher has pos, mid, negative"):
        load(tmp_path / "a.parquet", ["pos", "mid", "negative"])
    assert load(tmp_path / "a.parquet", ["negative", "mid", "pos"]).labels == [0, 2]
