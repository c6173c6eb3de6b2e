"""Intervals against a bootstrap that calls the metrics themselves, and McNemar's test against counted coin tosses."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.classifiers import resampling
from eval.classifiers.metrics.classes import Accuracy, ExpectedCalibrationError, MacroF1, MatthewsCorrelation
from eval.classifiers.resampling import calibration_tally, intervals, label_tallies, mcnemar, mean_tally

METRICS = {"accuracy": Accuracy(), "macro_f1": MacroF1(), "matthews_correlation": MatthewsCorrelation()}


def predictions(rows, classes, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    choices = np.where(random.random(rows) < 0.7, labels, random.integers(-1, classes, rows))
    return choices, labels, random.dirichlet(np.ones(classes), rows)


def value(tally, rows):
    return float(tally.finish(tally.sums(rows[None]))[0])


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 60), st.integers(2, 5), st.integers(0, 10**6))
def test_sums_give_what_the_metrics_give_on_any_draw(rows, classes, seed):
    choices, labels, probabilities = predictions(rows, classes, seed)
    drawn = np.random.default_rng(seed).integers(rows, size=rows)
    for name, tally in label_tallies(choices, labels, classes).items():
        (expected,) = METRICS[name].compute(predictions=choices[drawn], references=labels[drawn]).values()
        assert value(tally, drawn) == pytest.approx(expected, abs=1e-12), name
    probabilities[:: 1 + seed % 4] = np.nan
    (expected,) = ExpectedCalibrationError().compute(predictions=probabilities[drawn], references=labels[drawn]).values()
    assert value(calibration_tally(probabilities, labels), drawn) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_intervals_are_those_of_a_plain_bootstrap(monkeypatch):
    monkeypatch.setattr(resampling, "DRAWN_AT_ONCE", 200 * 64)  # in portions
    choices, labels, probabilities = predictions(200, 3)
    found = intervals(label_tallies(choices, labels, 3) | {"mean": mean_tally(probabilities[:, 0])})
    random = np.random.default_rng(1)
    plain = {"accuracy": [], "macro_f1": [], "mean": []}
    for _ in range(1000):
        rows = random.integers(200, size=200)
        chosen, true = choices[rows], labels[rows]
        f1 = [2 * ((chosen == k) & (true == k)).sum() / ((chosen == k).sum() + (true == k).sum()) for k in range(3)]
        plain["accuracy"].append((chosen == true).mean())
        plain["macro_f1"].append(np.mean(f1))
        plain["mean"].append(probabilities[rows, 0].mean())
    for name, values in plain.items():
        low, high = found[name]
        assert (low, high) == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.15 * (high - low)), name


def test_accuracy_s_interval_is_as_wide_as_the_normal_one():
    labels = np.arange(2000) % 2
    choices = np.where(np.arange(2000) % 10 < 8, labels, 1 - labels)
    low, high = intervals(label_tallies(choices, labels, 2))["accuracy"]
    half = 1.96 * math.sqrt(0.8 * 0.2 / 2000)
    assert (low, high) == pytest.approx((0.8 - half, 0.8 + half), abs=half / 5)


def test_a_ratio_is_taken_on_the_same_draws():
    choices, labels, _ = predictions(300, 2)
    good = label_tallies(labels, labels, 2)["accuracy"]
    same = label_tallies(choices, labels, 2)["accuracy"]
    found = intervals({"a": same, "b": same, "all": good}, {"itself": ("a", "b"), "of all": ("a", "all")})
    assert found["itself"] == (1.0, 1.0)
    assert found["of all"] == found["a"]
    apart = intervals({"a": same, "all": good}, differences={"a less all": ("a", "all")})["a less all"]
    assert apart == pytest.approx((found["a"][0] - 1, found["a"][1] - 1)) and apart[1] < 0


def test_the_seed_decides_the_draws():
    tallies = label_tallies(*predictions(100, 3)[:2], 3)
    assert intervals(tallies, seed=3) == intervals(tallies, seed=3) != intervals(tallies, seed=4)


def test_there_are_a_thousand_draws_however_many_fit_into_memory(monkeypatch):
    choices, labels, _ = predictions(50, 3)
    drawn = []
    seen = mean_tally((choices == labels).astype(float))
    noting = resampling.Tally(seen.cells, seen.size, lambda sums: drawn.append(len(sums)) or seen.finish(sums), seen.weights)
    whole = intervals({"a": noting})
    monkeypatch.setattr(resampling, "DRAWN_AT_ONCE", 300 * 50)
    assert intervals({"a": noting}) == whole
    assert drawn == [1000, 300, 300, 300, 100]


def test_an_interval_that_is_not_defined_is_nan():
    labels = np.array([0, 1, 0, 1])
    none = label_tallies(np.full(4, -1), labels, 2)["accuracy"]
    found = intervals({"none": none, "missing": mean_tally(np.full(4, np.nan))}, {"ratio": ("none", "none")})
    assert found["none"] == (0.0, 0.0)
    assert all(math.isnan(end) for name in ("missing", "ratio") for end in found[name])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30))
def test_mcnemar_counts_coin_tosses(first_only, second_only):
    labels = np.zeros(first_only + second_only + 5, int)
    first, second = labels.copy(), labels.copy()
    second[:first_only] = 1
    first[first_only : first_only + second_only] = -1
    test = mcnemar(first == labels, second == labels)
    tosses, fewer = first_only + second_only, min(first_only, second_only)
    tail = sum(math.comb(tosses, k) for k in range(fewer + 1)) / 2**tosses
    assert (test.first_only, test.second_only) == (first_only, second_only)
    assert test.p == pytest.approx(min(1.0, 2 * tail)) and 0 < test.p <= 1
    assert mcnemar(second == labels, first == labels).p == test.p
