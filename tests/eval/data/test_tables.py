"""Parquet and Arrow: class names are taken from what a file says about itself, nothing else is acted on, all is bounded."""

import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distill.common.errors import InputError
from eval.data.labelled import load_texts
from eval.data.tables import class_names
from tests.eval.data_files import load

LABELS = ["neg", "pos"]


def table(**more):
    return pa.table({"text": ["a", "b"], "label": [1, 0]} | more)


def test_arrow_files_of_both_kinds(tmp_path):
    for new in (pa.ipc.new_file, pa.ipc.new_stream):
        with new(str(tmp_path / "a.arrow"), table().schema) as writer:
            writer.write_table(table())
        assert load(tmp_path / "a.arrow", LABELS).labels == [1, 0]


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


def test_pages_that_unpack_to_far_more_are_refused(tmp_path):
    texts = pa.table({"text": ["a" * (1 << 20)] * 300})
    pq.write_table(texts, tmp_path / "a.parquet", compression="zstd", use_dictionary=False)
    with pytest.raises(InputError, match="more than 100 times its size"):
        load_texts(tmp_path / "a.parquet", "text")


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
