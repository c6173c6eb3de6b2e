"""Scores: correlations against numpy and scipy, on drawn rows too."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from distill.kinds.scores import Score
from eval.classifiers.agreement import compared
from eval.classifiers.kinds.scores import Scores
from eval.classifiers.measures import constant_answer, measure, pairs
from eval.classifiers.metrics.table import METRICS
from eval.classifiers.scoring import score, score_predictions
from eval.data.labelled import EvaluationData

ALL = list(METRICS["score"])


def data(labels, teacher=None):
    return EvaluationData(["text"] * len(labels), list(labels), teacher, kind="score", names=["similarity"])


def sample(rows, seed=0, noise=1.0):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 11, rows) / 2  # with ties
    return labels, torch.tensor(labels + noise * random.normal(size=rows), dtype=torch.float32).round(decimals=1)[:, None]


@settings(max_examples=6, deadline=None)
@given(st.integers(2, 40), st.integers(0, 10**6))
def test_values_and_their_tallies_equal_the_definitions_on_any_draw(rows, seed):
    labels, given = sample(rows, seed)
    drawn = np.random.default_rng(seed).integers(rows, size=rows)
    x, y = given[drawn, 0].double().numpy(), labels[drawn]
    ranks = [stats.rankdata(values) for values in (x, y)]
    varied = np.ptp(x) > 0 and np.ptp(y) > 0
    expected = {
        "pearson": np.corrcoef(x, y)[0, 1] if varied else 0.0,
        "spearman": np.corrcoef(*ranks)[0, 1] if varied else 0.0,
        "mse": np.mean((x - y) ** 2),
    }
    tallies = Scores().tallies(given, data(labels), ALL)
    for name, metric in METRICS["score"].items():
        (value,) = metric().compute(predictions=x, references=y).values()
        assert value == pytest.approx(expected[name], abs=1e-9), name
        assert tallies[name].finish(tallies[name].sums(drawn[None]))[0] == pytest.approx(value, abs=1e-9), name


def test_an_unusable_answer_is_left_out():
    labels, given = sample(50)
    given[::5] = math.nan
    kept = [row for row in range(50) if row % 5]
    some = score(None, data(labels, given)) | {"n": 40}
    assert some == pytest.approx(score(None, data(labels[kept], given[kept])))
    assert all(math.isnan(score(None, data([1.0, 2.0], torch.full((2, 1), math.nan)))[name]) for name in ALL)


def test_a_student_is_compared_with_its_teacher():
    labels, student = sample(200, 1, 1.5)
    _, teacher = sample(200, 1, 0.4)
    teacher[:20] = math.nan
    kind = Score(0, 5)
    found = measure(student, data(labels), ["pearson", "spearman"], teacher, teacher_kind=kind)
    p, q = student[20:, 0].double().numpy(), teacher[20:, 0].double().numpy()
    same = (np.floor(p.clip(0, 4.99)) == np.floor(q.clip(0, 4.99))).mean()  # fifths of 0 to 5
    assert found["agreement"]["value"] == pytest.approx(same)
    assert found["squared_distance"]["value"] == pytest.approx(np.mean((p - q) ** 2))
    whole = np.corrcoef(student[:, 0], labels)[0, 1]
    assert found["retention"]["value"] == pytest.approx(whole / np.corrcoef(q, labels[20:])[0, 1], rel=1e-6)
    for name, figure in found.items():
        assert figure["low"] < figure["value"] < figure["high"], name


@pytest.mark.parametrize("scale", [1, 20])
def test_the_range_of_the_labels_says_nothing_about_agreement(scale):
    labels, teacher = sample(300, 3)
    kind, teacher, student = Score(), teacher / 5, sample(300, 7)[1] / 5  # a regressor of 0 to 1, a student that knows nothing
    real = data(scale * labels, teacher)
    figure = score_predictions(student, real, teacher, kind)["agreement"]
    health = compared("evaluation texts", teacher, student, kind=kind)
    assert figure == pytest.approx(health["agreement"]) and figure < 0.5
    without = score_predictions(student, real, teacher)["agreement"]  # the range of the teacher's answers
    ends = Score(float(teacher.min()), float(teacher.max()))
    assert without == pytest.approx(float((ends.decisions(student) == ends.decisions(teacher)).float().mean()))


def test_equal_answers_of_a_teacher_have_a_range_too():
    same = torch.full((4, 1), 0.5)
    assert score_predictions(same, data([1, 2, 3, 4]), same)["agreement"] == 1.0
    nothing = torch.full((4, 1), math.nan)
    assert math.isnan(score_predictions(same, data([1, 2, 3, 4]), nothing)["agreement"])


def test_two_students_are_compared_by_their_difference():
    labels, worse = sample(300, 1, 3.0)
    _, better = sample(300, 1, 0.5)
    (test,) = pairs({"a": worse, "b": better}, data(labels), "pearson")
    assert test["metric"] == "pearson" and test["low"] < test["difference"] < test["high"] < 0


def test_the_mean_is_what_can_be_had_without_reading():
    found = constant_answer(data([0.0, 1.0, 5.0]), ALL)
    assert found["answer"] == "always 2" and found["metrics"] == {"pearson": 0, "spearman": 0, "mse": pytest.approx(14 / 3)}
