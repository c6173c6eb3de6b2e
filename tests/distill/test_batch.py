import pytest
import torch

from distill.batch import SyntheticBatch
from distill.errors import InputError


def make(**changes: object) -> SyntheticBatch:
    parts: dict = {
        "texts": ["a", "b", "c"],
        "teacher_logits": torch.tensor([[0.5, 0.5], [0.9, 0.1], [float("nan")] * 2]).log(),
        "wanted": torch.tensor([0, 1, -1]),
        "topics": ["t", "", ""],
        "source": "test",
    }
    return SyntheticBatch(**(parts | changes))


def test_select_by_mask_and_by_index() -> None:
    batch = make(text_pairs=["x", "y", "z"])
    assert batch.usable.tolist() == [True, True, False]
    kept = batch.select(batch.usable)
    assert (kept.texts, kept.text_pairs, kept.topics) == (["a", "b"], ["x", "y"], ["t", ""])
    turned = batch.select([1, 0])
    assert turned.texts == ["b", "a"]
    assert turned.wanted.tolist() == [1, 0]
    assert torch.equal(turned.teacher_logits, batch.teacher_logits[[1, 0]])
    assert len(batch.select([])) == 0
    assert len(batch.select(torch.zeros(3, dtype=torch.bool))) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher_logits": torch.zeros(2, 2)}, r"teacher_logits: shape \(2, 2\); expected \(3, K\)"),
        ({"teacher_logits": torch.zeros(3, 1)}, "K >= 2"),
        ({"teacher_logits": torch.zeros(3)}, "teacher_logits"),
        ({"teacher_logits": torch.zeros(3, 2).double()}, "float64"),
        ({"wanted": torch.tensor([0, 1, 2])}, r"outside -1\.\.1"),
        ({"wanted": torch.tensor([0, 1])}, "wanted"),
        ({"wanted": torch.zeros(3)}, "wanted"),
        ({"topics": ["t"]}, "1 topics for 3 texts"),
        ({"text_pairs": ["x"]}, "1 second texts for 3 texts"),
    ],
)
def test_parts_that_do_not_belong_together(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(**changes)


def test_mask_of_wrong_length() -> None:
    with pytest.raises(InputError, match="mask"):
        make().select(torch.tensor([True]))
