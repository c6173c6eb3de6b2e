"""Metrics of a model, recomputed by hand from its predictions."""

import math

import numpy as np
import pytest
import torch

from distill.common.seeding import random_generator
from eval.classifiers.measures import measure, pairs
from eval.data.labelled import EvaluationData

LABELS = [0, 1, 2] * 40
DATA = EvaluationData(["text"] * 120, LABELS)


def predictions(counter, boost):
    """Random answers that lean towards the labels."""
    logits = torch.randn(120, 3, generator=random_generator(0, "answers", counter))
    logits[torch.arange(120), torch.tensor(LABELS)] += boost
    return logits.log_softmax(1)


def test_every_figure_lies_within_its_interval_and_equals_its_definition():
    student, teacher = predictions(1, 1.0), predictions(2, 2.5)
    found = measure(student, DATA, ["accuracy", "macro_f1", "expected_calibration_error"], teacher)
    p, q, labels = student.double().exp().numpy(), teacher.double().exp().numpy(), np.array(LABELS)
    accuracy, taught = (p.argmax(1) == labels).mean(), (q.argmax(1) == labels).mean()
    expected = {
        "accuracy": accuracy,
        "agreement": (p.argmax(1) == q.argmax(1)).mean(),
        "kl": (q * np.log(q / p)).sum(1).mean(),
        "retention": accuracy / taught,
    }
    assert list(found) == ["accuracy", "macro_f1", "expected_calibration_error", "agreement", "kl", "retention"]
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value, rel=1e-9), name
    for name, figure in found.items():  # resampling adds calibration error, so its interval may lie above its value
        assert figure["low"] < figure["high"] and (figure["low"] < figure["value"] or "calibration" in name), name
        assert figure["value"] < figure["high"], name


def test_without_a_teacher_there_is_nothing_to_compare_with():
    assert set(measure(predictions(1, 1.0), DATA, ["accuracy"])) == {"accuracy"}
    assert measure(predictions(1, 1.0), DATA, ["accuracy"]) == measure(predictions(1, 1.0), DATA, ["accuracy"], seed=0)


def test_a_teacher_s_missing_answers_are_left_out_of_agreement_and_kl():
    student, teacher = predictions(1, 1.0), predictions(2, 2.5)
    teacher[:60] = math.nan
    found = measure(student, DATA, ["accuracy"], teacher)
    half = measure(student[60:], EvaluationData(["text"] * 60, LABELS[60:]), ["accuracy"], teacher[60:])
    for name in ("agreement", "kl"):
        assert found[name]["value"] == pytest.approx(half[name]["value"]) and found[name]["high"] > found[name]["low"]


def test_a_metric_of_the_hub_has_no_interval():
    class Metric:
        def compute(self, predictions, references):
            return {"right": sum(p == r for p, r in zip(predictions, references, strict=True))}

    found = measure(predictions(1, 9.0), DATA, ["accuracy"], hub={"hub:right": Metric()})["hub:right"]
    assert found["value"] > 100 and math.isnan(found["low"]) and math.isnan(found["high"])


def test_metrics_of_the_hub_that_call_their_result_alike_are_all_shown():
    class Metric:
        def __init__(self, value):
            self.value = value

        def compute(self, predictions, references):
            return {"score": self.value}

    found = measure(predictions(1, 9.0), DATA, ["accuracy"], hub={"hub:a": Metric(1), "hub:other/b": Metric(2)})
    assert (found["hub:score"]["value"], found["hub:other/b score"]["value"]) == (1, 2)


def test_each_pair_of_students_is_tested_once():
    tests = pairs({"a": predictions(1, 1.0), "b": predictions(2, 4.0), "c": predictions(2, 4.0)}, DATA, "accuracy")
    assert [(test["first"], test["second"]) for test in tests] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert tests[0]["second_only"] > tests[0]["first_only"] and tests[0]["p"] < 0.01
    assert (tests[2]["first_only"], tests[2]["second_only"], tests[2]["p"]) == (0, 0, 1.0)
