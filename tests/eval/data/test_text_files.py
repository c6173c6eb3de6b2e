"""Text files as people have them, each giving the same rows."""

import gzip
import json
import logging
import zipfile

import pandas as pd
import pytest

from distill.common.errors import InputError
from eval.data import text_files
from eval.data.labelled import load_texts
from eval.data.text_files import MAX_TEXT
from tests.eval.data_files import load

FRAME = pd.DataFrame({"text": ["a good film", "bad; really"], "label": [1, 0]})
LABELS = ["neg", "pos"]


def check(file):
    data = load(file, LABELS)
    assert (data.texts, data.labels) == (["a good film", "bad; really"], [1, 0])


@pytest.mark.parametrize("name", ["a.csv", "A.CSV", "a.tsv", "a.csv.gz", "A.Csv.GZ", "a.csv.xz", "a.csv.bz2", "a.tsv.gz"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_endings_and_packings(tmp_path, name, separator):
    packing = {"gz": "gzip", "xz": "xz", "bz2": "bz2"}.get(name.lower().rpartition(".")[2])
    FRAME.to_csv(tmp_path / name, index=False, sep=separator, compression=packing)
    check(tmp_path / name)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "txt"])
def test_encodings(tmp_path, encoding, kind):
    file = tmp_path / f"a.{kind}"
    if kind == "txt":
        file.write_text("a good film\nschön\n", encoding=encoding)
        assert load_texts(file, "text") == ["a good film", "schön"]
        return
    text = FRAME.to_csv(index=False) if kind == "csv" else FRAME.to_json(orient="records", lines=kind == "jsonl")
    file.write_text(text, encoding=encoding)
    check(file)


@pytest.mark.parametrize("orient", ["records", "columns", "index", "split", "table"])
def test_json_as_pandas_writes_it(tmp_path, orient):
    FRAME.to_json(tmp_path / "a.json", orient=orient)
    check(tmp_path / "a.json")


@pytest.mark.parametrize("name", ["a.json", "a.ndjson", "a.NDJSON", "a.jsonl", "a.json.gz", "a.ndjson.xz"])
def test_json_lines_by_any_name(tmp_path, name):
    FRAME.to_json(tmp_path / name, orient="records", lines=True, compression="infer")
    check(tmp_path / name)


def test_json_documents_of_other_forms(tmp_path):
    objects = FRAME.to_dict("records")
    for content in ({"version": 1, "data": objects}, FRAME.to_dict("list")):
        (tmp_path / "a.json").write_text(json.dumps(content))
        check(tmp_path / "a.json")
    (tmp_path / "a.json").write_text(json.dumps(objects[0]))
    assert load(tmp_path / "a.json", LABELS).labels == [1]


