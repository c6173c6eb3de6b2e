"""Parquet and Arrow: class names are taken from what a file says about itself, nothing else is acted on, all is bounded."""

import io
import json
import time
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distill.common.errors import InputError
from eval.data import tables
from eval.data.claimed_sizes import parquet_claims
from eval.data.labelled import load_texts
from eval.data.tables import class_names, read_table
from tests.eval.data_files import load

LABELS = ["neg", "pos"]


def table(**more):
    return pa.table({"text": ["a", "b"], "label": [1, 0]} | more)


def test_arrow_files_of_both_kinds(tmp_path):
    for new in (pa.ipc.new_file, pa.ipc.new_stream):
        with new(str(tmp_path / "a.arrow"), table().schema) as writer:
            writer.write_table(table())
        assert load(tmp_path / "a.arrow", LABELS).labels == [1, 0]


def test_a_column_of_lists_as_earlier_versions_wrote_them_leaves_the_class_names_of_others(tmp_path):
    classes = {"_type": "ClassLabel", "names": LABELS[::-1]}
    features = {"label": classes, "spans": [{"start": {"_type": "Value", "dtype": "int32"}}], "all": [classes], "odd": [[]]}
    made = table(spans=[[{"start": 1}]] * 2, all=[[0], [1]], odd=[[[1]]] * 2)
    made = made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    assert class_names(made.schema) == {"label": LABELS[::-1], "all": LABELS[::-1]}
    pq.write_table(made, tmp_path / "a.parquet")
    assert load(tmp_path / "a.parquet", LABELS).labels == [0, 1]  # by the names, and not by the positions


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_files_that_number_their_classes_in_different_ways_are_refused(tmp_path, ending):
    """The names of the first file would stand for the rows of all."""
    for number, names in enumerate([LABELS, LABELS, LABELS[::-1]]):
        features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)})
        data = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
        if ending == "parquet":
            data.to_parquet(tmp_path / f"{number}.parquet")
        else:
            data.save_to_disk(tmp_path / str(number))
            next((tmp_path / str(number)).glob("*.arrow")).rename(tmp_path / f"{number}.arrow")
    files = [tmp_path / f"{number}.{ending}" for number in range(3)]
    assert read_table("data", files[:2]).column("label").to_pylist() == [1, 0, 1, 0]
    with pytest.raises(InputError, match=f"data: 2.{ending} numbers the classes of column 'label' pos, neg, .* neg, pos"):
        read_table("data", files)
    assert read_table("data", files, ["text"]).num_rows == 6


