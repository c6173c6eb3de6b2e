"""Sets of labels in every form that data has them, and what is refused."""

import json

import datasets
import pandas as pd
import pytest

from distill.common.errors import InputError
from eval.data.config import EvaluationDataSettings
from eval.data.labelled import load_evaluation
from tests.eval.data_files import jsonl, load

LABELS = ["anger", "joy", "fear"]
SETS = [[1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 1, 0]]
NAMED = [["anger"], ["Joy", "fear"], [], ["joy"]]
FORMS = {
    "names": NAMED,
    "indices": [[0], [1, 2], [], [1]],
    "zeros and ones": SETS,
    "switches": [[bool(bit) for bit in row] for row in SETS],
    "decimal fractions": [[float(bit) for bit in row] for row in SETS],
}

SPELLINGS = (json.dumps, str, lambda row: str([str(bit) for bit in row]), lambda row: ", ".join(f"{bit}.0" for bit in row))


def rows(values):
    return [{"text": f"text {row}", "label": value} for row, value in enumerate(values)]


@pytest.mark.parametrize("form", FORMS)
def test_lists_are_read_from_json_and_parquet(tmp_path, form):
    assert load(jsonl(tmp_path / "a.jsonl", rows(FORMS[form])), LABELS, kind="multi_label").labels == SETS
    datasets.Dataset.from_list(rows(FORMS[form])).to_parquet(tmp_path / "a.parquet")
    data = load(tmp_path / "a.parquet", LABELS, kind="multi_label")
    assert (data.labels, data.kind, data.names) == (SETS, "multi_label", LABELS)


def test_declared_names_decide_the_order(tmp_path):
    features = {"text": datasets.Value("string"), "label": datasets.List(datasets.ClassLabel(names=["joy", "fear", "anger"]))}
    table = datasets.Dataset.from_list(rows([[2], [0, 1], [], [0]]), features=datasets.Features(features))
    table.to_parquet(tmp_path / "a.parquet")
    data = load(tmp_path / "a.parquet", LABELS, kind="multi_label")
    assert data.labels == SETS and data.class_names == ["joy", "fear", "anger"]


def test_lists_in_csv_are_json_or_stand_between_commas(tmp_path):
    (tmp_path / "a.csv").write_text('text,label\na,anger\nb,"joy, fear"\nc,\nd,"[""joy""]"\n')
    assert load(tmp_path / "a.csv", LABELS, kind="multi_label").labels == SETS
    (tmp_path / "b.csv").write_text('text,label\na,0\nb,"1,2"\nc,[]\nd,1\n')
    assert load(tmp_path / "b.csv", LABELS, kind="multi_label").labels == SETS