def test_headers_with_spaces_and_what_excel_writes_first(tmp_path):
    FRAME.rename(columns={"text": " text ", "label": " label"}).to_csv(tmp_path / "a.csv", index=False)
    check(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text('sep=;\ntext;label\na good film;1\n"bad; really";0\n')
    check(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_bytes(b'text,label\r\n"a good film",1\r\n\r\n"bad; really",0\r\n')
    check(tmp_path / "a.csv")


def test_quotes_in_tsv_may_be_characters(tmp_path):
    (tmp_path / "a.tsv").write_text('text\tlabel\ngood film\t1\n"bad film\t0\n"good" food\t1\nbad "food"\t0\n')
    data = load(tmp_path / "a.tsv", LABELS)
    assert data.texts == ["good film", '"bad film', '"good" food', 'bad "food"'] and data.labels == [1, 0, 1, 0]
    (tmp_path / "a.tsv").write_text('text\tlabel\n"bad film\t0\ngood food"\t1\n')  # would be one row otherwise
    assert load(tmp_path / "a.tsv", LABELS).texts == ['"bad film', 'good food"']
    quoted = FRAME.assign(text=['a "good"\tfilm', "two\nlines"])
    quoted.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    assert load(tmp_path / "a.tsv", LABELS).texts == list(quoted["text"])


def test_quotes_in_csv_that_do_not_fit_are_refused_with_their_row(tmp_path):
    for bad, row in (('good,1\n"bad,0\ngood,1\nbad,0\n', 2), ('"a "b" c",1\n', 1), ('a,1\n\n"a",0\n"b""\n', 3)):
        (tmp_path / "a.csv").write_text(f"text,label\n{bad}")
        with pytest.raises(InputError, match=f"row {row}: begins a field whose quotes do not fit .* write a quote"):
            load(tmp_path / "a.csv", LABELS)
    (tmp_path / "a.tsv").write_text('text\tlabel\n"bad film\t0\ngood\n')  # no row per line either
    with pytest.raises(InputError, match="row 1: begins a field"):
        load(tmp_path / "a.tsv", LABELS)


def test_quotes_may_be_escaped_as_spark_writes_them(tmp_path):
    (tmp_path / "a.csv").write_text('text,label\n"He said \\"yes\\" twice",1\n"C:\\new, \\\\",0\nx,1\n')
    assert load(tmp_path / "a.csv", LABELS).texts == ['He said "yes" twice', "C:\\new, \\\\", "x"]


def test_empty_lines_before_the_header_are_left_out(tmp_path):
    (tmp_path / "a.csv").write_text("\n\r\n" + FRAME.to_csv(index=False))
    check(tmp_path / "a.csv")


def test_archives_and_other_encodings_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.csv", "w") as archive:
        archive.writestr("x.csv", FRAME.to_csv(index=False))
    (tmp_path / "b.csv").write_bytes(gzip.compress(FRAME.to_csv(index=False).encode()))
    (tmp_path / "c.csv").write_bytes(FRAME.to_csv(index=False).encode("utf-32-le"))
    (tmp_path / "d.csv").write_bytes(FRAME.assign(text="хороший фильм").to_csv(index=False).encode("utf-16-le")[2:])
    for name, said in {"a": "is a ZIP archive", "b": "is packed with gzip", "c": "is no text", "d": "is no text"}.items():
        with pytest.raises(InputError, match=said):
            load(tmp_path / f"{name}.csv", LABELS)
    (tmp_path / "e.csv").write_text(FRAME.to_csv(index=False), encoding="utf-32")
    check(tmp_path / "e.csv")


@pytest.mark.parametrize("label", [[True, False], ["true", "FALSE"], [1.0, 0.0], ["1", "0"]])
@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_labels_as_people_write_them(tmp_path, label, kind):
    frame = FRAME.assign(label=label)
    file = tmp_path / f"a.{kind}"
    frame.to_parquet(file) if kind == "parquet" else (
        frame.to_csv(file, index=False) if kind == "csv" else frame.to_json(file, orient="records", lines=True)
    )
    check(file)


def test_long_cells_are_read_and_longer_texts_are_left_out_and_counted(tmp_path, caplog):
    long = FRAME.assign(text=["word " * 30_000, "bad; really"])
    long.to_csv(tmp_path / "a.csv", index=False)
    assert load(tmp_path / "a.csv", LABELS).labels == [1, 0]
    longer = FRAME.assign(text=["w" * (MAX_TEXT + 1), "bad; really"])
    longer.to_csv(tmp_path / "b.csv", index=False)
    longer.to_parquet(tmp_path / "b.parquet")
    longer.to_json(tmp_path / "b.jsonl", orient="records", lines=True)
    (tmp_path / "b.txt").write_text("\n".join(longer["text"]))
    for name in ("b.csv", "b.parquet", "b.jsonl", "b.txt"):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "prompter"):
            assert load_texts(tmp_path / name, "text") == ["bad; really"]
        assert [record.getMessage() for record in caplog.records] == [
            f"{tmp_path / name}: 1 of 2 rows hold a text of more than 1,000,000 characters and are left out"
        ]
    longer[:1].to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(InputError, match="all 1 texts have more than 1,000,000 characters"):
        load_texts(tmp_path / "c.csv", "text")


def test_an_enormous_line_of_json_is_not_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "MAX_ROW", 1000)
    (tmp_path / "a.jsonl").write_text(
        '{"text": "a", "label": 1, "more": [' + "[]," * 500 + '[]]}\n{"text": "b", "label": 0}\n'
    )
    assert load(tmp_path / "a.jsonl", LABELS).texts == ["b"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", "[" * 100_000, "row 1: is not valid JSON"),
        ("a.json", '{"a":' * 100_000, "nested too deeply"),
        ("a.json", "[1, 2]", "row 1: is int, expected an object"),
        ("a.json", '{"text": ', "row 1: is not valid JSON"),
        ("a.jsonl", '{"text": "a", "label": ' + "9" * 5000 + "}", "row 1: is not valid JSON"),
        ("a.csv", "text,label,text\na,1,b\n", "has 2 columns named 'text'"),
        ("a.csv", "text;label\na;b;1\n", "row 1: has more fields than the header"),
        ("a.csv", "text,label\na\n", "row 1: column 'label' holds nothing"),
        ("a.csv", "", "holds no rows"),
        ("a.json", "", "holds no rows"),
        ("a.txt", "a\n", "one text per line has no column 'label'"),
        ("a.xlsx", "PK", "files of this kind are not read; expected one of .jsonl"),
        ("a.csv", ",".join(f"column{i}" for i in range(5000)) + "\n" + "," * 4999, "and 4980 more"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said) as caught:
        load(tmp_path / name, LABELS)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 2000


def test_endless_lines_are_refused_before_they_fill_the_memory(tmp_path):
    for name, start in (("a.jsonl", ""), ("a.csv", "text,label\n"), ("a.txt", ""), ("a.json", " ")):
        with open(tmp_path / name, "w") as file:
            file.write(start)
            file.truncate(2 << 30)  # holes: nothing is written
        with pytest.raises(InputError, match="64,000,000 characters|is no text"):
            load_texts(tmp_path / name, "text")


def test_packed_files_that_unpack_to_far_more_are_refused(tmp_path):
    with gzip.open(tmp_path / "a.jsonl.gz", "wb", compresslevel=9) as file:
        for _ in range(40):
            file.write(b'{"text": "a", "label": 1}\n' * 40_000)
    with pytest.raises(InputError, match="unpacks to more than 100 times its size"):
        load(tmp_path / "a.jsonl.gz", LABELS)
