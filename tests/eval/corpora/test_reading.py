"""Reading a corpus: kept rows and their columns, and errors with a remedy."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Features

from distill.common.errors import InputError
from distill.kinds.classes import PAIR
from eval.corpora.reading import load_corpus, load_reference
from prompter.exporting.shards import features, write_csv, write_jsonl, write_shard
from tests.eval.exported import COLUMNS, rows, write_dataset, write_texts


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
    assert "is an unfinished export; give the command that began it again" in refused(load_corpus, str(folder))


def test_columns_that_are_missing_or_hold_something_else_are_refused(tmp_path):
    folder = str(write_dataset(tmp_path / "data-set"))
    assert "has no column 'txt', only text, label" in (error := refused(load_corpus, folder, text_column="txt"))
    assert "Did you mean 'text'?" in error
    assert "Name one of these." in refused(load_corpus, folder, text_column="body")
    assert "row 1: column 'label' holds int, expected text" in refused(load_corpus, folder, text_column="label")
    for name, column in {"teacher_probs": ["a", "b"], "lm_logprob": ["x", "y"], "confidence": [[1.0], [2.0]]}.items():
        columns = {"text": ["one", "two"], "keep": [True, True], "wanted_label": [0, 1], name: column}
        pq.write_table(pa.table(columns), tmp_path / "wrong.parquet")
        assert f"column '{name}'" in refused(load_corpus, str(tmp_path / "wrong.parquet"))


def test_columns_of_other_files_are_the_users_own(tmp_path):
    own = {"labels": [0, 1], "score": ["x", "y"], "keep": ["false", "true"], "confidence": ["x", "y"], "teacher_probs": [1, 2]}
    for column in (own, *({name: values} for name, values in own.items()), {"keep": [False, True]}):
        pq.write_table(pa.table({"text": ["one", "two"], **column}), tmp_path / "own.parquet")
        corpus = load_corpus(str(tmp_path / "own.parquet"))
        assert (corpus.texts, corpus.classes, corpus.confidence, corpus.scores) == (["one", "two"], None, None, None)
    for name, wrong in {"labels": [1, 2], "keep": ["false", "true"]}.items():
        write_dataset(tmp_path / "d", rows(2), shards=1)
        pq.write_table(pa.table({"text": ["one", "two"], name: wrong}), tmp_path / "d" / "data" / "train-00000.parquet")
        assert f"column '{name}' holds something other than" in refused(load_corpus, str(tmp_path / "d"))


@pytest.mark.parametrize("name", ["data.jsonl", "data.csv"])
def test_the_text_files_of_an_export_are_judged_like_its_parquet_files(tmp_path, name):
    made = rows()
    made[0] |= {"text": "- well he said", "topic": "'- so"}
    folder = write_dataset(tmp_path / "data-set", made)
    whole = load_corpus(str(folder))
    columns = Features(COLUMNS)
    (write_jsonl if name == "data.jsonl" else write_csv)(folder, columns)
    for all_rows in (False, True):
        whole, read = load_corpus(str(folder), all_rows=all_rows), load_corpus(str(folder / name), all_rows=all_rows)
        assert (read.texts, read.rows, read.marked, read.classes) == (whole.texts, 40, whole.marked, whole.classes)
        assert read.labels == whole.labels and (name == "data.csv" or read.topics == whole.topics)
        assert np.allclose(read.confidence, whole.confidence) and np.allclose(read.logprob, whole.logprob)


@pytest.mark.parametrize("name", ["data.jsonl", "data.csv"])
def test_classes_without_a_row_are_known_from_the_recipe_beside_a_text_file(tmp_path, name):
    made = [row for row in rows() if row["label"] == 1]
    folder = write_dataset(tmp_path / "data-set", made)
    (write_jsonl if name == "data.jsonl" else write_csv)(folder, Features(COLUMNS))
    assert load_corpus(str(folder)).labels == ["bad", "good"] and load_corpus(str(folder / name)).labels == ["good"]
    (folder / "recipe.yaml").write_text("export: {}\nprompter:\n  labels: [bad, good]\n")
    assert load_corpus(str(folder / name)).labels == ["bad", "good"]
    (folder / "recipe.yaml").write_text("prompter: [\n")
    assert load_corpus(str(folder / name)).labels == ["good"]


def test_texts_without_an_answer_count_as_such_where_a_text_may_have_several_labels(tmp_path):
    made = [{"labels": ["a", "b"], "teacher_probs": [0.9, 0.8]}, {"labels": [], "teacher_probs": [0.1, 0.2]}]
    made.append({"labels": None, "teacher_probs": None})
    lines = [json.dumps({"text": "a text", "keep": True, "drop_reason": None} | row) + "\n" for row in made]
    (tmp_path / "data.jsonl").write_text("".join(lines))
    assert load_corpus(str(tmp_path / "data.jsonl")).classes == ["a", "b", None]


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


def test_tags_of_words_are_counted_by_the_types_that_a_text_holds(tmp_path):
    def corpus(*tags):
        rows = [{"text": "Ann sang here", "tags": row, "tag_probs": None, "keep": True, "drop_reason": None} for row in tags]
        (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return load_corpus(str(tmp_path / "data.jsonl"))

    found = corpus(["B-PER", "O", "B-LOC"], ["B-PER", "I-PER", "O"], ["O", "O", "O"], None)
    assert found.classes == ["LOC", "PER", "PER", "no entity", None] and found.labels == ["LOC", "PER", "no entity"]
    assert found.classes_are == "tags"
    assert corpus(["O"], ["O"]).classes is None  # which types there are is not known


@pytest.mark.parametrize(
    ("column", "value"), [("lm_logprob", -(10**400)), ("teacher_probs", [10**400, 0])], ids=["one", "list"]
)
def test_whole_numbers_beyond_every_float_are_named(column, value, tmp_path):
    row = {"text": "a", "keep": True, "drop_reason": None, column: value}
    (tmp_path / "data.jsonl").write_text(json.dumps(row) + "\n")
    assert f"row 1: column '{column}' holds" in refused(load_corpus, str(tmp_path / "data.jsonl"))


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_second_texts_of_pairs_are_kept_for_the_teacher(ending, tmp_path):
    file, pairs = tmp_path / f"pairs.{ending}", [{"text": "a", "text_pair": "c"}, {"text": "b", "text_pair": None}]
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(pairs), file)
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in pairs))
    found = load_corpus(str(file))
    assert found.texts == ["a", "b"] and found.second == ["c", ""]
    file = write_texts(tmp_path / "single.jsonl", ["a", "b"])
    assert load_corpus(file).second is None


def test_the_second_texts_of_an_export_are_judged_alike_in_all_its_files(tmp_path):
    columns = features(["bad", "good"], teacher=True, kind=PAIR)
    made = [row | {"text_pair": f"- {row['text']}", "prompter": "p", "seed": 0} for row in rows()]
    write_shard(tmp_path, 0, made, columns)
    write_jsonl(tmp_path, columns)
    write_csv(tmp_path, columns)
    whole = load_corpus(str(tmp_path), "text_pair")
    assert len(whole.texts) == 36 and whole.marked == {"near duplicate": 4} and whole.second is None
    for name in ("data.jsonl", "data.csv"):
        read = load_corpus(str(tmp_path / name), "text_pair")
        assert (read.texts, read.marked, read.classes) == (whole.texts, whole.marked, whole.classes)
    file = tmp_path / "single.jsonl"
    file.write_text(json.dumps({"text": "a", "keep": True, "drop_reason": None}) + "\n")
    assert "has no column 'text_pair'" in refused(load_corpus, str(file), "text_pair")
