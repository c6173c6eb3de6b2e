"""Rows of `samples.jsonl`: a few texts of each batch with the teacher's answers, for people to look at."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from distill.batch import SyntheticBatch

PER_BATCH = 6


def sample_rows(batch: SyntheticBatch, labels: list[str], figures: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """Up to `PER_BATCH` rows spread over a batch.

    Args:
        batch: Texts with the teacher's answers.
        labels: Names of the classes.
        figures: Numbers (N,) by name that are told of each row; a row one of which is not finite is left out.

    Returns:
        Rows of `wanted` (the class asked for, or None), `topic`, `text`, `text_pair` (where there is one), `predicted` (the
        teacher's class) and the figures, to four places.
    """
    rows = []
    for i in torch.linspace(0, len(batch) - 1, min(PER_BATCH, len(batch))).long().tolist():
        told = {name: round(float(values[i]), 4) for name, values in figures.items()}
        if not batch.usable[i] or not all(map(math.isfinite, told.values())):
            continue
        targets = int(batch.targets[i])
        row = {"wanted": labels[targets] if targets >= 0 else None, "topic": batch.topics[i], "text": batch.texts[i]}
        if batch.text_pairs is not None:
            row["text_pair"] = batch.text_pairs[i]
        rows.append(row | {"predicted": labels[int(batch.teacher_logits[i].argmax())], **told})
    return rows
