"""The kinds by name."""

from eval.classifiers.kinds.classes import Classes
from eval.classifiers.kinds.label_sets import LabelSets
from eval.classifiers.kinds.measuring import Measuring
from eval.classifiers.kinds.scores import Scores
from eval.classifiers.kinds.tags import Tags

MEASURING: dict[str, Measuring] = {
    "single": Classes(),
    "pair": Classes(),
    "multi_label": LabelSets(),
    "score": Scores(),
    "tokens": Tags(),
}
"""How classifiers of each kind are measured."""
