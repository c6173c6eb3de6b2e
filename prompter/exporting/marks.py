"""Why a row of a dataset is not kept. Rows are marked, never deleted."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from distill.kinds.kind import Kind
from distill.kinds.rows import finite
from eval.corpora.duplicates import DuplicateIndex
from prompter.exporting.filters import fault

NO_ANSWER, LOW_CONFIDENCE, CLASS_FULL = "no answer", "low confidence", "class full"
DUPLICATE, NEAR_DUPLICATE = "duplicate", "near duplicate"


def answered(kind: Kind, answers: Tensor, texts: Sequence[str]) -> list[tuple[int, dict[str, Any]]]:
    """Return of each answer the target that it belongs to, -1 for an unusable one, and a dataset's columns of it.

    Examples:
        >>> import torch
        >>> from distill.kinds.classes import SINGLE
        >>> answered(SINGLE, torch.tensor([[0.25, 0.75], [float("nan"), 1.0]]).log(), ["a", "b"])[1]
        (-1, {'label': -1, 'teacher_probs': None, 'confidence': None})
    """
    usable = finite(answers).tolist()
    groups, shown = kind.group(answers).tolist(), kind.shown(answers).tolist()
    return [
        (group if there else -1, kind.cells(row if there else None, text))
        for there, group, row, text in zip(usable, groups, shown, texts, strict=True)
    ]


class Marks:
    """Decides row by row, in their order.

    Args:
        duplicates: Texts of the rows that were kept so far. A kept row is added.
        min_words: Fewest words of a kept row.
        max_words: Most words of a kept row; 0 means no limit.
        min_confidence: Least confidence of a kept row.
    """

    def __init__(self, duplicates: DuplicateIndex, min_words: int, max_words: int, min_confidence: float) -> None:
        self.duplicates, self.min_words, self.max_words = duplicates, min_words, max_words
        self.min_confidence = min_confidence

    def of(
        self,
        row: int,
        text: str,
        label: int | None,
        confidence: float | None,
        full: bool = False,
        text_pair: str | None = None,
    ) -> tuple[str | None, int | None]:
        """Return why a row is not kept, or None, and the number of the kept row that it repeats, or None.

        Cheap tests come first, and a row that fails one skips the others. Only kept rows are remembered, so every row that
        is marked as a duplicate repeats a kept row.

        Args:
            row: Its number.
            text: Its text.
            label: The target that the teacher's answer belongs to, such as its class; -1 for an unusable answer, None if no
                teacher was asked.
            confidence: How sure the teacher is, or None.
            full: Whether there are enough rows of this target.
            text_pair: Its second text, for pairs. A pair repeats another if both of its texts do.
        """
        if label == -1:
            return NO_ANSWER, None
        for part in (text,) if text_pair is None else (text, text_pair):
            reason = fault(part, self.min_words, self.max_words)
            if reason is not None:
                return reason, None
        if confidence is not None and confidence < self.min_confidence:
            return LOW_CONFIDENCE, None
        if full:
            return CLASS_FULL, None
        sketch = self.duplicates.sketch(text, text_pair)
        twin = self.duplicates.find(sketch)
        if twin is not None:
            return DUPLICATE if twin[1] else NEAR_DUPLICATE, twin[0]
        self.duplicates.add(sketch, row)
        return None, None