def test_what_metadata_calls_an_image_is_not_opened(tmp_path, monkeypatch):
    about = {"info": {"features": {"text": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": LABELS[::-1]}}}}
    struct = pa.array([{"bytes": None, "path": "http://somewhere/a.png"}] * 2)
    hostile = pa.table({"text": struct, "label": [1, 0]}).replace_schema_metadata({"huggingface": json.dumps(about)})
    pq.write_table(hostile, tmp_path / "a.parquet")
    with pytest.raises(InputError, match="column 'text' holds dict, expected text"):
        load(tmp_path / "a.parquet", LABELS)
    pq.write_table(hostile.set_column(0, "text", pa.array(["a", "b"])), tmp_path / "a.parquet")
    assert load(tmp_path / "a.parquet", LABELS).labels == [0, 1]


@pytest.mark.parametrize("about", ["", "[", "[]", "{}", '{"info": 5}', '{"info": {"features": {"a": 5}}}', "[" * 100_000])
def test_damaged_metadata_declares_nothing(about):
    assert class_names(table().replace_schema_metadata({"huggingface": about}).schema) == {}


def test_one_long_text_for_many_rows_is_refused(tmp_path):
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 900_000, pa.int32()), pa.array(["a" * 900_000]))
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", compression="zstd")
    with pytest.raises(InputError, match="unpacks to 772,476 MiB"):
        load_texts(tmp_path / "a.parquet", "text")


def test_rows_without_bytes_are_refused(tmp_path):
    pq.write_table(pa.table({"text": pa.nulls(30_000_000, pa.string())}), tmp_path / "a.parquet", compression="zstd")
    with pytest.raises(InputError, match="claims 30,000,000 rows"):
        load_texts(tmp_path / "a.parquet", "text")


@pytest.mark.parametrize("column", ["text.en", pytest.param("text", marks=pytest.mark.slow)])
def test_pages_that_unpack_to_far_more_are_refused(tmp_path, column, monkeypatch):
    texts = pa.table({column: ["a" * (1 << 20)] * 300})
    pq.write_table(texts, tmp_path / "a.parquet", compression="zstd", use_dictionary=False)
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *_, **__: pytest.fail("it was unpacked"))
    with pytest.raises(InputError, match="more than 100 times its size"):
        load_texts(tmp_path / "a.parquet", column)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One file of each kind."""
    folder = tmp_path_factory.mktemp("whole")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=LABELS)})
    rows = [{"text": f"text {i}", "label": i % 2} for i in range(50)]
    data = datasets.Dataset.from_list(rows, features=features)
    data.to_parquet(folder / "a.parquet")
    data.save_to_disk(folder / "saved")
    return folder


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_files_are_read_or_refused_in_one_line(whole, tmp_path, data):
    name = data.draw(st.sampled_from(["a.parquet", "saved/data-00000-of-00001.arrow"]))
    content = bytearray((whole / name).read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    file = tmp_path / f"a.{name.rpartition('.')[2]}"
    file.write_bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    try:
        load(file, LABELS)
    except InputError as error:
        assert "\n" not in str(error)


# Headers that lie

ZSTD = pa.ipc.IpcWriteOptions(compression="zstd")


@pytest.fixture
def small_limit(monkeypatch):
    """Files are suspect from 1 MiB on, so that the tests need no gigabytes."""
    monkeypatch.setattr(tables, "SUSPECT_BYTES", 1 << 20)


def refused_before_unpacking(file, said="more than 100 times its size"):
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(InputError, match=said):
        load_texts(file, "text")
    assert pa.default_memory_pool().max_memory() - before < 8 << 20


def varint(value: int) -> bytes:
    value, found = value << 1, bytearray()
    while value > 127:
        found.append((value & 127) | 128)
        value >>= 7
    return bytes([*found, value])


@pytest.mark.parametrize("new", [pa.ipc.new_file, pa.ipc.new_stream])
@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_compressed_buffers_of_arrow_are_bounded_before_they_are_unpacked(new, codec, tmp_path, small_limit):
    bomb = pa.table({"text": ["a" * (1 << 20)] * 64, "other": ["b"] * 64})
    with new(str(tmp_path / "a.arrow"), bomb.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(bomb)
    del bomb
    if (tmp_path / "a.arrow").stat().st_size * 100 < 64 << 20:
        refused_before_unpacking(tmp_path / "a.arrow")
    honest = pa.table({"text": [f"text {i} of {i * 7919}" for i in range(200)], "label": [i % 2 for i in range(200)]})
    with new(str(tmp_path / "b.arrow"), honest.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(honest)
    assert load_texts(tmp_path / "b.arrow", "text") == honest["text"].to_pylist()


def test_a_compressed_buffer_that_claims_gigabytes(tmp_path):
    rows = pa.table({"text": ["abc" * 50] * 2000})
    with pa.ipc.new_stream(
        str(tmp_path / "a.arrow"), rows.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")
    ) as writer:
        writer.write_table(rows)
    content = (tmp_path / "a.arrow").read_bytes()
    said = (2000 * 150).to_bytes(8, "little")
    assert content.count(said) == 1
    (tmp_path / "a.arrow").write_bytes(content.replace(said, (1 << 40).to_bytes(8, "little")))
    refused_before_unpacking(tmp_path / "a.arrow")


def test_a_table_of_contents_that_is_silent_about_large_pages(tmp_path, small_limit):
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a" * (1 << 20)] * 16}), file, compression="zstd", use_dictionary=False)
    content, true = file.read_bytes(), varint(pq.ParquetFile(file).metadata.row_group(0).column(0).total_uncompressed_size)
    lie = bytearray(varint(1000).ljust(len(true), b"\0"))
    lie[1:-1] = bytes(byte | 128 for byte in lie[1:-1])  # the number goes on, with zeros
    pages, footer = content[:-400], content[-400:]
    assert footer.count(true) == 2  # of the column, and of the row group
    file.write_bytes(pages + footer.replace(true, lie))
    assert pq.ParquetFile(file).metadata.row_group(0).column(0).total_uncompressed_size == 1000
    refused_before_unpacking(file)


def test_a_page_header_that_claims_more_than_its_page(tmp_path, small_limit):
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["abc" * 70] * 20_000}), file, compression="zstd", use_dictionary=False)
    content = file.read_bytes()
    start = content.index(b"\x15\x00\x15") + 3  # a data page, then its unpacked size
    end = next(at for at in range(start, start + 6) if content[at] < 128) + 1
    assert end - start == 4
    file.write_bytes(content[:start] + b"\xfe\xff\xff\x7f" + content[end:])  # 128 MiB
    refused_before_unpacking(file)


@pytest.mark.parametrize("kind", [3, 7])  # values of one byte, and of eight
def test_a_list_in_a_page_header_that_claims_more_values_than_bytes(kind):
    header = bytes([0x19, 0xF0 | kind]) + varint(1 << 25)
    begin = time.process_time()
    with pytest.raises(ValueError, match="a page header is damaged"):
        parquet_claims(io.BytesIO(header + bytes(100)), [(0, len(header) + 100)])
    assert time.process_time() - begin < 1


def test_lists_in_lists_in_a_page_header(tmp_path):
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a text that is not like any other " + str(i) for i in range(9000)]}), file)
    content = file.read_bytes()
    file.write_bytes(content[:4] + b"\x19" + b"\x99" * 5000 + content[5005:])
    with pytest.raises(InputError, match="is not valid Parquet .*nested too deeply"):
        load_texts(file, "text")


def test_texts_that_repeat_the_one_before_are_read_in_portions(tmp_path, small_limit):
    file = tmp_path / "a.parquet"
    options = {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}, "compression": "none"}
    pq.write_table(pa.table({"text": ["a" * 100_000] * 2000}), file, **options)
    assert file.stat().st_size < 200_000
    refused_before_unpacking(file)
    rows = [f"text {i}" for i in range(3000)]
    pq.write_table(pa.table({"text": rows}), file, **options)
    assert load_texts(file, "text") == rows


def test_views_of_one_text_are_counted_in_full(tmp_path, small_limit):
    one = pa.array(["a" * 100_000], pa.string_view()).buffers()
    views = pa.Array.from_buffers(pa.string_view(), 5000, [None, pa.py_buffer(one[1].to_pybytes()[:16] * 5000), one[2]])
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), pa.schema({"text": pa.string_view()})) as writer:
        writer.write_table(pa.table({"text": views}))
    if (tmp_path / "a.arrow").stat().st_size < 1 << 20:
        refused_before_unpacking(tmp_path / "a.arrow")
    few = pa.table({"text": pa.array(["one", "a longer text than twelve", None], pa.string_view())})
    with pa.ipc.new_stream(str(tmp_path / "b.arrow"), few.schema) as writer:
        writer.write_table(few.slice(0, 2))
    assert load_texts(tmp_path / "b.arrow", "text") == ["one", "a longer text than twelve"]


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.dictionary(pa.int32(), pa.string())), pa.run_end_encoded(pa.int32(), pa.string()), pa.binary_view()]
)
def test_other_types_that_repeat_values_are_named(kind, tmp_path):
    rows = pa.array([["a"], ["b"]]) if pa.types.is_list(kind) else pa.array(["a", "b"])
    column = pc.run_end_encode(rows) if "run_end" in str(kind) else rows.cast(kind)
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), pa.schema({"text": column.type})) as writer:
        writer.write_table(pa.table({"text": column}))
    with pytest.raises(InputError, match="which is not read; store plain values"):
        load_texts(tmp_path / "a.arrow", "text")


@pytest.mark.parametrize("compression", ["snappy", "none"])
def test_a_table_without_rows(tmp_path: Path, compression: str) -> None:
    empty = pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.int64())})
    pq.write_table(empty, tmp_path / "empty.parquet", compression=compression)
    assert read_table("empty", [tmp_path / "empty.parquet"]).num_rows == 0
