"""What all metrics share: rows that are kept in memory."""

import tempfile

import datasets
import evaluate

INDEX = datasets.Value("int64")
NUMBER = datasets.Value("float64")
ROW = datasets.Sequence(NUMBER)
INDICES = datasets.Sequence(INDEX)
NAMES = datasets.Sequence(datasets.Value("string"))

INPUTS = """
Args:
    predictions: (N,) predicted class indices; -1 for no usable prediction.
    references: (N,) class indices to compare with.
"""


class ClassificationMetric(evaluate.Metric):
    """A metric over predictions and references, class indices unless `columns` says otherwise.

    Use `metric.compute(predictions=..., references=...)`, or `metric.add_batch(...)` per batch and `metric.compute()`.
    """

    description = ""
    citation = ""
    inputs = INPUTS
    columns = {"predictions": INDEX, "references": INDEX}

    def __init__(self) -> None:
        # `evaluate` makes a cache folder even if it keeps everything in memory; this one is removed at once.
        with tempfile.TemporaryDirectory() as scratch:
            super().__init__(keep_in_memory=True, cache_dir=scratch)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.description,
            citation=self.citation,
            inputs_description=self.inputs,
            features=datasets.Features(self.columns),
        )
