"""How the metrics of classifiers are shown, where they are something else than the accuracy."""

from collections.abc import Callable
from dataclasses import dataclass

from eval.report.charts import percent
from eval.report.values import three_digits


@dataclass(frozen=True)
class Shown:
    """How a metric is shown.

    Attributes:
        title: Its name, for a column.
        words: Its name in a sentence, with an article.
        text: From a value to text.
        without: What can be had without reading a text, in words; "" where no one value says it.
    """

    title: str
    words: str
    text: Callable[[float], str] = three_digits
    without: str = ""

    @property
    def name(self) -> str:
        """Its name in a sentence."""
        return self.words.partition(" ")[2]


SCORES = {
    "matthews_correlation": Shown("Matthews", "a Matthews correlation", without="0: always one class"),
    "entity_f1": Shown(
        "Entity F1", "an entity F1", without="0: no entity found; of a tag for each word, the share of right ones"
    ),
    "token_accuracy": Shown("Words right", "a share of right words", percent),
    "pearson": Shown("Pearson", "a Pearson correlation", without="0: always the same score"),
    "spearman": Shown("Spearman", "a Spearman correlation", without="0: always the same score"),
    "mse": Shown("Squared error", "a squared error", lambda value: f"{value:.3g}"),
    "micro_f1": Shown("Micro-F1", "a micro-F1", without="0: no label given"),
    "subset_accuracy": Shown("All labels right", "a share of wholly right sets of labels", percent),
    "macro_f1": Shown("Macro-F1", "a macro-F1"),
}
"""The metrics by name, in the order of their columns."""
