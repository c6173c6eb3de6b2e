"""Devices and number formats: what each choice means on each kind of machine."""

import copy
from pathlib import Path

import pytest
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from distill.common import precision
from distill.common.errors import InputError
from distill.common.precision import (
    autocast,
    compute_dtype,
    computing_as,
    dtype_name,
    has_fast_bf16,
    resolve_device,
    use_dtype,
    using_dtype,
    weight_dtype,
)
from distill.common.settings import ATTENTION, CommonSettings, check
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.methods.synthesizer import white_box
from distill.student import load_student
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.tiny import LABELS, judged, random_texts

CPU, GPU = torch.device("cpu"), torch.device("cuda")


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
def test_auto_takes_bf16_only_where_the_cpu_has_it(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    let_the_cpu_have_bf16(monkeypatch, fast)
    assert has_fast_bf16(CPU) is fast
    with autocast(CPU):
        product = torch.ones(4, 4) @ torch.ones(4, 4)
    assert product.dtype == (torch.bfloat16 if fast else torch.float32)
    assert weight_dtype(CPU) == torch.float32


def test_frozen_weights_are_bf16_on_a_gpu_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTER_PRECISION", "auto")
    monkeypatch.setattr(precision, "has_fast_bf16", lambda device: True)
    assert weight_dtype(GPU) == torch.bfloat16
    assert weight_dtype(CPU) == torch.float32


def test_environment_variable_chooses_the_format(monkeypatch: pytest.MonkeyPatch) -> None:
    let_the_cpu_have_bf16(monkeypatch, True)
    for value, dtype in (("float32", torch.float32), ("", torch.bfloat16), ("auto", torch.bfloat16)):
        monkeypatch.setenv("PROMPTER_PRECISION", value)
        assert compute_dtype(CPU) == dtype
    monkeypatch.setenv("PROMPTER_PRECISION", "float")
    with pytest.raises(InputError, match=r"PROMPTER_PRECISION is 'float', expected one of: auto.*Did you mean 'float"):
        compute_dtype(CPU)


def test_choice_of_the_process_wins_over_the_environment_and_ends_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTER_PRECISION", "float32")
    with using_dtype("bfloat16"):
        assert compute_dtype(CPU) == torch.bfloat16
        with using_dtype("auto"):
            assert compute_dtype(CPU) == torch.float32  # as the environment says
        use_dtype("float32")
    assert dtype_name() == "float32"
    monkeypatch.delenv("PROMPTER_PRECISION")
    assert dtype_name() == "auto"
    with pytest.raises(InputError, match="dtype is 'bf16', expected one of: auto, float32, bfloat16, float16"):
        use_dtype("bf16")


def test_bfloat16_is_taken_where_it_is_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    let_the_cpu_have_bf16(monkeypatch, False)
    with using_dtype("bfloat16"), autocast(CPU, trained=True):
        assert (torch.ones(4, 4) @ torch.ones(4, 4)).dtype == torch.bfloat16


def test_float16_is_for_frozen_models_on_a_gpu() -> None:
    with using_dtype("float16"):
        assert weight_dtype(GPU) == compute_dtype(GPU) == torch.float16
        assert compute_dtype(GPU, trained=True) == torch.float32
        for refused in (compute_dtype, weight_dtype, autocast):
            with pytest.raises(InputError, match="dtype is float16, but CPUs .*choose bfloat16 or float32"):
                refused(CPU)


def test_methods_refuse_gradients_through_a_float16_teacher(teacher: TransformersTeacher) -> None:
    half = copy.copy(teacher)
    half.model = copy.deepcopy(teacher.model).half()
    with pytest.raises(InputError, match="dtype: 'as-dfd' .* float16"):
        white_box(half, "as-dfd")


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
    assert (student.answers(texts).argmax(dim=1) == exact.argmax(dim=1)).float().mean() > 0.85


def test_attention_is_that_of_the_user_within_the_block(bert_folder: Path) -> None:
    texts = ["boat cow", "tram"]
    usual = TransformersTeacher(bert_folder, "cpu")
    with computing_as(CommonSettings(attn_implementation="eager", device="cpu")):
        eager = TransformersTeacher(bert_folder, "cpu")
        student = load_student("bert:layers=1,hidden=32", labels=LABELS, teacher=eager, device="cpu")
    assert usual.model.config._attn_implementation == "sdpa"
    assert eager.model.config._attn_implementation == student.model.config._attn_implementation == "eager"
    torch.testing.assert_close(eager(texts), usual(texts), atol=1e-5, rtol=1e-5)
    assert TransformersTeacher(bert_folder, "cpu").model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(attn_implementation="flash_attention_2"), "flash_attention_2 needs a CUDA device, and device is cpu: use sdpa"),
        (dict(attn_implementation="flex_attention"), "flex_attention needs a CUDA device"),
        (dict(torch_compile=True), r"torch_compile needs a C\+\+ compiler on a CPU, and no-such-compiler is not installed"),
    ],
)
def test_what_a_cpu_lacks_is_refused_before_any_work(changes: dict, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match=message), computing_as(CommonSettings(device="cpu", **changes)):
        pass


def test_an_attention_that_transformers_does_not_ship_is_refused() -> None:
    with pytest.raises(
        InputError, match="attn_implementation is 'kernels-community/flash-attn', expected one of: auto, eager"
    ):
        check(CommonSettings(attn_implementation="kernels-community/flash-attn"))
    assert set(ATTENTION[1:]) <= {"eager", *ALL_ATTENTION_FUNCTIONS.valid_keys()}


def test_teacher_and_student_are_compiled(bert_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[tuple[str, dict]] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda model, **options: compiled.append((type(model).__name__, options)))
    with computing_as(CommonSettings(torch_compile=True, device="cpu")):
        load_student("bert:layers=1,hidden=32", labels=LABELS, teacher=TransformersTeacher(bert_folder, "cpu"), device="cpu")
    assert compiled == [("BertForSequenceClassification", {"dynamic": True})] * 2


@pytest.mark.slow
def test_a_compiled_teacher_answers_as_before(bert_folder: Path) -> None:
    texts = random_texts(30, 0)
    usual = TransformersTeacher(bert_folder, "cpu")(texts)
    with computing_as(CommonSettings(torch_compile=True, device="cpu")):
        torch.testing.assert_close(TransformersTeacher(bert_folder, "cpu")(texts), usual, atol=1e-4, rtol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_float16_on_a_gpu_answers_as_float32_on_a_cpu(bert_folder: Path, attention: str) -> None:
    texts = random_texts(30, 0)
    usual = TransformersTeacher(bert_folder, "cpu")(texts)
    with computing_as(CommonSettings(dtype="float16", attn_implementation=attention, device="cuda")):
        torch.testing.assert_close(TransformersTeacher(bert_folder, "cuda")(texts), usual, atol=0.02, rtol=0.02)
