"""Reading a corpus: kept rows and their columns, and errors with a remedy."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distill.common.errors import InputError
from eval.corpora.reading import load_corpus, load_reference
from tests.eval.exported import rows, write_dataset


def test_kept_rows_of_an_export_are_read_with_their_columns(tmp_path):
    corpus = load_corpus(str(write_dataset(tmp_path / "data-set")))
    kept = [row for row in rows() if row["keep"]]
    assert corpus.texts == [row["text"] for row in kept]
    assert (corpus.rows, corpus.marked) == (40, {"near duplicate": 4})
    assert corpus.classes == [["bad", "good"][row["label"]] for row in kept]
    assert corpus.labels == ["bad", "good"] and corpus.classes_are == "label"
    assert np.allclose(corpus.confidence, [row["confidence"] for row in kept])
    assert np.allclose(corpus.logprob, [row["lm_logprob"] for row in kept])
    assert corpus.topics == [row["topic"] for row in kept]


def test_all_rows_and_single_files_are_read_too(tmp_path):
    folder = write_dataset(tmp_path / "data-set")
    assert len(load_corpus(str(folder), all_rows=True).texts) == 40
    assert load_corpus(str(folder / "data" / "train-00000.parquet")).rows == 20


def test_missing_columns_are_none(tmp_path):
    without = ("label", "teacher_probs", "confidence", "lm_logprob", "topic")
    corpus = load_corpus(str(write_dataset(tmp_path / "data-set", without=without)))
    assert corpus.confidence is None and corpus.logprob is None and corpus.topics is None
    assert corpus.classes_are == "wanted_label"
    plain = load_corpus(str(write_dataset(tmp_path / "plain", without=(*without, "wanted_label", "keep"))))
    assert plain.classes is None and len(plain.texts) == 40


def test_rows_without_an_answer_count_as_such(tmp_path):
    made = rows(4)
    made[1] |= {"label": -1, "teacher_probs": None, "confidence": None}
    corpus = load_corpus(str(write_dataset(tmp_path / "data-set", made)))
    assert corpus.classes == ["bad", None, "bad", "good"]
    assert np.isnan(corpus.confidence).tolist() == [False, True, False, False]


def test_plain_files_of_texts(tmp_path):
    (tmp_path / "texts.txt").write_text("one text\n\nanother text\n", encoding="utf-8")
    assert load_corpus(str(tmp_path / "texts.txt")).texts == ["one text", "another text"]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"body": text}) + "\n" for text in ("a", "b")))
    assert load_corpus(str(tmp_path / "texts.jsonl"), text_column="body").texts == ["a", "b"]
    (tmp_path / "texts.csv").write_text("text\na\n")
    assert load_reference(str(tmp_path / "texts.csv")).texts == ["a"]


def test_a_toy_task_stands_for_its_training_text():
    assert len(load_reference("toy:sentiment").texts) == 10_000


def refused(call, *arguments, **options):
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    return str(caught.value)


def test_missing_paths_are_refused(tmp_path):
    assert "there is no such folder or file" in refused(load_corpus, str(tmp_path / "none"))
    assert refused(load_reference, str(tmp_path / "none.jsonl")).startswith("reference: ")
    (tmp_path / "empty").mkdir()
    assert "but it has no data file" in refused(load_corpus, str(tmp_path / "empty"))


def test_an_unfinished_export_is_refused(tmp_path):
    folder = write_dataset(tmp_path / "data-set")
    (folder / ".export").mkdir()
    assert len(load_corpus(str(folder)).texts) == 36  # it was finished; only the cleaning up was not
    (folder / "recipe.yaml").unlink()
    assert "is an unfinished export; run the same prompter export again" in refused(load_corpus, str(folder))


def test_columns_that_are_missing_or_hold_something_else_are_refused(tmp_path):
    folder = str(write_dataset(tmp_path / "data-set"))
    assert "has no column 'txt', only text, label" in (error := refused(load_corpus, folder, text_column="txt"))
    assert "Did you mean 'text'?" in error
    assert "Name one of these." in refused(load_corpus, folder, text_column="body")
    assert "row 1: column 'label' holds int, expected text" in refused(load_corpus, folder, text_column="label")
    for name, column in {"teacher_probs": ["a", "b"], "lm_logprob": ["x", "y"], "confidence": [[1.0], [2.0]]}.items():
        pq.write_table(pa.table({"text": ["one", "two"], name: column}), tmp_path / "wrong.parquet")
        assert f"column '{name}'" in refused(load_corpus, str(tmp_path / "wrong.parquet"))


def test_an_empty_corpus_or_reference_is_refused(tmp_path):
    assert "holds no kept row (0 in all)" in refused(load_corpus, str(write_dataset(tmp_path / "none", [], shards=1)))
    marked = [row | {"keep": False} for row in rows(3)]
    assert "give --all_rows" in refused(load_corpus, str(write_dataset(tmp_path / "marked", marked)))
    (tmp_path / "empty.txt").write_text("\n \n")
    assert refused(load_reference, str(tmp_path / "empty.txt")) == (
        f"reference: {tmp_path}/empty.txt: holds no text; give at least one line."
    )
    (tmp_path / "empty.jsonl").write_text("")
    assert "holds no rows" in refused(load_reference, str(tmp_path / "empty.jsonl"))


def test_damaged_files_are_refused(tmp_path):
    folder = write_dataset(tmp_path / "data-set")
    shard = folder / "data" / "train-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:200])
    assert "is not valid Parquet" in refused(load_corpus, str(folder))
    (tmp_path / "latin.txt").write_bytes("caf\xe9".encode("latin-1"))
    assert "give UTF-8" in refused(load_corpus, str(tmp_path / "latin.txt"))
