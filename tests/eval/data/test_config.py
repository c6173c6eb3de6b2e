"""The light names of the metrics agree with the metrics, and reading them loads no heavy library."""

import subprocess
import sys

import pytest

from eval.classifiers.kinds.table import MEASURING
from eval.classifiers.metrics.table import METRICS
from eval.data.config import METRIC_NAMES, METRICS_OF_KIND

HEAVY = ("torch", "datasets", "evaluate", "sklearn", "transformers", "pyarrow", "numpy")


def test_the_names_are_those_of_the_metrics():
    assert {kind: tuple(metrics) for kind, metrics in METRICS.items()} == METRICS_OF_KIND
    assert set(METRIC_NAMES) == {name for metrics in METRICS.values() for name in metrics}
    for kind, measuring in MEASURING.items():
        assert set(measuring.headline) <= set(METRICS[kind])


@pytest.mark.parametrize(
    "module", ["eval.data.tasks", "eval.corpora.config", "eval.data.config", "eval.data.labelled", "eval.report"]
)
def test_what_settings_need_loads_no_heavy_library(module):
    program = f"import sys, {module}\nprint([name for name in {HEAVY} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
