import pytest
import torch

from distill import precision
from distill.errors import InputError
from distill.precision import autocast, has_fast_bf16, resolve_device, weight_dtype


def test_auto_is_a_device_that_works() -> None:
    device = resolve_device("auto")
    assert torch.ones(2, device=device).sum().item() == 2
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:99", "meta"])
def test_unusable_device_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="device"):
        resolve_device(name)


@pytest.mark.parametrize("fast", [False, True])
def test_bf16_only_where_the_cpu_has_it(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: fast)
    cpu = torch.device("cpu")
    assert has_fast_bf16(cpu) is fast
    with autocast(cpu):
        product = torch.ones(4, 4) @ torch.ones(4, 4)
    assert product.dtype == (torch.bfloat16 if fast else torch.float32)
    assert weight_dtype(cpu) == torch.float32


def test_frozen_weights_are_bf16_on_a_gpu_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_fast_bf16", lambda device: True)
    assert weight_dtype(torch.device("cuda")) == torch.bfloat16
    assert weight_dtype(torch.device("cpu")) == torch.float32
