"""The four figures every result row here is made of, as `evaluate.Metric` classes.

They are instantiated directly, never loaded by name: `evaluate.load("f1")` would fetch code from the hub, and a
measurement must work offline. The arithmetic is scikit-learn's. Each metric keeps its rows in memory, so that it
leaves no cache file behind, needs no writable home folder, and any number of processes can measure at once.

A prediction of -1 means "no usable answer" (a teacher may fail on a text) and counts as wrong.
"""

import tempfile
from collections.abc import Sequence

import datasets
import evaluate
from sklearn import metrics as sklearn_metrics

INPUTS = """
Args:
    predictions: (N,) class indices that the model chose; -1 where it gave no usable answer.
    references: (N,) class indices to compare with.
"""


class ClassificationMetric(evaluate.Metric):
    """A metric over predicted and reference class indices; the constructor takes no arguments.

    Use `metric.compute(predictions=..., references=...)`, or `metric.add_batch(...)` per batch and `metric.compute()`.
    """

    description = ""
    citation = ""

    def __init__(self) -> None:
        # `evaluate` makes its cache folder even where it keeps everything in memory; this one is gone again at once.
        with tempfile.TemporaryDirectory() as scratch:
            super().__init__(keep_in_memory=True, cache_dir=scratch)

    def _info(self) -> evaluate.MetricInfo:
        index = datasets.Value("int64")
        return evaluate.MetricInfo(
            description=self.description,
            citation=self.citation,
            inputs_description=INPUTS,
            features=datasets.Features({"predictions": index, "references": index}),
        )


class Accuracy(ClassificationMetric):
    """Share of rows whose predicted class is the labelled one, in [0, 1].

    Examples:
        >>> Accuracy().compute(predictions=[0, 1, 1, 0], references=[0, 1, 0, 0])
        {'accuracy': 0.75}
    """

    description = "Share of rows whose predicted class is the labelled one."

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return {"accuracy": float(sklearn_metrics.accuracy_score(references, predictions))}


class MacroF1(ClassificationMetric):
    """Unweighted mean of the classes' F1 scores, in [0, 1].

    The mean is over the classes that occur among references or predictions; a class that is predicted but never right
    counts as 0. Unlike accuracy it falls when a student forgets a rare class.

    Examples:
        >>> MacroF1().compute(predictions=[0, 1, 1, 1], references=[0, 1, 1, 0])
        {'macro_f1': 0.7333333333333334}
    """

    description = "Unweighted mean of the F1 scores of all classes that occur."

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        classes = sorted({*predictions, *references} - {-1})
        score = sklearn_metrics.f1_score(references, predictions, labels=classes, average="macro", zero_division=0)
        return {"macro_f1": float(score)}


class Agreement(ClassificationMetric):
    """Share of rows on which the student chooses the class its teacher chooses, in [0, 1].

    `references` are the teacher's choices. Rows where the teacher gave no usable answer (-1) are left out, since
    there is nothing to agree with; where none is left the result is NaN. Also called top-1 agreement or fidelity:
    Stanton et al. 2021, "Does Knowledge Distillation Really Work?", arXiv 2106.05945.

    Examples:
        >>> Agreement().compute(predictions=[0, 1, 1], references=[0, 1, -1])
        {'agreement': 1.0}
    """

    description = "Share of rows on which the student chooses the class its teacher chooses."
    citation = "Stanton et al. 2021, Does Knowledge Distillation Really Work?, arXiv 2106.05945"

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        answered = [(p, r) for p, r in zip(predictions, references, strict=True) if r != -1]
        if not answered:
            return {"agreement": float("nan")}
        return {"agreement": sum(p == r for p, r in answered) / len(answered)}


class MatthewsCorrelation(ClassificationMetric):
    """Matthews' correlation coefficient for any number of classes, in [-1, 1]; 0 is chance (the metric of CoLA).

    0 as well where all predictions or all references are one class. Source: Gorodkin 2004, "Comparing two K-category
    assignments by a K-category correlation coefficient".

    Examples:
        >>> MatthewsCorrelation().compute(predictions=[0, 1, 1, 0], references=[0, 1, 1, 0])
        {'matthews_correlation': 1.0}
    """

    description = "Matthews' correlation coefficient for any number of classes."
    citation = "Gorodkin 2004, Comparing two K-category assignments by a K-category correlation coefficient"

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        if len({*predictions, *references}) < 2:
            return {"matthews_correlation": 0.0}  # scikit-learn returns the same, with a warning
        return {"matthews_correlation": float(sklearn_metrics.matthews_corrcoef(references, predictions))}
