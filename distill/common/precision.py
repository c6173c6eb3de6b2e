"""Choose how models compute: the device, the number format of matrix products, attention, and compilation.

bfloat16 halves memory and doubles speed only where the hardware multiplies it: on GPUs since Ampere and on CPUs with AMX or
AVX512-BF16. Elsewhere it is emulated, and on such a CPU a bf16 matrix product is about a hundred times *slower* than one in
float32. So the default, "auto", detects the hardware. Trained weights always stay in float32, because the 8 bits of bf16's
mantissa lose small AdamW updates; bf16 enters through autocast.

The choice is one of `DTYPES`, from `use_dtype` or from the environment variable `PROMPTER_PRECISION`:

- auto: bfloat16 where the hardware multiplies it, else float32;
- float32: for metrics that agree to many digits between machines;
- bfloat16: also where the hardware emulates it;
- float16: for GPUs older than Ampere. Frozen models (teacher, writer) hold weights and compute in float16. Trained models
  (student, policy) compute in float32, because float16 gradients need loss scaling, which would add state to checkpoints.

The number that a regressor gives is computed in float32 in every case (`outputs_in_float32`): of a year such as 2007, bfloat16
can say no more than 2000 or 2008.

Attention is computed as each model's configuration says, or for all models by one of `ATTENTION` (`computing_as`). These are
parts of transformers; the name of any other would be code of a repository on the hub.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from distill.common.errors import InputError, did_you_mean
from distill.common.settings import ATTENTION, CommonSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

VARIABLE = "PROMPTER_PRECISION"
DTYPES = ("auto", "float32", "bfloat16", "float16")

PACKAGES = {"flash_attention_2": "flash_attn", "flash_attention_3": "flash_attn_interface"}
"""Module that an attention needs. Without it, transformers would look for its code on the hub."""

_chosen = "auto"  # by `use_dtype`, for the whole process
_attention, _compiles = ATTENTION[0], False  # by `computing_as`


def use_dtype(name: str) -> None:
    """Choose the number format for this process.

    Args:
        name: One of `DTYPES`. "auto" follows the environment variable `PROMPTER_PRECISION`, and the hardware where that
            variable is not set.

    Raises:
        InputError: The name is unknown.
    """
    global _chosen
    _chosen = _checked(name, "dtype")


@contextmanager
def using_dtype(name: str) -> Iterator[None]:
    """Choose the number format inside a `with` block, and restore the former choice after it; see `use_dtype`."""
    before = _chosen
    use_dtype(name)
    try:
        yield
    finally:
        use_dtype(before)


@contextmanager
def computing_as(settings: CommonSettings) -> Iterator[None]:
    """Let models compute as the user said inside a `with` block: `dtype`, `attn_implementation` and `torch_compile`.

    Raises:
        InputError: The device, or what is installed, lacks something that a setting needs.
    """
    global _attention, _compiles
    _check(settings)
    before = _attention, _compiles
    with using_dtype(settings.dtype):
        _attention, _compiles = settings.attn_implementation, settings.torch_compile
        try:
            yield
        finally:
            _attention, _compiles = before


def _check(settings: CommonSettings) -> None:
    name = settings.attn_implementation
    if name not in ("auto", "eager", "sdpa"):
        device = resolve_device(settings.device)
        if device.type != "cuda":
            raise InputError(
                f"attn_implementation {name} needs a CUDA device, and device is {device.type}: use sdpa or eager."
            )
        if (package := PACKAGES.get(name)) and find_spec(package) is None:
            raise InputError(f"attn_implementation {name} needs the package of {package}: install it, or use sdpa.")
        with using_dtype(settings.dtype):
            if name in PACKAGES and compute_dtype(device, trained=True) != torch.bfloat16:
                raise InputError(f"attn_implementation {name} computes in bfloat16, and dtype is another: use sdpa.")
    compiler = os.environ.get("CXX", "g++")
    if settings.torch_compile and resolve_device(settings.device).type == "cpu" and shutil.which(compiler) is None:
        raise InputError(f"torch_compile needs a C++ compiler on a CPU, and {compiler} is not installed: leave it out.")


def prepared(model: "PreTrainedModel", about: str, compiled: bool = False) -> "PreTrainedModel":
    """Set a model's attention as `computing_as` says, and compile it.

    Args:
        model: The model, changed in place.
        about: Setting and name, for the message: "teacher: models/x".
        compiled: Whether `torch_compile` is for this model.

    Raises:
        InputError: The model cannot compute attention in that way.
    """
    if _attention != "auto":
        try:
            model.set_attn_implementation(_attention)
        except (ValueError, ImportError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise InputError(f"{about} cannot be computed with attn_implementation {_attention} ({reason}).") from error
    if compiled and _compiles:
        model.compile(dynamic=True)  # lengths vary, and each would be compiled by itself
    return model


def dtype_name() -> str:
    """Return the choice that holds, one of `DTYPES`.

    Raises:
        InputError: The value of `PROMPTER_PRECISION` is unknown.
    """
    return _chosen if _chosen != "auto" else _checked(os.environ.get(VARIABLE) or "auto", VARIABLE)


def _checked(name: str, field: str) -> str:
    if name not in DTYPES:
        raise InputError(f"{field} is {name!r}, expected one of: {', '.join(DTYPES)}.{did_you_mean(name, DTYPES)}")
    return name


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """Return the device of a name; "auto" is the current CUDA device if there is one, else the CPU.

    Raises:
        InputError: The name is unknown to torch, or this machine has no such device.
    """
    if str(name) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device: {str(name)!r} is unknown; expected auto, cpu, cuda or cuda:N.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device: {name} was asked for, but torch sees {torch.cuda.device_count()} CUDA devices here.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError("device: mps was asked for, but is not available here; use cpu.")
    if device.type not in ("cpu", "cuda", "mps"):
        raise InputError(f"device: {name} is not supported; expected auto, cpu, cuda or cuda:N.")
    return device


def has_fast_bf16(device: torch.device) -> bool:
    """Return whether the hardware of `device` multiplies bfloat16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # torch has no public way to ask; its own compiler asks these two.
        return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return False


