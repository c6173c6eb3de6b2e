"""Sets of labels: metrics against counts by hand, and intervals against the metrics on drawn rows."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.classifiers.kinds.label_sets import LabelSets
from eval.classifiers.measures import constant_answer, measure, pairs
from eval.classifiers.metrics.table import METRICS
from eval.classifiers.scoring import score
from eval.data.labelled import EvaluationData

NAMES = ["anger", "joy", "fear"]


def answers(rows, seed, boost=0.0, labels=None):
    logits = torch.randn(rows, 3, generator=torch.Generator().manual_seed(seed)) - 0.5
    return logits if labels is None else logits + boost * (2 * torch.tensor(labels) - 1)


def truth(rows, seed=0):
    return (np.random.default_rng(seed).random((rows, 3)) < 0.35).astype(int).tolist()


def data(labels, teacher=None):
    return EvaluationData(["text"] * len(labels), labels, teacher, kind="multi_label", names=NAMES)


def by_hand(given, true):
    """Micro F1, macro F1 over the labels that occur, and subset accuracy, from counts."""
    scores, total = [], np.zeros(3)
    for label in range(len(true[0])):
        pairs = [(g[label], t[label]) for g, t in zip(given, true, strict=True)]
        hit, extra, missed = pairs.count((1, 1)), pairs.count((1, 0)), pairs.count((0, 1))
        total += hit, extra, missed
        if hit + extra + missed:
            scores.append(2 * hit / (2 * hit + extra + missed))
    hit, extra, missed = total
    micro = 2 * hit / (2 * hit + extra + missed) if hit + extra + missed else 0.0
    whole = sum(list(g) == list(t) for g, t in zip(given, true, strict=True)) / len(true)
    return {"micro_f1": micro, "macro_f1": float(np.mean(scores)) if scores else 0.0, "subset_accuracy": whole}


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10**6))
def test_values_and_their_tallies_equal_the_definitions_on_any_draw(rows, seed):
    labels, given = truth(rows, seed), answers(rows, seed)
    drawn = np.random.default_rng(seed).integers(rows, size=rows)
    some = data([labels[row] for row in drawn])
    expected = by_hand((given[drawn] > 0).long().tolist(), some.labels)
    tallies = LabelSets().tallies(given, data(labels), list(METRICS["multi_label"]))
    for name, metric in METRICS["multi_label"].items():
        (value,) = metric().compute(predictions=(given[drawn] > 0).long().tolist(), references=some.labels).values()
        assert value == pytest.approx(expected[name], abs=1e-12), name
        assert tallies[name].finish(tallies[name].sums(drawn[None]))[0] == pytest.approx(value, abs=1e-12), name


def test_an_unusable_answer_gives_no_label_and_is_no_right_set():
    rows = torch.tensor([[9.0, -9.0, -9.0], [math.nan] * 3, [math.nan, 9.0, 9.0]])
    found = score_of(rows, [[1, 0, 0], [0, 0, 0], [0, 1, 0]])
    assert found == {"micro_f1": pytest.approx(2 / 3), "macro_f1": 0.5, "subset_accuracy": pytest.approx(1 / 3), "n": 3}


def test_the_tallies_take_an_unusable_answer_as_the_metrics_do():
    rows = torch.tensor([[math.nan] * 3, [9.0, 9.0, -9.0], [math.nan, 9.0, 9.0], [0.0, 9.0, -9.0]])
    some = data([[0, 0, 0], [1, 0, 0], [0, 1, 1], [0, 1, 0]])
    expected = {name: value for name, value in score(None, data(some.labels, rows)).items() if name != "n"}
    assert expected == by_hand([[0, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]], some.labels) | {"subset_accuracy": 0.25}
    drawn = np.arange(4)[None]  # an even chance is no label, and one that is never right counts
    for name, tally in LabelSets().tallies(rows, some, list(expected)).items():
        assert tally.finish(tally.sums(drawn))[0] == pytest.approx(expected[name]), name


def test_a_label_that_is_given_and_never_true_counts_as_wrong():
    assert METRICS["multi_label"]["macro_f1"]().compute(predictions=[[1, 1, 0]], references=[[1, 0, 0]]) == {"macro_f1": 0.5}


def score_of(rows, labels):
    return score(None, data(labels, rows))


def test_a_student_is_compared_with_its_teacher():
    labels = truth(200)
    student, teacher = answers(200, 1, 0.7, labels), answers(200, 2, 2.0, labels)
    teacher[:50] = math.nan
    found = measure(student, data(labels), ["micro_f1", "subset_accuracy"], teacher)
    p, q = student[50:].double().sigmoid().numpy(), teacher[50:].double().sigmoid().numpy()
    kl = (q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))).mean()
    assert found["agreement"]["value"] == pytest.approx(((p > 0.5) == (q > 0.5)).mean())
    assert found["kl"]["value"] == pytest.approx(kl)
    one, other = (by_hand((rows > 0).long().tolist(), labels)["micro_f1"] for rows in (student, teacher.nan_to_num(nan=-1)))
    assert found["retention"]["value"] == pytest.approx(one / other)
    for name, figure in found.items():
        assert figure["low"] < figure["value"] < figure["high"], name


def test_two_students_are_compared_by_their_difference():
    labels = truth(300)
    given = {"a": answers(300, 1, 0.3, labels), "b": answers(300, 2, 1.5, labels), "c": answers(300, 2, 1.5, labels)}
    first, _, same = pairs(given, data(labels), "micro_f1")
    values = {name: by_hand((rows > 0).long().tolist(), labels)["micro_f1"] for name, rows in given.items()}
    assert (first["first"], first["second"], first["metric"]) == ("a", "b", "micro_f1")
    assert first["difference"] == pytest.approx(values["a"] - values["b"]) and first["high"] < 0
    assert (same["difference"], same["low"], same["high"]) == (0, 0, 0)


def test_the_most_frequent_set_is_what_can_be_had_without_reading():
    found = constant_answer(data([[0, 1, 0], [0, 1, 0], [1, 0, 0], [0, 1, 1]]), ["micro_f1", "subset_accuracy"])
    assert found["answer"] == "always 'joy'"
    assert found["metrics"] == {"micro_f1": pytest.approx(2 * 3 / (4 + 5)), "subset_accuracy": 0.5}
    assert constant_answer(data([[0, 0, 0]]), ["micro_f1"]) == {"answer": "always no label", "metrics": {"micro_f1": 0.0}}


def test_a_single_label_is_scored_where_it_is_given_and_not_where_it_is_absent():
    labels = [[1], [1], [1], [0]]
    some = EvaluationData(["text"] * 4, labels, kind="multi_label", names=["toxic"])
    found = measure(torch.tensor([[2.0], [-2.0], [2.0], [-2.0]]), some, list(METRICS["multi_label"]))
    assert {name: value["value"] for name, value in found.items()} == pytest.approx(
        {"micro_f1": 0.8, "macro_f1": 0.8, "subset_accuracy": 0.75}
    )
    assert all(value["low"] <= value["value"] <= value["high"] for value in found.values())
    nothing = measure(torch.tensor([[-1.0]] * 2), data([[0]] * 2), ["micro_f1", "macro_f1"])
    assert [value["value"] for value in nothing.values()] == [0.0, 0.0]
