"""Metrics of classes, of a teacher and of the hub against a few lines of numpy, offline, in several processes at once."""

import math
import os
import subprocess
import sys

import evaluate
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.common.errors import InputError
from eval.classifiers.metrics.classes import Accuracy, ExpectedCalibrationError, MacroF1, MatthewsCorrelation
from eval.classifiers.metrics.hub import hub_metric, hub_metric_values
from eval.classifiers.metrics.teacher import Agreement, KLToTeacher, Retention

rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)
METRICS = {"accuracy": Accuracy(), "macro_f1": MacroF1(), "agreement": Agreement(), "mcc": MatthewsCorrelation()}


def confusion(predictions, references, classes=4):
    table = np.zeros((classes, classes))
    for p, r in zip(predictions, references, strict=True):
        table[r, p] += 1
    return table


@settings(max_examples=25, deadline=None)
@given(rows)
def test_metrics_equal_their_definitions(pairs):
    predictions, references = map(list, zip(*pairs, strict=True))
    table = confusion(predictions, references)
    n, right = table.sum(), np.trace(table)
    predicted, true, hits = table.sum(0), table.sum(1), np.diag(table)
    occurs = predicted + true > 0
    f1 = (2 * hits[occurs] / (predicted + true)[occurs]).mean()
    spread = np.sqrt(n**2 - (predicted**2).sum()) * np.sqrt(n**2 - (true**2).sum())
    correlation = (right * n - predicted @ true) / spread if spread else 0.0
    expected = {"accuracy": right / n, "macro_f1": f1, "agreement": right / n, "mcc": correlation}
    for name, metric in METRICS.items():
        (value,) = metric.compute(predictions=predictions, references=references).values()
        assert value == pytest.approx(expected[name], abs=1e-12), name


def test_batches_add_up_to_one_result():
    metric = Accuracy()
    assert isinstance(metric, evaluate.Metric)
    metric.add_batch(predictions=[0, 1], references=[0, 0])
    metric.add_batch(predictions=np.array([1, 1]), references=np.array([1, 1]))
    assert metric.compute() == {"accuracy": 0.75}
    assert metric.compute(predictions=[1], references=[1]) == {"accuracy": 1.0}


def test_an_unusable_answer_is_wrong_but_no_class_of_its_own():
    assert Accuracy().compute(predictions=[0, -1], references=[0, 1])["accuracy"] == 0.5
    assert MacroF1().compute(predictions=[0, -1], references=[0, 1])["macro_f1"] == 0.5


def test_agreement_leaves_out_rows_the_teacher_did_not_answer():
    assert Agreement().compute(predictions=[0, 1, 1, 0], references=[0, 0, -1, -1])["agreement"] == 0.5
    assert np.isnan(Agreement().compute(predictions=[0], references=[-1])["agreement"])


@pytest.mark.slow
def test_concurrent_processes_with_a_read_only_home_leave_nothing_behind(tmp_path):
    program = (
        "import multiprocessing\n"
        "from eval.classifiers.metrics.classes import Accuracy\n"
        "def measure(number):\n"
        "    return [Accuracy().compute(predictions=[0, 1], references=[0, 0])['accuracy'] for _ in range(20)]\n"
        "with multiprocessing.get_context('fork').Pool(4) as pool:\n"
        "    assert pool.map(measure, range(8)) == [[0.5] * 20] * 8\n"
    )
    # A home that is a file stands for one that cannot be written: root may write to read-only folders.
    (tmp_path / "home").write_text("")
    (tmp_path / "scratch").mkdir()
    environment = os.environ | {
        "HOME": str(tmp_path / "home"),
        "HF_HOME": str(tmp_path / "home" / "hf"),
        "HF_HUB_OFFLINE": "1",
        "TMPDIR": str(tmp_path / "scratch"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "scratch").iterdir())


def probabilities(rows, classes, seed):
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.6), rows)


def calibration_error(predictions, labels):
    """By its definition, bin for bin."""
    confidence, right = predictions.max(1), predictions.argmax(1) == labels
    total = 0.0
    for number in range(15):
        inside = (confidence > number / 15) & (confidence <= (number + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 80), st.integers(2, 5), st.integers(0, 10**6))
