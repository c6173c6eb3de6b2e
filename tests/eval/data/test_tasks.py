"""Task files: every mistake in one is named, and class names are compared with the task's."""

import pytest

from distill.common.errors import InputError
from eval.data.tasks import Task, describe, match_labels, read_task, task_data
from tests.eval.task_files import ASKED, ROWS, declared, hub, write

SCORE = {"kind": "score", "labels": ["similarity"], "metrics": ["pearson"]}


def task(labels=("negative", "positive")):
    return Task("mood", "single", tuple(labels), "x", ("text",), "label", ("accuracy",), 1)


@pytest.mark.parametrize(
    "changes, without, said",
    [
        ({"lables": ["a", "b"]}, ["labels"], "unknown key 'lables'. Did you mean 'labels'?"),
        ({}, ["version"], "has no key 'version'"),
        ({"kind": "pairs"}, [], "kind is 'pairs', expected one of: single, pair, multi_label, score, tokens"),
        ({"kind": "single"}, [], "text_columns are ['a', 'b'], expected 1 for the kind 'single'"),
        ({"text_columns": ["a", "a"]}, [], "text_columns are ['a', 'a'], expected two different ones"),
        ({"labels": [["a"], "b"]}, [], "labels holds ['a'], expected text; put quotes around it"),
        ({"labels": ["a", "a"]}, [], "labels are ['a', 'a'], expected two or more different names"),
        ({"labels": "no"}, [], "labels is 'no', expected a list"),
        ({"data": True}, [], "data is True, expected text"),
        ({"metrics": ["acuracy"]}, [], "metrics names 'acuracy', expected some of: accuracy, macro_f1"),
        ({"metrics": ["acuracy"]}, [], "Did you mean 'accuracy'?"),
        ({"metrics": []}, [], "metrics is empty"),
        ({"metrics": ["expected_calibration_error"]}, [], "put a metric first for which higher is better"),
        ({"metrics": ["pearson"]}, [], "metrics names 'pearson' (it is for the kind score), expected some of: accuracy"),
        ({"range": [0, 5]}, [], "range is for the kind 'score', not for 'pair': leave it out"),
        ({"kind": "score_pair"}, [], "a score of two texts is of the kind 'score', with two text_columns"),
        ({"label_column": ["a", "b"]}, [], "expected one name; several columns are label_columns"),
        ({"label_columns": ["a", "b"]}, [], "label_columns are for the kind 'multi_label'"),
        ({"label_columns": ["a"], "kind": "multi_label", "text_columns": ["a"]}, ["label_column"], "names 1, expected one"),
        ({"label_columns": ["a", "b"], "kind": "multi_label"}, [], "instead of label_column: leave one of them out"),
        ({"kind": "score"}, [], "labels are ['no', 'yes'], expected one name for the kind 'score'"),
        (SCORE | {"range": [5, 0]}, [], "range is [5, 0], expected the lowest and the highest number: [0, 5]"),
        (SCORE | {"range": [0, "5"]}, [], "range is [0, '5'], expected"),
        (SCORE | {"range": 5}, [], "range is 5, expected a list"),
        (SCORE | {"metrics": ["mse"]}, [], "metrics begins with mse; put a metric first for which higher is better"),
        (
            {"kind": "tokens", "labels": ["B-a", "I-a"]},
            [],
            "labels are B-a, I-a, but there is no O for words outside of entities",
        ),
        (
            {"kind": "tokens", "labels": ["O", "B-a", "b"]},
            [],
            "but b is neither O nor B-TYPE nor I-TYPE; expected the IOB format",
        ),
        ({"version": "1"}, [], "version is '1', expected a whole number >= 1"),
    ],
)
def test_mistakes_in_a_task_file_are_named(tmp_path, changes, without, said):
    file = write(tmp_path, changes, without=without)
    with pytest.raises(InputError) as caught:
        read_task(file)
    assert said in str(caught.value) and str(caught.value).startswith(f"{file}: ")


def test_labels_of_a_task_are_what_is_written(tmp_path):
    file = write(tmp_path)
    text = file.read_text().replace("- 'no'", "- no").replace("- 'yes'", "- 010")
    assert "- no\n" in text and "- 010\n" in text
    file.write_text(text)
    assert read_task(file).labels == ("no", "010")


def test_a_task_reads_its_pairs_from_beside_its_file_or_from_elsewhere(tmp_path):
    found = read_task(write(tmp_path))
    data = task_data(found)
    assert data.texts == [row["a"] for row in ROWS] and data.text_pairs == [row["b"] for row in ROWS]
    assert describe(data, found) == {"rows": 10, "classes": {"no": 5, "yes": 5}}
    elsewhere = tmp_path / "elsewhere.csv"
    elsewhere.write_text("a,b,same\nx,y,yes\nz,w,no\n")
    assert task_data(found, str(elsewhere)).labels == [1, 0]
    assert len(task_data(found, limit=7)) == 7