def test_zeros_and_ones_in_csv_are_no_indices(tmp_path):
    for written in (["1,0,0", "0,1,1", "0,0,0", "0,1,0"], *([form(row) for row in SETS] for form in SPELLINGS)):
        file = tmp_path / "a.csv"
        pd.DataFrame(rows(written)).to_csv(file, index=False)
        assert load(file, LABELS, kind="multi_label").labels == SETS, written
    quoted = [[str(bit) for bit in row] for row in SETS]
    assert load(jsonl(tmp_path / "a.jsonl", rows(quoted)), LABELS, kind="multi_label").labels == SETS
    pd.DataFrame(rows(NAMED)).to_csv(file, index=False)  # lists as Python writes them
    assert load(file, LABELS, kind="multi_label").labels == SETS
    pd.DataFrame(rows(["1,0", "0,1"])).to_csv(file, index=False)
    with pytest.raises(InputError, match="can be read in two ways"):
        load(file, ["a", "b"], kind="multi_label")
    pd.DataFrame(rows(["true,false", "False,True"])).to_csv(file, index=False)
    assert load(file, ["a", "b"], kind="multi_label").labels == [[1, 0], [0, 1]]
    pd.DataFrame(rows(["0,2", "1"])).to_csv(file, index=False)  # labels may be called like this
    assert load(file, ["0", "1", "2"], kind="multi_label").labels == [[1, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_one_column_of_zeros_and_ones_is_no_column_of_lists(tmp_path, kind):
    frame, file = pd.DataFrame({"text": ["a", "b"], "anger": [0, 1], "joy": [1, 1], "fear": [0, 0]}), tmp_path / f"a.{kind}"
    frame.to_csv(file, index=False) if kind == "csv" else frame.to_json(file, orient="records", lines=True)
    with pytest.raises(InputError, match="'anger' holds one 0 or 1 in each row.* --eval_label_column anger,joy,fear"):
        load(file, LABELS, label="anger", kind="multi_label")
    with pytest.raises(InputError, match="has no column 'labels'.* --eval_label_column anger,joy,fear"):
        load_evaluation(EvaluationDataSettings(eval_data=str(file)), LABELS, "multi_label")
    assert load(file, ["anger"], label="anger", kind="multi_label").labels == [[0], [1]]


def test_columns_called_like_the_labels_are_taken_by_name(tmp_path):
    (tmp_path / "a.csv").write_text("text,Anger,joy,fear,x\na,1,0,0,1\nb,0,1,1,1\nc,0,0,0,1\nd,0,1,0,1\n")
    assert load(tmp_path / "a.csv", LABELS, label=["fear", "Anger", "joy"], kind="multi_label").labels == SETS
    assert load(tmp_path / "a.csv", ["one", "two", "three"], label=["Anger", "joy", "fear"], kind="multi_label").labels == SETS
    with pytest.raises(InputError, match="label column 2 is 'fear', but the labels are anger, joy, fear"):
        load(tmp_path / "a.csv", LABELS, label=["x", "fear", "joy"], kind="multi_label")


def test_each_label_may_have_a_column_of_its_own(tmp_path):
    (tmp_path / "a.csv").write_text("text,anger,joy,fear\na,1,0,0\nb,0,TRUE,1.0\nc,0,0,false\nd,0,1,0\n")
    assert load(tmp_path / "a.csv", LABELS, label=LABELS, kind="multi_label").labels == SETS
    settings = EvaluationDataSettings(eval_data=str(tmp_path / "a.csv"), eval_label_column="anger, joy,fear")
    assert load_evaluation(settings, LABELS, "multi_label").labels == SETS


@pytest.mark.parametrize(
    "values, said",
    [
        ([[0, 1, 1], [0, 1]], r"row 2: column 'label' holds \[0, 1\], expected 3 zeros and ones"),
        ([[0, 0, 1], [0, 2, 1]], r"row 2: column 'label' holds \[0, 2, 1\], expected 3 zeros and ones"),
        ([[0], [3]], "row 2: column 'label' holds 3, expected 0 to 2 or one of anger, joy, fear"),
        ([["joy"], ["jog"]], "row 2: .* holds 'jog', .*Did you mean 'joy'"),
        ([["joy"], None], r"row 2: column 'label' holds nothing, expected a list of labels \(\[\] for none\)"),
        ([["joy"], 1], "row 2: column 'label' holds 1, expected a list"),
    ],
)
def test_what_is_no_set_of_labels_is_refused(tmp_path, values, said):
    with pytest.raises(InputError, match=said):
        load(jsonl(tmp_path / "a.jsonl", rows(values)), LABELS, kind="multi_label")


def test_two_labels_in_lists_of_two_can_be_read_in_two_ways(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", rows([[0, 1], [1, 0]]))
    with pytest.raises(InputError, match="can be read in two ways: .* write names, or true and false"):
        load(path, ["a", "b"], kind="multi_label")
    assert load(jsonl(path, rows([[0, 1], [1, 1]])), ["a", "b"], kind="multi_label").labels == [[0, 1], [1, 1]]
    assert load(jsonl(path, rows([[0, 1], [1]])), ["a", "b"], kind="multi_label").labels == [[1, 1], [0, 1]]


def test_mistakes_in_columns_of_labels_are_named(tmp_path):
    (tmp_path / "a.csv").write_text("text,anger,joy,fear\na,1,0,0\nb,0,2,1\n")
    with pytest.raises(InputError, match="row 2: column 'joy' holds '2', expected 0 or 1; fix or remove the row"):
        load(tmp_path / "a.csv", LABELS, label=LABELS, kind="multi_label")
    with pytest.raises(InputError, match=r"2 label columns are named for 3 labels \(anger, joy, fear\)"):
        load(tmp_path / "a.csv", LABELS, label=LABELS[:2], kind="multi_label")
    (tmp_path / "a.csv").write_text("text,anger,joy,fear\na,-1,-1,-1\n")
    with pytest.raises(InputError, match="-1 marks a split whose labels are kept secret"):
        load(tmp_path / "a.csv", LABELS, label=LABELS, kind="multi_label")


def test_a_kind_has_columns_of_its_own_where_none_are_named(tmp_path):
    named = [{"text": row["text"], "labels": row["label"], "own": row["label"]} for row in rows(NAMED)]
    settings = EvaluationDataSettings(eval_data=str(jsonl(tmp_path / "a.jsonl", named)))
    assert load_evaluation(settings, LABELS, "multi_label").labels == SETS
    settings.eval_label_column = "own"
    assert load_evaluation(settings, LABELS, "multi_label").labels == SETS
    one = [{"text": row["text"], "label": row["label"]} for row in rows(NAMED)]  # the name that other kinds have by default
    settings = EvaluationDataSettings(eval_data=str(jsonl(tmp_path / "c.jsonl", one)), eval_label_column="label")
    assert load_evaluation(settings, LABELS, "multi_label").labels == SETS
    words = [{"tokens": ["in", "rome"], "tags": ["O", "B-place"]}, {"tokens": ["rome"], "tags": ["B-place"]}]
    tagged = EvaluationDataSettings(eval_data=str(jsonl(tmp_path / "b.jsonl", words)))
    assert load_evaluation(tagged, ["O", "B-place"], "tokens").texts == ["in rome", "rome"]
