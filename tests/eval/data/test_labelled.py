"""Evaluation data: every format gives the same rows, names decide over numbers, and each mistake is named."""

import csv
import gzip
import json

import datasets
import pytest

from distill.common.errors import InputError
from eval.data.labelled import NotReachable, load_labelled, load_texts

LABELS = ["World", "Sports", "Business"]
ROWS = [("Rates, again", 2), ('He said "go"', 0), ("A late goal", 1), ("Ünïcode 新", 0)]


def load(path, labels=LABELS, split="test", text="text", label="label", **more):
    return load_labelled(path, split, text, label, labels, **more)


def jsonl(path, rows, opener=open):
    with opener(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def objects(rows):
    return [{"text": text, "label": label} for text, label in rows]


def write(folder, kind):
    path = folder / f"test{kind}"
    if ".jsonl" in kind:
        return jsonl(path, objects(ROWS), gzip.open if kind.endswith(".gz") else open)
    if kind == ".parquet":
        datasets.Dataset.from_list(objects(ROWS)).to_parquet(path)
        return path
    with (gzip.open if kind.endswith(".gz") else open)(path, "wt", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *ROWS])
    return path


@pytest.mark.parametrize("kind", [".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet"])
def test_every_format_gives_the_same_rows(tmp_path, kind):
    path = write(tmp_path, kind)
    for source in (path, str(tmp_path)):
        data = load(source)
        assert list(zip(data.texts, data.labels, strict=True)) == ROWS
        assert data.teacher_log_probs is None and len(data) == 4
    assert load_texts(path, "text") == [text for text, _ in ROWS]


def test_plain_text_holds_a_text_a_line(tmp_path):
    (tmp_path / "texts.txt").write_text("\ufeffone, two\n\n three \n", encoding="utf-8")
    assert load_texts(tmp_path / "texts.txt", "text") == ["one, two", " three "]
    with pytest.raises(InputError, match="other.txt: there is no such file"):
        load_texts("other.txt", "text")


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


def test_pairs_are_read_and_drawn_together(tmp_path):
    rows = [{"a": f"{i}", "b": f"{i}!", "label": i % 3} for i in range(30)]
    data = load(jsonl(tmp_path / "a.jsonl", rows), text="a", pair_column="b", limit=7)
    assert len(data) == 7 and data.text_pairs == [text + "!" for text in data.texts]
    with pytest.raises(InputError, match="row 1: has no column 'c'"):
        load(tmp_path / "a.jsonl", text="a", pair_column="c")


def test_limit_draws_rows_by_seed_and_keeps_their_order(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", objects([(f"{i:03}", i % 3) for i in range(100)]))
    data = load(path, limit=20, seed=1)
    assert len(data) == 20 and data.texts == sorted(set(data.texts))
    assert data.labels == [int(text) % 3 for text in data.texts]
    assert load(path, limit=20, seed=1).texts == data.texts != load(path, limit=20, seed=2).texts
    assert len(load(path, limit=0)) == len(load(path, limit=1000)) == 100


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows"),
        ([{"text": "a"}], "row 1: has no column 'label', only text"),
        ([{"text": "a", "label": 0}, {"text": "b", "labels": 0}], "row 2: .*Did you mean 'labels'"),
        ([{"text": None, "label": 0}], "row 1: column 'text' holds nothing"),
        ([{"text": "a", "label": 3}], "row 1: column 'label' holds 3, expected 0 to 2 or one of World"),
        ([{"text": "a", "label": -1}], "choose another split"),
        ([{"text": "a", "label": "World"}, {"text": "b", "label": "Sport"}], "row 2: .*Did you mean 'Sports'"),
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
    (tmp_path / "a.tsv").write_text("text\tlabel\n")
    cases = {
        "cut.jsonl": "row 2: is not valid JSON",
        "cut.jsonl.gz": "cannot be read",
        "plain.jsonl.gz": "cannot be read",
        "cut.parquet": "not valid Parquet",
        "latin.csv": "cannot be read",
        "commas.csv": "row 1: has more fields than the header",
        "a.tsv": "not read; expected one of",
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


def test_hub_data_is_read_with_its_class_names(monkeypatch):
    features = datasets.Features({"s": datasets.Value("string"), "y": datasets.ClassLabel(names=["pos", "neg"])})
    table = datasets.Dataset.from_list([{"s": "x", "y": 0}, {"s": "y", "y": 1}], features=features)
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: table)
    data = load("owner/data", ["neg", "pos"], text="s", label="y", revision="abc")
    assert data.labels == [1, 0] and data.class_names == ["pos", "neg"]
    with pytest.raises(InputError, match="owner/data: has no column 'text', only s, y"):
        load("owner/data", ["neg", "pos"], label="y")


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


def test_names_that_fit_in_part_are_no_numbers(tmp_path):
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "mid", "pos"])})
    datasets.Dataset.from_list(objects([("x", 0), ("y", 2)]), features=features).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="numbers its classes neg, mid, pos, the teacher has pos, mid, negative"):
        load(tmp_path / "a.parquet", ["pos", "mid", "negative"])
    assert load(tmp_path / "a.parquet", ["negative", "mid", "pos"]).labels == [0, 2]


def test_half_a_surrogate_pair_is_no_text(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "soup \\ud83d good"}\n')
    assert load_texts(tmp_path / "a.jsonl", "text") == ["soup ? good"]