def test_calibration_and_kl_equal_their_definitions(rows, classes, seed):
    student, teacher = probabilities(rows, classes, seed), probabilities(rows, classes, seed + 1)
    labels = np.random.default_rng(seed).integers(0, classes, rows)
    error = ExpectedCalibrationError().compute(predictions=student, references=labels)["expected_calibration_error"]
    assert error == pytest.approx(calibration_error(student, labels), abs=1e-12) and 0 <= error <= 1
    kl = KLToTeacher().compute(predictions=student, references=teacher)["kl"]
    assert kl == pytest.approx((teacher * np.log(teacher / student)).sum(1).mean(), rel=1e-9) and kl >= 0
    assert KLToTeacher().compute(predictions=teacher, references=teacher)["kl"] == 0


def test_a_confidence_at_the_end_of_a_bin_is_in_this_bin():
    rows = [[0.6, 0.4], [0.55, 0.45]]  # 9 / 15 is the end of the bin of both
    error = ExpectedCalibrationError().compute(predictions=rows, references=[0, 1])["expected_calibration_error"]
    assert error == pytest.approx(abs(0.4 - 0.55) / 2)


def test_rows_without_a_usable_answer_are_left_out_of_what_needs_probabilities():
    none = [math.nan, math.nan]
    metric = ExpectedCalibrationError()
    whole = metric.compute(predictions=[[0.8, 0.2], none], references=[0, 1])["expected_calibration_error"]
    assert whole == pytest.approx(0.2)
    assert math.isnan(metric.compute(predictions=[none], references=[0])["expected_calibration_error"])
    rows = [[0.5, 0.5], none, [0.5, 0.5]]
    assert KLToTeacher().compute(predictions=rows, references=[[1, 0], [1, 0], none])["kl"] == pytest.approx(math.log(2))
    assert math.isnan(KLToTeacher().compute(predictions=[none], references=[none])["kl"])
    assert KLToTeacher().compute(predictions=[[1.0, 0.0]], references=[[0.5, 0.5]])["kl"] == math.inf


def test_retention_is_a_ratio_of_two_scores():
    labels, student, teacher = [0, 1, 0, 1], [0, 1, 1, 0], [0, 1, 0, 0]
    both = {"predictions": student, "references": labels, "teacher_predictions": teacher}
    assert Retention(Accuracy()).compute(**both)["retention"] == pytest.approx(0.5 / 0.75)
    assert Retention(MatthewsCorrelation()).compute(**both)["retention"] == 0
    assert math.isnan(Retention(Accuracy()).compute(**both | {"teacher_predictions": [-1] * 4})["retention"])


def test_a_metric_of_the_hub_is_fetched_by_its_name(monkeypatch):
    monkeypatch.setattr(evaluate, "load", lambda name: {"f1": Accuracy()}[name])
    metric = hub_metric("hub:f1")
    assert hub_metric_values("hub:f1", metric, [0, 1], [0, 0]) == {"hub:accuracy": 0.5}


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError("Module 'f2' doesn't exist on the Hub\nand more"), AttributeError("datasets has no such thing")],
)
def test_a_metric_of_the_hub_that_cannot_be_loaded_is_named(error, monkeypatch):
    def unreachable(name):
        raise error  # code from the hub may raise anything

    monkeypatch.setattr(evaluate, "load", unreachable)
    with pytest.raises(InputError, match="'hub:f2' could not be fetched .*check the name and the network.*macro_f1") as caught:
        hub_metric("hub:f2")
    assert "\n" not in str(caught.value)


def test_mistakes_with_a_metric_of_the_hub_are_named():
    with pytest.raises(InputError, match="cannot be computed from predicted classes and labels"):
        hub_metric_values("hub:x", KLToTeacher(), [0], [0])

    class Silent:
        def compute(self, predictions, references):
            return {"matrix": [[1]]}

    with pytest.raises(InputError, match="returns no number"):
        hub_metric_values("hub:y", Silent(), [0], [0])