def test_tasks_of_each_kind_are_read_and_described(tmp_path):
    rows = [{"a": f"text {i}", "b": f"other {i}", "same": i / 2, "x": i % 2, "y": 1} for i in range(10)]
    found = read_task(write(tmp_path, SCORE | {"range": [0, 5]}, rows))
    assert found.range == (0, 5)
    assert describe(task_data(found), found) == {"rows": 10, "lowest": 0.0, "mean": 2.25, "highest": 4.5}
    labels = {"kind": "multi_label", "text_columns": ["a"], "label_columns": ["x", "y"], "metrics": ["micro_f1"]}
    found = read_task(write(tmp_path, labels, rows, without=["label_column"]))
    data = task_data(found)
    assert data.labels == [[i % 2, 1] for i in range(10)]
    assert describe(data, found) == {"rows": 10, "classes": {"no": 5, "yes": 10}}
    rows = [{"a": ["Ann", "went"], "same": ["B-per", "O"]}, {"a": ["so"], "same": ["O"]}]
    tags = {"kind": "tokens", "text_columns": ["a"], "labels": ["O", "B-per", "I-per"], "metrics": ["entity_f1"]}
    found = read_task(write(tmp_path, tags, rows))
    assert describe(task_data(found), found) == {"rows": 2, "words": 3, "entities": {"per": 1}}


@pytest.mark.parametrize(
    "changes, value, said",
    [
        (SCORE, 2.0, "all 3 rows have the score 2, which cannot measure a classifier; give data of at least two scores"),
        ({"kind": "multi_label", "text_columns": ["a"], "metrics": ["micro_f1"]}, ["yes"], "have the labels yes, which"),
        ({"kind": "multi_label", "text_columns": ["a"], "metrics": ["micro_f1"]}, [], "have no label, which cannot"),
    ],
)
def test_data_of_one_label_alone_is_refused(tmp_path, changes, value, said):
    found = read_task(write(tmp_path, changes, [{"a": "x", "b": "y", "same": value}] * 3))
    with pytest.raises(InputError) as caught:
        task_data(found)
    assert said in str(caught.value)


def test_the_hub_is_asked_for_configuration_split_and_revision(tmp_path, monkeypatch):
    changes = {"data": "owner/name", "config": "part", "revision": "abc", "split": "dev", "label_column": "label"}
    hub(monkeypatch, declared(["no", "yes"], [0, 1], a=["x", "y"], b=["z", "w"]))
    assert task_data(read_task(write(tmp_path, changes))).labels == [0, 1]
    assert ASKED == ["owner/name", "part", {"split": "dev", "revision": "abc"}]


@pytest.mark.parametrize(
    "rows, limit, said",
    [
        ([], 0, "holds no rows"),
        ([row | {"same": 1} for row in ROWS], 0, "all 10 rows have the class 'yes'"),
        (ROWS, 1, "all 1 rows drawn have the class"),
        ([{"a": "x", "same": 1}], 0, "has no column 'b'"),
        ([{"a": "x", "b": "y", "sama": 1}], 0, "has no column 'same', only a, b, sama. Did you mean 'sama'?"),
        ([ROWS[0], ROWS[1] | {"same": 2}], 0, "row 2: column 'same' holds 2, expected 0 to 1 or one of no, yes"),
    ],
)
def test_data_that_cannot_be_measured_on_is_refused(tmp_path, rows, limit, said):
    found = read_task(write(tmp_path, rows=rows))
    with pytest.raises(InputError) as caught:
        task_data(found, limit=limit)
    assert said in str(caught.value)


def test_class_names_of_the_data_are_held_against_the_task_s(monkeypatch):
    hub(monkeypatch, declared(["positive", "negative"], [0, 1], text=["x", "y"]))
    assert task_data(task()).labels == [1, 0]  # by their names
    hub(monkeypatch, declared(["negative", "good"], [0, 1], text=["x", "y"]))
    with pytest.raises(InputError, match="has the classes negative, good, the task mood negative, positive; write"):
        task_data(task())
    for names in (["Negative", "POSITIVE"], ["neg", "pos"]):
        hub(monkeypatch, declared(names, [0, 1], text=["x", "y"]))
        assert task_data(task()).labels == [0, 1]


def test_the_only_output_of_a_model_of_scores_needs_no_name():
    score = Task("near", "score", ("similarity",), "x", ("a", "b"), "score", ("pearson",), 1)
    assert match_labels(["LABEL_0"], score, "m") is None and match_labels(["whatever"], score, "m") is None
    with pytest.raises(InputError, match="m predicts 2 classes"):
        match_labels(["a", "b"], score, "m")


def test_class_names_of_a_model_are_held_against_the_task_s():
    assert match_labels(["NEGATIVE", "Positive"], task(), "m") is None
    for names in (["LABEL_0", "LABEL_1"], ["0", "1"]):
        assert "only numbers its classes; they are taken to be negative, positive" in str(match_labels(names, task(), "m"))
        with pytest.raises(
            InputError, match="only numbers its classes, and the data numbers them positive, negative, the task"
        ):
            match_labels(names, task(), "m", ["positive", "negative"])
        assert match_labels(names, task(), "m", ["no", "yes"]) and match_labels(names, task(), "m", ["negative", "positive"])
    for names, said in (
        (["positive", "negative"], r"\(positive, negative\), .* \(negative, positive\): the same names in another order"),
        (["bad", "good"], r"m predicts 2 classes \(bad, good\), the task mood has 2 \(negative, positive\)"),
        (["LABEL_0", "LABEL_1", "LABEL_2"], "3 classes .* has 2"),
        (["LABEL_1", "LABEL_0"], "LABEL_1, LABEL_0"),
    ):
        with pytest.raises(InputError, match=said):
            match_labels(names, task(), "m")