def compute_dtype(device: torch.device, trained: bool = False) -> torch.dtype:
    """Return the format of matrix products on a device: bfloat16, float16 or float32.

    Args:
        device: Where the model is.
        trained: Whether the model is trained, see the module's text on float16.

    Raises:
        InputError: float16 was chosen for a CPU, or the choice is unknown.
    """
    name = dtype_name()
    if name == "auto":
        return torch.bfloat16 if has_fast_bf16(device) else torch.float32
    if name == "float16" and device.type == "cpu":
        raise InputError("dtype is float16, but CPUs emulate it slowly: choose bfloat16 or float32, or a GPU (device).")
    if name == "float16" and trained:
        return torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def autocast(device: torch.device, trained: bool = False) -> AbstractContextManager[None]:
    """Return a context whose matrix products are in `compute_dtype`; for float32 it changes nothing."""
    dtype = compute_dtype(device, trained)
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype)


def weight_dtype(device: torch.device) -> torch.dtype:
    """Return the format of *frozen* weights: `compute_dtype` on GPUs, float32 on CPUs.

    On a CPU frozen weights are small beside the machine's memory, and autocast alone gives the speed. Trained weights are
    float32 everywhere.
    """
    dtype = compute_dtype(device)
    return torch.float32 if device.type == "cpu" else dtype


class Float32Linear(nn.Linear):
    """A linear layer that computes in float32 whatever the rest of its model computes in."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the outputs in float32."""
        kind = input.device.type
        if input.dtype == self.weight.dtype == torch.float32 and not torch.is_autocast_enabled(kind):
            return super().forward(input)
        with torch.autocast(kind, enabled=False):
            return nn.functional.linear(input.float(), self.weight.float(), None if self.bias is None else self.bias.float())


def outputs_in_float32(model: "PreTrainedModel") -> None:
    """Let the layer that gives the outputs of a regressor hold its weights and compute in float32.

    In bfloat16 a value has 8 bits. That is enough for probabilities, and too little for a number far from zero.

    Args:
        model: A classifier, changed in place. One that ends with something else than a plain layer stays as it is.
    """
    layer = output_layer(model)
    if layer is not None and type(layer) is nn.Linear:
        layer.float()
        layer.__class__ = Float32Linear  # so that the model is saved, copied and loaded as before


def output_layer(model: "PreTrainedModel") -> nn.Linear | None:
    """Return the layer that gives the outputs of a classifier, or None if it ends with something else."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    return layers[-1] if layers and layers[-1].out_features == model.config.num_labels else None
