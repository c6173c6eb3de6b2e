"""Sample rows: spread over the batch, and only what has an answer."""

import math

import torch

from distill.batch import SyntheticBatch
from distill.kinds.labels import MULTI_LABEL
from prompter.runtime.samples import PER_BATCH, sample_rows

LABELS = ["good", "bad"]


def batch(rows: int, pairs: bool = False) -> SyntheticBatch:
    return SyntheticBatch(
        texts=[f"text {i}" for i in range(rows)],
        teacher_logits=torch.tensor([[0.25, 0.75]]).log().repeat(rows, 1),
        targets=torch.tensor([i % 3 - 1 for i in range(rows)]),
        topics=[f"text {i}"[:4] for i in range(rows)],
        source="test",
        text_pairs=[f"second {i}" for i in range(rows)] if pairs else None,
    )


def test_rows_are_spread_and_say_what_was_asked_and_answered() -> None:
    figures = {"reward": torch.arange(100) / 3}
    rows = sample_rows(batch(100, pairs=True), LABELS, figures)
    assert [row["text"] for row in rows] == [f"text {i}" for i in (0, 19, 39, 59, 79, 99)] and len(rows) == PER_BATCH
    assert rows[1] == {
        "wanted": "good", "topic": "text", "text": "text 19", "text_pair": "second 19", "predicted": "bad", "reward": 6.3333
    }  # fmt: skip
    assert rows[0]["wanted"] is None
    assert [row["text"] for row in sample_rows(batch(2), LABELS, {})] == ["text 0", "text 1"]
    assert "text_pair" not in sample_rows(batch(2), LABELS, {})[0]


def test_rows_without_an_answer_or_a_figure_are_left_out() -> None:
    answered = batch(4)
    answered.teacher_logits[1] = math.nan
    rows = sample_rows(answered, LABELS, {"reward": torch.tensor([1.0, 1.0, math.nan, 1.0])})
    assert [row["text"] for row in rows] == ["text 0", "text 3"]


def test_of_several_labels_those_that_are_given_are_shown() -> None:
    texts, answers = ["both", "neither"], torch.tensor([[2.0, 1.0], [-2.0, -1.0]])
    asked = SyntheticBatch(texts, answers, torch.tensor([1, 1]), ["", ""], "test", kind=MULTI_LABEL)
    both, neither = sample_rows(asked, LABELS, {"probability": torch.tensor([0.9, 0.3])})
    assert (both["predicted"], both["given"], both["probability"]) == ("good, bad", LABELS, 0.7311)
    assert (neither["predicted"], neither["given"], neither["probability"]) == ("none", [], 0.7311)
