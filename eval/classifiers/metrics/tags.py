"""Metrics of tags: one for each word of a text, as names in the IOB format (`O`, `B-person`, `I-person`).

A word without a usable prediction has the tag `O`.
"""

from collections.abc import Sequence

from seqeval import metrics as seqeval_metrics

from eval.classifiers.metrics.base import NAMES, ClassificationMetric

INPUTS = """
Args:
    predictions: The predicted tags of the words of N texts.
    references: Tags to compare with, as many for each text.
"""

Tags = Sequence[Sequence[str]]


class TagMetric(ClassificationMetric):
    """A metric over the tags of words."""

    inputs = INPUTS
    columns = {"predictions": NAMES, "references": NAMES}


class EntityF1(TagMetric):
    """F1 score of whole entities, in [0, 1]: type, first and last word have to be right. 0 where there is no entity at all.

    An `I-` tag that continues nothing begins an entity, as in the evaluation script of CoNLL-2003. Source: seqeval (Nakayama
    2018); Tjong Kim Sang and De Meulder 2003.

    Examples:
        >>> metric = EntityF1()
        >>> metric.compute(predictions=[["B-a", "O", "B-b"]], references=[["B-a", "I-a", "B-b"]])
        {'entity_f1': 0.5}
    """

    description = "F1 score of whole entities."
    citation = "Tjong Kim Sang and De Meulder 2003, Introduction to the CoNLL-2003 Shared Task"

    def _compute(self, predictions: Tags, references: Tags) -> dict[str, float]:
        return {"entity_f1": float(seqeval_metrics.f1_score(references, predictions, zero_division=0))}


class TokenAccuracy(TagMetric):
    """Share of words whose tag is right, in [0, 1]. Most words are outside of entities, so `O` alone scores high.

    Examples:
        >>> TokenAccuracy().compute(predictions=[["B-a", "O"], ["O"]], references=[["B-a", "I-a"], ["O"]])
        {'token_accuracy': 0.6666666666666666}
    """

    description = "Share of words whose tag is right."

    def _compute(self, predictions: Tags, references: Tags) -> dict[str, float]:
        return {"token_accuracy": float(seqeval_metrics.accuracy_score(references, predictions))}
