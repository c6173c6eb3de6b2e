"""Which metrics each kind of classifier has: those that a task may name, as they compare predictions with labels.

A teacher adds agreement, a distance and retention, see `eval.classifiers.measures`.
"""

from collections.abc import Mapping

from eval.classifiers.metrics.base import ClassificationMetric
from eval.classifiers.metrics.classes import Accuracy, ExpectedCalibrationError, MacroF1, MatthewsCorrelation
from eval.classifiers.metrics.label_sets import LabelMacroF1, MicroF1, SubsetAccuracy
from eval.classifiers.metrics.scores import MeanSquaredError, Pearson, Spearman
from eval.classifiers.metrics.tags import EntityF1, TokenAccuracy

Metrics = Mapping[str, type[ClassificationMetric]]

CLASSES: Metrics = {
    "accuracy": Accuracy,
    "macro_f1": MacroF1,
    "matthews_correlation": MatthewsCorrelation,
    "expected_calibration_error": ExpectedCalibrationError,
}

METRICS: dict[str, Metrics] = {
    "single": CLASSES,
    "pair": CLASSES,
    "multi_label": {"micro_f1": MicroF1, "macro_f1": LabelMacroF1, "subset_accuracy": SubsetAccuracy},
    "score": {"pearson": Pearson, "spearman": Spearman, "mse": MeanSquaredError},
    "tokens": {"entity_f1": EntityF1, "token_accuracy": TokenAccuracy},
}
