"""What people's first functions answer: it is read as they mean it, and said, or the message says what to return."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill.common.errors import InputError
from distill.kinds.reading import log_probabilities
from distill.teachers.callable_teacher import CallableTeacher, function_file
from distill.teachers.functions.answers import describe, read_answer
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
    assert teacher.source_file().name == "mine.py"  # so that its answers are kept between runs


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
    assert teacher.source_file() == function_file(spec) == (tmp_path / "mine.py").resolve()
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
