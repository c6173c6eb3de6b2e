import numpy as np
import pytest
import torch

from distill.batch import SyntheticBatch
from distill.common.errors import InputError
from distill.kinds.labels import MULTI_LABEL
from distill.kinds.tokens import Tokens


def make(**changes: object) -> SyntheticBatch:
    parts: dict = {
        "texts": ["a", "b", "c"],
        "teacher_logits": torch.tensor([[0.5, 0.5], [0.9, 0.1], [float("nan")] * 2]).log(),
        "targets": torch.tensor([0, 1, -1]),
        "topics": ["t", "", ""],
        "source": "test",
    }
    return SyntheticBatch(**(parts | changes))


EMBEDDED = {"embeddings": torch.zeros(3, 4, 2), "lengths": torch.tensor([4, 1, 2])}


def test_select_by_mask_and_by_index() -> None:
    batch = make(text_pairs=["x", "y", "z"])
    assert batch.usable.tolist() == [True, True, False]
    kept = batch.select(batch.usable)
    assert (kept.texts, kept.text_pairs, kept.topics) == (["a", "b"], ["x", "y"], ["t", ""])
    turned = batch.select([1, 0])
    assert turned.texts == ["b", "a"]
    assert turned.targets.tolist() == [1, 0]
    assert torch.equal(turned.teacher_logits, batch.teacher_logits[[1, 0]])
    assert len(batch.select([])) == 0
    assert len(batch.select(torch.zeros(3, dtype=torch.bool))) == 0


def test_probabilities_are_no_logits() -> None:
    probabilities = torch.tensor([[0.5, 0.5], [0.9, 0.1], [float("nan")] * 2])
    with pytest.raises(InputError, match="batch.teacher_logits: no number is negative .* teacher_logits=probabilities.log()"):
        make(teacher_logits=probabilities)
    with pytest.raises(InputError, match="as probabilities do"):
        make(kind=Tokens(("O", "x")), teacher_logits=probabilities[:, None], targets=torch.full((3,), -1))
    assert len(make(teacher_logits=probabilities, kind=MULTI_LABEL)) == 3  # log-odds, which may be so
    assert len(make(teacher_logits=torch.eye(2)[[0, 1, 0]])) == 3  # logits that are rounded may be so, too
    assert len(make(teacher_logits=torch.tensor([[0.5, 0.5], [0.9, 0.3], [2.0, 1.0]]))) == 3


def test_select_keeps_embeddings_with_their_rows() -> None:
    embeddings = torch.arange(3 * 4 * 2).view(3, 4, 2).float()
    batch = make(embeddings=embeddings, lengths=torch.tensor([4, 2, 3]))
    turned = batch.select([2, 0])
    assert turned.embeddings is not None and turned.lengths is not None
    assert torch.equal(turned.embeddings, embeddings[[2, 0]])
    assert turned.lengths.tolist() == [3, 4]
    assert turned.texts == ["c", "a"]
    assert batch.select([]).embeddings is not None
    assert make().select([1]).embeddings is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher_logits": torch.zeros(2, 2)}, r"teacher_logits: shape \(2, 2\); expected \(3, K\)"),
        ({"teacher_logits": torch.zeros(3, 1)}, "K >= 2"),
        ({"teacher_logits": torch.zeros(3)}, "teacher_logits"),
        ({"teacher_logits": torch.zeros(3, 2).double()}, "float64"),
        ({"targets": torch.tensor([0, 1, 2])}, r"outside -1\.\.1"),
        ({"targets": torch.tensor([0, 1])}, "batch.targets"),
        ({"targets": torch.zeros(3)}, "batch.targets"),
        ({"topics": ["t"]}, "1 topics for 3 texts"),
        ({"text_pairs": ["x"]}, "1 second texts for 3 texts"),
        ({"embeddings": torch.zeros(3, 4, 2)}, "give both or neither"),
        ({"lengths": torch.tensor([1, 1, 1])}, "give both or neither"),
        (EMBEDDED | {"text_pairs": ["x", "y", "z"]}, "expected none beside embeddings"),
        (EMBEDDED | {"embeddings": torch.zeros(2, 4, 2)}, r"embeddings: shape \(2, 4, 2\); expected \(3, L, H\)"),
        (EMBEDDED | {"embeddings": torch.zeros(3, 4)}, r"expected \(3, L, H\)"),
        (EMBEDDED | {"embeddings": torch.zeros(3, 4, 2).half()}, "float16"),
        (EMBEDDED | {"lengths": torch.tensor([1, 2])}, "lengths"),
        (EMBEDDED | {"lengths": torch.tensor([1.0, 2.0, 3.0])}, "lengths: torch.float32"),
        (EMBEDDED | {"lengths": torch.tensor([1, 0, 3])}, r"outside 1\.\.4"),
        (EMBEDDED | {"lengths": torch.tensor([1, 5, 3])}, r"outside 1\.\.4"),
    ],
)
def test_parts_that_do_not_belong_together(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(**changes)


def test_mask_of_wrong_length() -> None:
    with pytest.raises(InputError, match="mask"):
        make().select(torch.tensor([True]))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"texts": "abc"}, "batch.texts: str 'abc'; expected a list of texts"),
        ({"texts": [1, 2, 3]}, "batch.texts: list .*; expected a list of texts"),
        ({"topics": None}, "batch.topics: NoneType 'None'; expected a list of texts"),
        ({"text_pairs": [None] * 3}, "batch.text_pairs: list .*; expected a list of texts"),
        ({"teacher_logits": np.zeros((3, 2), np.float32)}, "batch.teacher_logits: ndarray; expected a tensor"),
        ({"teacher_logits": [[0.0, 1.0]] * 3}, "batch.teacher_logits: list; expected a tensor"),
        ({"targets": [0, 1, -1]}, "batch.targets: list; expected a tensor"),
        ({"embeddings": np.zeros((3, 4, 2)), "lengths": [1, 2, 3]}, "batch.embeddings: ndarray; expected a tensor"),
    ],
)
def test_parts_of_another_type(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(**changes)


@pytest.mark.parametrize("rows", [[3], [-4], [0.9]])
def test_indices_that_no_row_has(rows: list) -> None:
    with pytest.raises(InputError, match="batch.select: .*; expected whole numbers from -3 to 2"):
        make().select(rows)
