"""Class indices: names decide over numbers, and contradictions are refused."""

import time
from decimal import Decimal
from functools import partial

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.common.errors import InputError
from eval.data.labels import class_indices
from eval.data.reading import Columns
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


STARS = ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "strings.jsonl", "float.csv", "float.parquet", "float.jsonl"])
def test_classes_that_are_called_by_numbers_are_read_alike_from_every_file(tmp_path, kind):
    values = [3, 1, 5, 2, 4, 1]
    frame = pd.DataFrame({"text": list("abcdef"), "label": values})
    if kind.startswith("float"):
        frame = frame.astype({"label": float})
    elif kind.startswith("strings"):
        frame = frame.astype({"label": str})
    file = tmp_path / f"a.{kind}"
    {"csv": partial(frame.to_csv, index=False), "parquet": frame.to_parquet}.get(
        kind.rpartition(".")[2], partial(frame.to_json, orient="records", lines=True)
    )(file)
    assert load(file, STARS).labels == [value - 1 for value in values]


@pytest.mark.parametrize(
    ("labels", "values", "classes"),
    [
        (STARS, [0, 1, 4], [0, 1, 4]),  # 0 is no name
        (STARS, ["0", "1"], [0, 1]),
        (STARS, [5, 1], [4, 0]),  # 5 is no position
        (["1", "0"], [0, 1], [1, 0]),  # both occur, so they are names
        (["0", "1"], [1, 1], [1, 1]),  # one and the same
        (["001", "002", "003"], ["1", "002", "3"], [0, 1, 2]),
        (["1.0", "2.0"], [1, 2], [0, 1]),
        (["neg", "pos"], [True, False], [1, 0]),
        (["neg", "pos"], ["True", "false"], [1, 0]),
        (["true", "false"], [True, False], [0, 1]),
        (["true", "false"], [True, True], [0, 0]),
        (["neg", "pos"], [1.0, 0.0], [1, 0]),
        (["neg", "pos"], ["1.0", "0"], [1, 0]),
        (["neg", "pos"], ["pos", 0], [1, 0]),
        (["neg", "pos"], ["LABEL_1", "label_0"], [1, 0]),
        (["LABEL_1", "LABEL_2"], ["LABEL_1", "LABEL_2"], [0, 1]),
        (["1 star", "2 stars", "3 stars"], [0, 1, 2], [0, 1, 2]),
        (["class 0", "class 1"], [1, 1], [1, 1]),
    ],
)
def test_a_column_is_read_as_a_whole(tmp_path, labels, values, classes):
    file = jsonl(tmp_path / "a.jsonl", objects([(f"text {i}", value) for i, value in enumerate(values)]))
    assert load(file, labels).labels == classes


@pytest.mark.parametrize(
    ("labels", "values", "said"),
    [
        (STARS, [1, 2, 4], "1 is the class '1' by its name, and '2' as a position"),
        (STARS, ["1", "2"], "'1' is the class '1' by its name, and '2' as a position"),
        (["1 star", "2 stars", "3 stars"], [1, 2], "1 is the class '1 star' by its name, and '2 stars' as a position"),
        (["001", "002", "003"], [1, 2], "by its name"),
        (["1", "b", "c"], ["b", "1"], None),
        (["1", "b", "c"], [1, 0], None),
        (["1", "b", "LABEL_7"], ["b", 1, 2], "1 is the class '1' by its name, and 'b' as a position"),
        (["1 star", "2 stars"], [1, 2], "holds 2, expected 0 to 1"),
        (["LABEL_0", "LABEL_1"], ["pos", "neg"], "name them with teacher_labels"),
        (["neg", "pos"], [[1], [0]], "holds \\[1\\], expected"),
        (["neg", "pos"], ["x" * 1000, "neg"], "xxx \\.\\.\\., expected"),
        (["a", "b", "c"], [True, False], "holds True, expected"),
        (["neg", "pos"], [float("nan"), 1], "holds nan, expected"),
        (["neg", "pos"], [10**400, 1], "holds 10+"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(tmp_path, labels, values, said):
    file = jsonl(tmp_path / "a.jsonl", objects([(f"text {i}", value) for i, value in enumerate(values)]))
    if said is None:
        load(file, labels)
        return
    with pytest.raises(InputError, match=said) as caught:
        load(file, labels)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


def test_decimals_and_declared_classes_called_by_numbers(tmp_path):
    table = pa.table({"text": ["a", "b"], "label": pa.array([Decimal("1.00"), Decimal("0.00")])})
    pq.write_table(table, tmp_path / "decimal.parquet")
    assert load(tmp_path / "decimal.parquet", ["neg", "pos"]).labels == [1, 0]
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=STARS)})
    declared = datasets.Dataset.from_list(objects([("x", 1), ("y", 2)]), features=features)
    declared.to_parquet(tmp_path / "declared.parquet")
    assert load(tmp_path / "declared.parquet", STARS).labels == [1, 2]


@pytest.mark.parametrize(
    ("labels", "values", "said"),
    [
        (["1 star", "2 stars", "3 stars"], [1, 2, 3], "counted from 0: write the names, '3 stars' in place of 3"),
        (["1 star", "2 stars", "3 stars"], ["3", "1"], "counted from 0: write the names, '3 stars' in place of 3"),
        (["negative", "neutral", "positive"], [-1, 0, 1], "leave the rows out if -1 marks those without a label; if it is a"),
        (["negative", "neutral", "positive"], ["1", "2", "3"], "positions are counted from 0: write the names of the classes"),
        (["negative", "neutral", "positive"], ["-1", "-1"], "-1 marks a split whose labels are kept secret"),
    ],
)
def test_a_number_that_is_no_position_gets_a_remedy_that_works(labels, values, said):
    with pytest.raises(InputError, match=said) as caught:
        class_indices(Columns("file", {"label": values}, list(range(1, len(values) + 1)), {}), "label", labels)
    assert "rename" not in str(caught.value)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.booleans())
def test_no_reader_shifts_a_column(values, one_based):
    """Whatever rows a file happens to hold, the classes are right or the column is refused, in every file alike."""
    written = [value + one_based for value in values]
    answers = set()
    for column in (written, [str(value) for value in written], [float(value) for value in written]):
        columns = Columns("file", {"label": column}, list(range(1, len(column) + 1)), {})
        try:
            answers.add(tuple(class_indices(columns, "label", STARS)))
        except InputError:
            answers.add("refused")
    assert len(answers) == 1 and answers <= {tuple(values), "refused"}


def test_many_rows_and_classes_take_no_time_with_their_product():
    labels, rows = [f"Class {number}" for number in range(1000)], 100_000
    values = [f"class {number % 1000}" for number in range(rows)]
    begin = time.process_time()
    found = class_indices(Columns("file", {"label": values}, list(range(rows)), {}), "label", labels)
    assert found == [number % 1000 for number in range(rows)]
    numbers = [str(number) for number in range(30_000)]
    assert class_indices(Columns("file", {"label": numbers[:1]}, [1], {}), "label", numbers) == [0]
    assert time.process_time() - begin < 5
