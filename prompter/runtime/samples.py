"""Rows of `samples.jsonl`: a few texts of each batch with the teacher's predictions, for people to look at."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from distill.batch import SyntheticBatch

PER_BATCH = 6
"""Most rows from one batch."""


def sample_rows(batch: SyntheticBatch, labels: list[str], metrics: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """Take up to `PER_BATCH` rows, spread over a batch.

    Args:
        batch: Texts with the teacher's predictions.
        labels: Names of the targets, for instance classes.
        metrics: Numbers (N,) by name to show beside each text. A row is left out if one of its numbers is not finite.

    Returns:
        Rows of `wanted` (the target class or None), `topic`, `text`, `text_pair` (for pairs), `entities` (what a tagger
        found, in words), `predicted` (the class that the teacher predicts) and the metrics, rounded to four places. Where an
        answer gives several labels or none, `predicted` names all that are given, `given` lists them, and `probability` is
        that of the answer to the label that the teacher is least sure of.
    """
    rows, belongs = [], batch.kind.group(batch.teacher_logits)
    for i in torch.linspace(0, len(batch) - 1, min(PER_BATCH, len(batch))).long().tolist():
        numbers = {name: round(float(values[i]), 4) for name, values in metrics.items()}
        if not batch.usable[i] or not all(map(math.isfinite, numbers.values())):
            continue
        target = int(batch.targets[i])
        row = {"wanted": labels[target] if target >= 0 else None, "topic": batch.topics[i], "text": batch.texts[i]}
        if batch.text_pairs is not None:
            row["text_pair"] = batch.text_pairs[i]
        cells = batch.kind.cells(batch.kind.shown(batch.teacher_logits[i : i + 1])[0].tolist(), batch.texts[i])
        if batch.kind.of_words:
            row["entities"] = batch.kind.said(cells, labels)
        row |= {"predicted": labels[int(belongs[i])], **numbers}
        if batch.kind.several:
            row["predicted"] = batch.kind.said(cells, labels)
            row["given"] = [labels[target] for target in batch.kind.given(cells)]
            row["probability"] = round(cells["confidence"], 4)
        rows.append(row)
    return rows
