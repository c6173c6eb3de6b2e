"""The names of the metrics, without the libraries that compute them.

Settings and task files name metrics. They are read before anything heavy is loaded, so that `--help` answers at once.
The metrics themselves are in `eval.classifiers.metrics`; a test checks that both agree.
"""

HUB = "hub:"
"""Prefix of a metric that is fetched from the Hugging Face hub."""

METRIC_NAMES = ("accuracy", "macro_f1", "matthews_correlation", "expected_calibration_error")
"""Metrics that compare a classifier with labels, and so can be named in a task."""
