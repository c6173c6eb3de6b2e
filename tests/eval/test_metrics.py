"""The metrics against a few lines of numpy, offline and in several processes at once."""

import os
import subprocess
import sys

import evaluate
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.metrics import Accuracy, Agreement, MacroF1, MatthewsCorrelation

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


def test_concurrent_processes_with_a_read_only_home_leave_nothing_behind(tmp_path):
    program = (
        "import multiprocessing\n"
        "from eval.metrics import Accuracy\n"
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
