"""Task files: every mistake in one is named, and class names are compared with the task's."""

import pytest

from distill.common.errors import InputError
from eval.data.tasks import Task, describe, match_labels, read_task, task_data
from tests.eval.task_files import ASKED, ROWS, declared, hub, write


def task(labels=("negative", "positive")):
    return Task("mood", "single", tuple(labels), "x", ("text",), "label", ("accuracy",), 1)


@pytest.mark.parametrize(
    "changes, without, said",
    [
        ({"lables": ["a", "b"]}, ["labels"], "unknown key 'lables'. Did you mean 'labels'?"),
        ({}, ["version"], "has no key 'version'"),
        ({"kind": "pairs"}, [], "kind is 'pairs', expected one of: single, pair"),
        ({"kind": "single"}, [], "text_columns are ['a', 'b'], expected 1 for the kind 'single'"),
        ({"labels": [["a"], "b"]}, [], "labels holds ['a'], expected text; put quotes around it"),
        ({"labels": ["a", "a"]}, [], "labels are ['a', 'a'], expected two or more different names"),
        ({"labels": "no"}, [], "labels is 'no', expected a list"),
        ({"data": True}, [], "data is True, expected text"),
        ({"metrics": ["acuracy"]}, [], "metrics names 'acuracy', expected some of: accuracy, macro_f1"),
        ({"metrics": ["acuracy"]}, [], "Did you mean 'accuracy'?"),
        ({"metrics": []}, [], "metrics is empty"),
        ({"metrics": ["expected_calibration_error"]}, [], "put a metric first for which higher is better"),
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
    with pytest.raises(InputError, match="numbers its classes positive, negative, the task mood negative, positive"):
        task_data(task())
    for names in (["Negative", "POSITIVE"], ["neg", "pos"]):
        hub(monkeypatch, declared(names, [0, 1], text=["x", "y"]))
        assert task_data(task()).labels == [0, 1]


def test_class_names_of_a_model_are_held_against_the_task_s():
    assert match_labels(["NEGATIVE", "Positive"], task(), "m") is None
    for names in (["LABEL_0", "LABEL_1"], ["0", "1"]):
        assert "only numbers its classes; they are taken to be negative, positive" in str(match_labels(names, task(), "m"))
    for names, said in (
        (["positive", "negative"], r"\(positive, negative\), .* \(negative, positive\): the same names in another order"),
        (["bad", "good"], r"m predicts 2 classes \(bad, good\), the task mood has 2 \(negative, positive\)"),
        (["LABEL_0", "LABEL_1", "LABEL_2"], "3 classes .* has 2"),
        (["LABEL_1", "LABEL_0"], "LABEL_1, LABEL_0"),
    ):
        with pytest.raises(InputError, match=said):
            match_labels(names, task(), "m")
