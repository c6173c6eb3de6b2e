import pytest
import torch

from distill.common import precision
from distill.common.errors import InputError
from distill.common.precision import autocast, has_fast_bf16, resolve_device, weight_dtype
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.student import load_student
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.tiny import judged, random_texts


def test_auto_is_a_device_that_works() -> None:
    device = resolve_device("auto")
    assert torch.ones(2, device=device).sum().item() == 2
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:99", "meta"])
def test_unusable_device_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="device"):
        resolve_device(name)


def let_the_cpu_have_bf16(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    """As on a CPU that multiplies bf16, or does not; one that does not emulates it, which tiny models can bear."""
    monkeypatch.setenv("PROMPTER_PRECISION", "auto")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: fast)


@pytest.mark.parametrize("fast", [False, True])
def test_bf16_only_where_the_cpu_has_it(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    let_the_cpu_have_bf16(monkeypatch, fast)
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


def test_float32_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    let_the_cpu_have_bf16(monkeypatch, True)
    monkeypatch.setenv("PROMPTER_PRECISION", "float32")
    assert not has_fast_bf16(torch.device("cpu"))
    monkeypatch.setenv("PROMPTER_PRECISION", "")
    assert has_fast_bf16(torch.device("cpu"))
    monkeypatch.setenv("PROMPTER_PRECISION", "float16")
    with pytest.raises(InputError, match="PROMPTER_PRECISION is 'float16', expected auto"):
        has_fast_bf16(torch.device("cpu"))


def test_a_student_learns_in_bf16_what_it_learns_in_float32(
    teacher: TransformersTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = random_texts(200, 0)
    exact = teacher(texts)
    let_the_cpu_have_bf16(monkeypatch, True)
    rounded = teacher(texts)
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.03)

    student = load_student("bert:layers=1,hidden=32", teacher=teacher, device="cpu")
    config = DistillConfig(student_updates=150, student_batch_size=32, student_learning_rate=5e-3)
    distiller = Distiller(student, config, planned_queries=1500, seed=0)
    distiller.run((judged(teacher, random_texts(150, i)) for i in range(1, 11)), online=True)
    assert {weight.dtype for weight in student.model.parameters()} == {torch.float32}
    assert (student.log_probs(texts).argmax(dim=1) == exact.argmax(dim=1)).float().mean() > 0.85
