"""What people's first functions answer: it is read as they mean it, and said, or the message says what to return."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill.common.errors import InputError
from distill.kinds.reading import log_odds, log_probabilities
from distill.teachers.callable_teacher import CallableTeacher
from distill.teachers.functions.answers import describe, names_in, read_answer, read_numbers
from distill.teachers.functions.importing import function_file, import_function
from distill.teachers.loading import load_teacher

MODULE = """
import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

rows, names = ["good film", "bad film", "long film"] * 4, ["pos", "neg", "dull"] * 4
clf = make_pipeline(CountVectorizer(), LogisticRegression()).fit(rows, names)
svm = make_pipeline(CountVectorizer(), LinearSVC()).fit(rows, names)
two = make_pipeline(CountVectorizer(), RidgeClassifier()).fit(rows[:2], names[:2])
class Top:
    def __init__(self): self.classes_ = np.array(["neg", "pos"])
    def predict(self, texts): return np.array(["pos" if "good" in t else "neg" for t in texts])
top = Top()

def share(t): return (len(t) % 7 + 1) / 10
def probabilities(texts): return [[1 - share(t), share(t)] for t in texts]
def array(texts): return np.array(probabilities(texts))
def column(texts): return [share(t) for t in texts]
def wide_column(texts): return array(texts)[:, 1:]
def percent(texts): return (100 * array(texts)).tolist()
def whole_percent(texts): return (100 * array(texts)).round().astype(int)
def logs(texts): return np.log(array(texts))
def dictionaries(texts): return [[{"label": "pos", "score": b}, {"label": "neg", "score": a}] for a, b in probabilities(texts)]
def by_name(texts): return [{"pos": b, "neg": a} for a, b in probabilities(texts)]
def best(texts): return [max(row, key=lambda item: item["score"]) for row in dictionaries(texts)]
def nested_best(texts): return [[row] for row in best(texts)]
def one(text): return probabilities([text.strip()])[0]
def one_number(text): return share(text.strip())
def one_dictionary(text): return {"label": "pos", "score": share(text.strip())}
def one_list(text): return dictionaries([text.strip()])[0]
def tops(texts): return ["pos" if share(t) > 0.35 else "neg" for t in texts]
def one_top(text): return tops([text.strip()])[0]
def positions(texts): return [len(t) % 3 for t in texts]
def decisions(texts): return [[2.0, -1.0]] * len(texts)
def margins(texts): return [2.5] * len(texts)
def matrix(texts): return [[[0.5, 0.5]]] * len(texts)
def text(texts): return "positive"
class Teacher:
    def ask(self, texts): return probabilities(texts)
    labels = ["neg", "pos"]
