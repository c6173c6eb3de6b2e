"""The names of the kinds. Free of torch, so that settings may import them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

AUTO = "auto"
"""Find the kind by the teacher's files."""

KINDS = ("single", "pair", "multi_label", "score", "score_pair", "tokens")
"""One class for a text, or for two texts; several labels for a text; a number for a text, or for two texts; a tag for each
word of a text."""

OF_PAIRS = ("pair", "score_pair")
"""Those of two texts."""


@dataclass(frozen=True)
class GivenKind:
    """What the user says about the kind.

    Attributes:
        name: One of `KINDS`, or `AUTO`.
        low: Lower end of the range of a score.
        high: Upper end.
    """

    name: str = AUTO
    low: float = 0.0
    high: float = 1.0


NOT_GIVEN = GivenKind()
"""The user says nothing."""


PAIR_CLASSES = (
    {"entailment", "contradiction"},
    {"entailment", "notentailment"},
    {"equivalent", "notequivalent"},
    {"duplicate", "notduplicate"},
    {"paraphrase", "notparaphrase"},
)
"""Names of classes, without case and marks, that only a classifier of two texts has."""


def reads_pairs(labels: Iterable[str]) -> bool:
    """Return whether the names of the classes are those of a classifier of pairs of texts.

    Examples:
        >>> reads_pairs(["CONTRADICTION", "neutral", "entailment"]), reads_pairs(["not_duplicate", "duplicate"])
        (True, True)
        >>> reads_pairs(["positive", "neutral", "negative"])
        False
    """
    names = {re.sub(r"[\W_]+", "", label.casefold()) for label in labels}
    return any(classes <= names for classes in PAIR_CLASSES)
