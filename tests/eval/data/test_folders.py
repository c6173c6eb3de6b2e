"""Folders as people and libraries lay them out."""

import json

import datasets
import pandas as pd
import pytest

from distill.common.errors import InputError
from eval.corpora.reading import load_corpus
from eval.data.labelled import load_texts
from eval.data.sentences import read_sentences
from tests.eval.data_files import load

FRAME = pd.DataFrame({"text": ["a good film", "bad, really"], "label": [1, 0]})
LABELS = ["neg", "pos"]


@pytest.fixture
def data():
    return datasets.Dataset.from_pandas(FRAME).cast_column("label", datasets.ClassLabel(names=LABELS))


@pytest.mark.parametrize("file", ["validation", "valid", "val", "dev", "Dev", "development"])
@pytest.mark.parametrize("split", ["validation", "dev", "val"])
def test_names_of_one_split_are_alike(tmp_path, file, split):
    FRAME.to_csv(tmp_path / f"{file}.csv", index=False)
    assert load(tmp_path, LABELS, split=split).labels == [1, 0]
    with pytest.raises(InputError, match=rf"expected one file named test.jsonl .* it has {file}.csv; name the split"):
        load(tmp_path, LABELS, split="test")


def test_the_very_name_wins(tmp_path):
    FRAME.to_csv(tmp_path / "dev.csv", index=False)
    FRAME[:1].to_csv(tmp_path / "validation.csv", index=False)
    assert load(tmp_path, LABELS, split="dev").labels == [1, 0]
    assert load(tmp_path, LABELS, split="validation").labels == [1]


@pytest.mark.parametrize(
    "place", ["data/dev-00000-of-00001", "en/dev-00000-of-00001", "dev/0000", "dev-00000-of-00001", "dev"]
)
def test_copies_of_hub_datasets(tmp_path, data, place):
    file = tmp_path / f"{place}.parquet"
    file.parent.mkdir(exist_ok=True)
    data.to_parquet(file)
    assert load(tmp_path, LABELS, split="validation").labels == [1, 0]


def test_what_save_to_disk_writes(tmp_path, data):
    data.save_to_disk(tmp_path / "one", num_shards=2)
    assert load(tmp_path / "one", LABELS[::-1]).labels == [0, 1]
    data.select([1, 0]).save_to_disk(tmp_path / "turned")
    assert load_texts(tmp_path / "turned", "text") == FRAME["text"].tolist()[::-1]
    datasets.DatasetDict(train=data, dev=data.select([0])).save_to_disk(tmp_path / "several")
    assert load(tmp_path / "several", LABELS, split="validation").labels == [1]
    assert load_corpus(str(tmp_path / "several")).texts == load_texts(tmp_path / "one", "text") == FRAME["text"].tolist()
    with pytest.raises(InputError, match="has the splits dev, train, no 'test'"):
        load(tmp_path / "several", LABELS, split="test")


def test_a_corpus_may_be_any_of_these(tmp_path):
    sentence = "this is a sentence of seven words."
    datasets.Dataset.from_dict({"text": [sentence]}).save_to_disk(tmp_path / "saved")
    pd.DataFrame({"text": [sentence]}).to_csv(tmp_path / "a.TSV", index=False, sep="\t")
    assert read_sentences(str(tmp_path / "saved")) == read_sentences(str(tmp_path / "a.TSV")) == [sentence]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"_data_files": [{"filename": "../../secret.arrow"}]}, "lacks ../../secret.arrow"),
        ({"_data_files": [{"filename": "gone.arrow"}]}, "lacks gone.arrow"),
        ({"_data_files": 5}, "names no files"),
        ({"_data_files": [], "_indices_data_files": [{"filename": "i.arrow"}]}, "call flatten_indices"),
        ([], "it has"),
    ],
)
def test_damaged_folders_are_named(tmp_path, data, state, said):
    data.save_to_disk(tmp_path / "a")
    (tmp_path / "a" / "state.json").write_text(json.dumps(state))
    with pytest.raises(InputError, match=said):
        load(tmp_path / "a", LABELS)


def test_home_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    FRAME.to_csv(tmp_path / "test.csv", index=False)
    assert load("~/test.csv", LABELS).labels == load("~", LABELS).labels == [1, 0]
    assert load_texts("~/test.csv", "text") == load_corpus("~/test.csv").texts == FRAME["text"].tolist()
