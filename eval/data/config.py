"""Settings that name labelled data, shared by every command that reports on it, and the names of its metrics.

Settings and task files name metrics. They are read before anything heavy is loaded, so that `--help` answers at once. The
metrics themselves are in `eval.classifiers.metrics`; a test checks that both agree.
"""

from dataclasses import dataclass

from distill.common.settings import setting

HUB = "hub:"
"""Prefix of a metric that is fetched from the Hugging Face hub."""

OF_CLASSES = ("accuracy", "macro_f1", "matthews_correlation", "expected_calibration_error")

METRICS_OF_KIND = {
    "single": OF_CLASSES,
    "pair": OF_CLASSES,
    "multi_label": ("micro_f1", "macro_f1", "subset_accuracy"),
    "score": ("pearson", "spearman", "mse"),
    "tokens": ("entity_f1", "token_accuracy"),
}
"""Metrics that compare a classifier of each kind with labels, and so can be named in a task."""

METRIC_NAMES = tuple(dict.fromkeys(name for names in METRICS_OF_KIND.values() for name in names))

LOWER_IS_BETTER = ("expected_calibration_error", "mse")


@dataclass
class EvaluationDataSettings:
    """Labelled data that results are reported on. Nothing is ever selected by it."""

    eval_data: str | None = setting(
        None, "Labelled data to report on, never to select by: file, folder, hub id, or toy:TASK.", "Evaluation", path=True
    )
    eval_split: str = setting("test", "Split to read, where eval_data is a folder or hub id.", "Evaluation")
    eval_text_column: str = setting("text", "Column of the texts.", "Evaluation")
    eval_label_column: str = setting("label", "Column of the labels.", "Evaluation")
    eval_limit: int = setting(0, "Rows to use, drawn by seed 0; 0: all.", "Evaluation", low=0)