mine, table = Teacher(), {"a": 1}
"""

TEXTS = ["good film", "bad", "a long film", "the film was good"] * 2
EXPECTED = [[1 - (len(t) % 7 + 1) / 10, (len(t) % 7 + 1) / 10] for t in TEXTS]


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.delitem(sys.modules, "mine", raising=False)


def asked(name: str, labels: list[str] | None = None) -> tuple[CallableTeacher, np.ndarray]:
    teacher = load_teacher(f"mine:{name}", labels=labels)
    assert isinstance(teacher, CallableTeacher)
    return teacher, teacher(TEXTS).exp().numpy()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("probabilities", ""),
        ("array", ""),
        ("mine.ask", ""),
        ("column", "its one column is read as the probability of 'pos'"),
        ("wide_column", "its one column"),
        ("percent", "read as percentages"),
        ("whole_percent", "read as percentages"),
        ("logs", "logarithms"),
        ("dictionaries", "dictionaries of label and score"),
        ("best", "names one label and its score"),
        ("nested_best", "names one label and its score"),
        ("one", "takes one text at a time"),
        ("one_number", "takes one text at a time"),
        ("one_dictionary", "takes one text at a time"),
        ("one_list", "takes one text at a time"),
    ],
)
def test_what_has_one_meaning_is_understood_and_said(name: str, said: str, caplog: pytest.LogCaptureFixture) -> None:
    teacher, answers = asked(name, ["neg", "pos"])
    np.testing.assert_allclose(answers, EXPECTED, atol=1e-6)
    assert said in caplog.text and teacher.queries == len(TEXTS) and teacher.invalid == 0
    assert teacher.source_files()[0].name == "mine.py"  # so that its answers are kept between runs


@pytest.mark.parametrize(
    ("name", "method"), [("clf", "predict_proba"), ("svm", "decision_function"), ("two", "decision_function")]
)
def test_classifiers_of_scikit_learn(name: str, method: str, caplog: pytest.LogCaptureFixture) -> None:
    teacher, answers = asked(name)
    model = getattr(sys.modules["mine"], name)
    assert teacher.labels == list(model.classes_) and teacher.queries == len(TEXTS)
    assert f"its {method} is asked" in caplog.text
    assert [teacher.labels[i] for i in answers.argmax(1)] == list(model.predict(TEXTS))
    np.testing.assert_allclose(asked(f"{name}.{method}")[1], answers)
    if method == "predict_proba":
        np.testing.assert_allclose(answers, model.predict_proba(TEXTS), rtol=1e-5)
        np.testing.assert_allclose(asked("clf.predict_log_proba")[1], answers, rtol=1e-5)
    with pytest.raises(InputError, match="answers in the order .*; leave them out"):
        asked(name, teacher.labels[::-1])


@pytest.mark.parametrize(
    ("name", "labels"), [("top", None), ("top.predict", None), ("tops", ["neg", "pos"]), ("one_top", ["neg", "pos"])]
)
def test_names_become_smoothed_rows(name: str, labels: list[str] | None, caplog: pytest.LogCaptureFixture) -> None:
    teacher, answers = asked(name, labels)
    assert teacher.labels == ["neg", "pos"]
    np.testing.assert_allclose(np.sort(answers, axis=1), [[0.1, 0.9]] * len(TEXTS), rtol=1e-5)
    assert "names the likeliest class only; that class gets 90%" in caplog.text


def test_numbers_of_classes() -> None:
    counted, _, note = read_answer([2, 0, 1], 3, ["a", "b", "c"])
    assert counted is not None and counted.argmax(1).tolist() == [2, 0, 1] and "positions of classes" in note
    named, _, note = read_answer([2, 3, 1], 3, ["1", "2", "3"])  # names win over positions
    assert named is not None and named.argmax(1).tolist() == [1, 2, 0] and "likeliest class" in note


def test_whole_numbers_are_names_where_classes_are_called_by_numbers() -> None:
    stars = ["1", "2", "3", "4", "5"]
    for said in ([1, 2, 3, 4], [5, 1, 1, 1], [1.0, 2.0, float("nan"), 9.0]):
        rows, _, note = read_answer(said, 4, stars)
        assert rows is not None and "read as names, not as positions" in note
        assert [row.argmax() + 1 for row in rows if np.isfinite(row).all()] == [
            value for value in said if value in range(1, 6)
        ]
    with pytest.raises(InputError, match="0 is the position of one and no name"):
        read_answer([1, 2, 0, 4], 4, stars)
    hard, _, _ = read_answer([0, 1], 2, ["0", "1"])
    assert hard is not None and hard[0].tolist() == pytest.approx([0.9, 0.1])
    for said in ([0.0, 1.0], [0.25, 1.0]):  # a column of probabilities stays one where it is sure of all texts
        sure, _, note = read_answer(said, 2, ["0", "1"])
        assert sure is not None and sure[:, 1].tolist() == said and "one column" in note


@pytest.mark.parametrize("form", ["percent", "whole_percent", "logs", "dictionaries", "best", "tops", "positions"])
@pytest.mark.parametrize("odd", [None, [0, 0], [1.0, 0.0], "none of them", -1])
def test_one_odd_row_does_not_spoil_the_others(form: str, odd: Any) -> None:
    labels = ["neg", "pos", "dull"] if form == "positions" else ["neg", "pos"]
    answer = list(import_function(f"mine:{form}")(TEXTS))
    expected = read_answer(answer, len(TEXTS), labels)[0]
    if form == "positions" and isinstance(odd, list | str):
        return  # no array of numbers
    answer[3] = odd
    rows, problem, _ = read_answer(answer, len(TEXTS), labels)
    assert rows is not None and expected is not None
    used, _ = log_probabilities(rows)
    assert used.isnan().any(1).tolist() == [number == 3 for number in range(len(TEXTS))]
    np.testing.assert_allclose(np.delete(rows, 3, 0), np.delete(expected, 3, 0))
    assert problem


def test_the_form_of_rows_is_that_of_most_so_far() -> None:
    seen: Counter[str] = Counter()
    read_answer([[30.0, 70.0]] * 4, 4, ["a", "b"], seen=seen)
    rows, problem, _ = read_answer([[1.0, 0.0]], 1, ["a", "b"], seen=seen)
    assert rows is not None and log_probabilities(rows)[0].isnan().all() and "no percentages" in problem


def test_names_decide_over_the_order_of_columns() -> None:
    import pandas as pd

    table = pd.DataFrame({"pos": [0.25, 0.75], "neg": [0.75, 0.25], "length": [1, 2]})
    for labels in (["neg", "pos"], ["NEG", "Pos"]):
        rows, problem, _ = read_answer(table, 2, labels)
        assert rows is not None and rows.tolist() == [[0.75, 0.25], [0.25, 0.75]] and not problem
    rows, _, note = read_answer(table[["pos", "neg"]], 2, ["bad", "good"])
    assert rows is not None and rows[0].tolist() == [0.25, 0.75] and "read in the order of the classes" in note
    assert read_answer(table[["pos", "neg"]], 2, ["pos", "other"])[:2] == (
        None,
        "columns ['pos', 'neg'] instead of ['pos', 'other']",
    )
    assert names_in(table[["pos", "neg"]], 2) == ["pos", "neg"]
    column = pd.Series(["pos", "neg"])
    rows = read_answer(column, 2, ["neg", "pos"])[0]
    assert rows is not None and rows.argmax(1).tolist() == [1, 0]


def test_numbered_and_own_names_stand_for_the_given_ones() -> None:
    for names in (["LABEL_0", "LABEL_1"], ["old", "new"], ["BAD", "GOOD"]):
        said = [[{"label": names[1], "score": 0.75}, {"label": names[0], "score": 0.25}]]
        rows, problem, _ = read_answer(said, 1, ["bad", "good"], known=["old", "new"])
        assert rows is not None and rows.tolist() == [[0.25, 0.75]] and not problem
        named = read_answer([names[1]], 1, ["bad", "good"], known=["old", "new"])[0]
        assert named is not None and named.argmax() == 1
    swapped = read_answer([{"LABEL_0": 0.75, "LABEL_1": 0.25}], 1, ["LABEL_1", "LABEL_0"])[0]
    assert swapped is not None and swapped.tolist() == [[0.25, 0.75]]  # a name that is given is meant


def test_several_labels_need_all_their_scores() -> None:
    rows, problem, _ = read_numbers([[{"label": "a", "score": 0.75}]] * 2, 2, ["a", "b", "c"])
    assert rows is None and "1 scores instead of 3 (top_k=None gives those of all labels)" in problem
    rows, _, _ = read_numbers([{"a": 0.75, "b": 0.5, "c": 0.25}, None], 2, ["a", "b", "c"])
    assert rows is None or rows[0].tolist() == [0.75, 0.5, 0.25]


@pytest.mark.parametrize(
    "answer", [[{"label": "a", "score": [0.9]}] * 2, [[10**400, 0]] * 2, torch.empty(2, 2, device="meta"), [{"a": {}}] * 2]
)
def test_what_is_no_number_is_unusable_and_nothing_worse(answer: Any) -> None:
    assert read_answer(answer, 2, ["a", "b"])[0] is None
    assert read_numbers(answer, 2, ["a", "b"])[0] is None


@pytest.mark.parametrize("labels", [None, ["a", "b"], ["a", "b", "c"], ["1", "2"]])
def test_a_call_without_any_answer_is_called_so(labels: list[str] | None) -> None:
    for answer in ([None, None], [float("nan")] * 2):
        assert read_answer(answer, 2, labels)[:2] == (None, "no answer to any text")
    assert describe([None, None]) == "None for each text"


def test_numbers_that_an_array_hides_are_not_read() -> None:
    rows = read_answer(np.ma.array([[0.25, 0.75], [0.5, 0.5]], mask=[[0, 0], [0, 1]]), 2, ["a", "b"])[0]
    assert rows is not None and np.isnan(rows).tolist() == [[False, False], [False, True]]


@pytest.mark.parametrize("kind", ["dictionaries", "by_name", "best", "tops"])
def test_classes_that_answers_name_are_learnt(kind: str) -> None:
    if kind in ("best", "tops"):
        with pytest.raises(InputError, match="give --teacher_labels"):
            load_teacher(f"mine:{kind}")
        return
    teacher, answers = asked(kind)
    assert teacher.labels == ["neg", "pos"] and teacher.queries == len(TEXTS) + 1
    np.testing.assert_allclose(answers, EXPECTED, atol=1e-6)


def test_labels_of_dictionaries_are_learnt() -> None:
    rows, problem, _ = read_answer([[{"label": "b", "score": 0.2}, {"label": "a", "score": 0.8}]], 1, None)
    assert rows is not None and rows.tolist() == [[0.8, 0.2]] and problem == ""


def test_a_pipeline_of_transformers(bert_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    from transformers import pipeline

    from distill.teachers.transformers_teacher import TransformersTeacher

    whole = TransformersTeacher(bert_folder, "cpu")
    piped = pipeline("text-classification", str(bert_folder), device="cpu")
    teacher, texts = CallableTeacher(piped), ["boat and cow", "cow"]
    assert teacher.labels == whole.labels and "a pipeline of transformers" in caplog.text
    torch.testing.assert_close(teacher(texts), whole(texts), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(teacher(texts, ["a", "b"]), whole(texts, ["a", "b"]), rtol=1e-4, atol=1e-5)
    by_hand = CallableTeacher(lambda rows: piped(rows), whole.labels)
    assert by_hand(texts).argmax(1).tolist() == whole(texts).argmax(1).tolist()


@pytest.mark.parametrize(
    ("spec", "labels", "message"),
    [
        ("mine:decisions", "ab", r"sum 1, such as \[ 2. -1.\]"),
        ("mine:margins", "ab", "decision values: return sigmoid of them"),
        ("mine:column", "abc", "one number per text, but there are 3 classes"),
        ("mine:matrix", "ab", r"it returned an array of shape \(64, 1, 2\): return an array of shape"),
        ("mine:text", "ab", "such as 'positive': return an array"),
        ("mine:tops", "ab", "which is none of"),
        ("mine:Teacher", "ab", "is a class; make an object of it"),
        ("mine:mine", "ab", "type Teacher; expected a function"),
        ("mine:table", "ab", "type dict; expected a function"),
        ("mine:clf.predict_prob", "ab", "no function 'predict_prob'. Did you mean 'predict_proba'"),
        ("mine:clff", "ab", "no function 'clff'. Did you mean 'clf'"),
        ("none.py:clf", "ab", "file none.py does not exist"),
        ("mine:tops", None, "give --teacher_labels"),
    ],
)
def test_what_is_not_understood_says_what_to_return(spec: str, labels: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_teacher(spec, labels=None if labels is None else list(labels))(["a text"] * 64)
    assert "\n" not in str(caught.value)


def test_a_file_as_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    spec = f"{tmp_path / 'mine.py'}:clf"
    teacher = load_teacher(spec)
    assert isinstance(teacher, CallableTeacher) and teacher.path == spec
    assert teacher.source_files()[0] == function_file(spec) == (tmp_path / "mine.py").resolve()
    assert function_file("none.py:clf") is None
    (tmp_path / "broken.py").write_text("x = (")
    with pytest.raises(InputError, match="cannot be imported .SyntaxError"):
        load_teacher(f"{tmp_path / 'broken.py'}:x")


@given(
    st.lists(st.floats(0.001, 1), min_size=2, max_size=20), st.integers(1, 6), st.sampled_from([np.float64, np.float32])
)  # fmt: skip
def test_a_rounded_answer_is_always_used(weights: list[float], decimals: int, kind: Any) -> None:
    row = np.array(weights) / sum(weights)
    rounded = row.round(decimals).astype(np.float64).astype(kind).astype(np.float64)
    predictions, problem = log_probabilities(rounded[None])
    far = abs(rounded.sum() - 1) > 0.25  # nothing is left of many small numbers
    assert far or predictions.isfinite().all(), (rounded, problem)


def test_a_rest_that_float32_puts_below_zero_is_zero() -> None:
    np.testing.assert_allclose(log_probabilities(np.array([[1.0000001, -1.1e-7]]))[0].exp(), [[1, 0]], atol=1e-6)
    assert log_odds(np.array([[1.0000001, -1.1e-7]]))[0].isfinite().all()
    assert log_probabilities(np.array([[1.001, -0.001]]))[0].isnan().all()


@pytest.mark.parametrize(
    "row", [[0.6, 0.6], [0.0, 0.0], [1.0, 1.0], [1.0, 1.0, 0.0], [0.5001, 0.51], [2.0, -1.0], [0.9, 0.8, 0.7], [0.123456, 0.9]]
)
def test_what_rounding_does_not_explain_is_dropped(row: list[float]) -> None:
    assert log_probabilities(np.array([row]))[0].isnan().all()


def test_dropped_answers_are_named_at_once(caplog: pytest.LogCaptureFixture) -> None:
    teacher = CallableTeacher(lambda texts: [[0.5, 0.5] if "ok" in t else [0.9, 0.9] for t in texts], ["a", "b"])
    teacher(["ok"] * 10)
    assert not caplog.text
    teacher(["ok", "bad"])
    assert "1 of 2 answers cannot be used and are dropped: rows that are not finite, non-negative and of sum 1" in caplog.text
    teacher(["bad"])
    assert caplog.text.count("are dropped") == 1


def test_answers_are_described_in_few_words() -> None:
    assert describe([["x" * 500]]) == "a list of 1 items such as ['" + "x" * 78
    assert describe(object()).startswith("a object such as <object")
