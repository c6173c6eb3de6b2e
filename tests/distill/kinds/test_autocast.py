"""The losses under a GPU's autocast, which refuses some operations: tried on tensors without data, so no GPU is needed."""

from collections.abc import Iterator

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from distill.kinds.classes import SINGLE
from distill.kinds.kind import Kind
from distill.kinds.labels import MULTI_LABEL


@pytest.fixture
def gpus_autocast() -> Iterator[None]:
    """Autocast of a GPU; `torch.autocast` switches itself off where there is none."""
    before = torch.is_autocast_enabled("cuda")
    torch.set_autocast_enabled("cuda", True)
    yield
    torch.set_autocast_enabled("cuda", before)


@pytest.mark.usefixtures("gpus_autocast")
@pytest.mark.parametrize("kind", [SINGLE, MULTI_LABEL])
def test_a_gpus_autocast_computes_the_loss(kind: Kind) -> None:
    with FakeTensorMode():
        outputs, teacher = (torch.empty(4, 3, device="cuda", dtype=dtype) for dtype in (torch.bfloat16, torch.float32))
        assert kind.loss(outputs, teacher, 2.0, 0.5).dtype == torch.float32
