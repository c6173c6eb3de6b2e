"""Reading columns: every format gives the same rows, and each mistake is named with its file and row."""

import errno
import gzip
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distill.common.errors import InputError
from eval.data.labelled import load_texts
from eval.data.reading import NotReachable, read_columns
from eval.data.text_files import opened
from tests.eval.data_files import ROWS, jsonl, load, objects, write


@pytest.mark.parametrize("kind", [".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet"])
def test_every_format_gives_the_same_rows(tmp_path, kind):
    path = write(tmp_path, kind)
    for source in (path, str(tmp_path)):
        data = load(source)
        assert list(zip(data.texts, data.labels, strict=True)) == ROWS
        assert data.teacher_log_probs is None and len(data) == 4
    assert load_texts(path, "text") == [text for text, _ in ROWS]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows"),
        ([{"text": "a"}], "row 1: has no column 'label', only text"),
        ([{"text": "a", "label": 0}, {"text": "b", "labels": 0}], "row 2: .*Did you mean 'labels'"),
        ([{"text": None, "label": 0}], "row 1: column 'text' holds nothing"),
        ([{"text": "a", "label": 3}], "row 1: column 'label' holds 3, expected 0 to 2 or one of World"),
        ([{"text": "a", "label": -1}], "choose another split"),
        (
            [{"text": "a", "label": "World"}, {"text": "b", "label": "Sport"}],
            "row 2: .*; rename it. Did you mean 'Sports'[?]$",
        ),
        ([{"text": "a", "label": 0.5}], "holds 0.5"),
        ([{"text": "a", "label": None}], "holds nothing"),
        ([["a", 0]], "is list, expected one JSON object"),
    ],
)
def test_bad_rows_are_named(tmp_path, rows, message):
    path = jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(InputError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_bad_files_are_named(tmp_path):
    (tmp_path / "cut.jsonl").write_text('{"text": "a", "label": 0}\n{"text": "b", "la')
    whole = gzip.compress(json.dumps({"text": "a" * 500, "label": 0}).encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "plain.jsonl.gz").write_text("not gzip")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 cut")
    (tmp_path / "latin.csv").write_bytes("text,label\nh\xe9,0\n".encode("latin-1"))
    (tmp_path / "commas.csv").write_text("text,label\na, b,0\n")
    (tmp_path / "a.xlsx").write_text("text\tlabel\n")
    cases = {
        "cut.jsonl": "row 2: is not valid JSON",
        "cut.jsonl.gz": "cannot be read",
        "plain.jsonl.gz": "cannot be read",
        "cut.parquet": "not valid Parquet",
        "latin.csv": "cannot be read",
        "commas.csv": "row 1: has more fields than the header",
        "a.xlsx": "not read; expected one of",
        "missing.jsonl": "no such file",
    }
    for name, message in cases.items():
        with pytest.raises(InputError, match=message):
            load(tmp_path / name)
    with pytest.raises(InputError, match="expected one file named dev.jsonl .*cut.jsonl"):
        load(tmp_path, split="dev")


def test_a_parquet_file_without_the_column_is_named(tmp_path):
    with pytest.raises(InputError, match="has no column 'sentence', only text, label"):
        load(write(tmp_path, ".parquet"), text="sentence")


def test_an_unreachable_hub_id_says_what_to_do(monkeypatch):
    def unreachable(*arguments, **named):
        assert arguments == ("owner/data", "config") and named == {"split": "test", "revision": None}
        raise ConnectionError("Couldn't reach the Hub\nand more")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(NotReachable, match="owner/data:config.*Couldn't reach the Hub\\).*download it elsewhere") as caught:
        load("owner/data:config")
    assert "\n" not in str(caught.value)


def test_a_copy_of_a_hub_dataset_is_read_by_its_splits(tmp_path):
    folder = tmp_path / "clone" / "data"
    folder.mkdir(parents=True)
    rows = objects(ROWS)
    for name, part in {
        "train-00000-of-00002": rows[:2],
        "train-00001-of-00002": rows[2:],
        "test-00000-of-00001": rows[:1],
    }.items():
        datasets.Dataset.from_list(part).to_parquet(folder / f"{name}.parquet")
    texts = [text for text, _ in ROWS]
    assert load_texts(tmp_path / "clone", "text", "train") == texts
    assert load_texts(tmp_path / "clone", "text", "test") == texts[:1]
    with pytest.raises(InputError, match="expected one file named validation.jsonl"):
        load_texts(tmp_path / "clone", "text", "validation")


def test_half_a_surrogate_pair_is_no_text(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "soup \\ud83d good"}\n')
    assert load_texts(tmp_path / "a.jsonl", "text") == ["soup ? good"]


def test_values_are_read_as_they_are_written(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\n001,1\nNA,0\n,2\n")
    data = load(tmp_path / "a.csv")
    assert (data.texts, data.labels) == (["001", "NA", ""], [1, 0, 2])
    (tmp_path / "a.jsonl").write_text('{"text": "x", "label": 1, "more": 1}\n\n{"text": "y", "label": "World", "more": "z"}\n')
    assert load(tmp_path / "a.jsonl").labels == [1, 0]


def test_categories_of_pandas_are_read_as_strings(tmp_path):
    table = pa.table({"text": pa.array(["a", "b"]), "label": pa.array(["World", "Sports"]).dictionary_encode()})
    pq.write_table(table, tmp_path / "a.parquet")
    assert load(tmp_path / "a.parquet").labels == [0, 1]


def test_a_toy_task_has_a_train_and_a_test_split():
    sizes = [len(load_texts("toy:topic", "text", split)) for split in ("train", "test")]
    assert sizes == [10_000, 1_000]
    assert len(read_columns("toy:topic", "test", ["text", "label"])) == 1_000


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    def forbidden(*given):
        raise PermissionError(errno.EACCES, "Permission denied", str(given[0]))

    monkeypatch.setattr("eval.data.text_files.open", forbidden, raising=False)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\); see to its rights"):
        with opened(tmp_path / "texts.txt"):
            pass
