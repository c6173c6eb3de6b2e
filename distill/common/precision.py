"""Which device and which number format to compute in.

bfloat16 halves memory and doubles speed only where the hardware multiplies it: on GPUs since Ampere and on CPUs with
AMX or AVX512-BF16. Elsewhere it is emulated, and a bf16 matrix product on such a CPU is some hundred times *slower*
than in float32. So the format is detected, never assumed. Weights that are trained always stay in float32 (bf16's
8 bits of mantissa lose small AdamW updates); bf16 enters through autocast.

The same run therefore rounds otherwise on another kind of machine. Where figures have to agree to many digits,
`PROMPTER_PRECISION=float32` turns bf16 off.
"""

import os
from contextlib import AbstractContextManager, nullcontext

import torch

from distill.common.errors import InputError

VARIABLE = "PROMPTER_PRECISION"


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """Turn a device name into a usable device; "auto" is the current CUDA device if there is one, else the CPU.

    Raises:
        InputError: the name is unknown to torch, or this machine has no such device.
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
    """Return whether `device` multiplies bfloat16 in hardware, and may: see `PROMPTER_PRECISION` above.

    Raises:
        InputError: `PROMPTER_PRECISION` is neither auto nor float32.
    """
    wanted = os.environ.get(VARIABLE) or "auto"
    if wanted not in ("auto", "float32"):
        raise InputError(f"{VARIABLE} is {wanted!r}, expected auto (bf16 where the hardware has it) or float32")
    if wanted == "float32":
        return False
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # torch has no public way to ask; these two are what its own inductor asks.
        return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return False


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """Return a context that runs matrix products in bf16 where that is fast, and changes nothing elsewhere."""
    if has_fast_bf16(device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def weight_dtype(device: torch.device) -> torch.dtype:
    """Return the format for *frozen* weights: bf16 on GPUs that have it, float32 elsewhere.

    Trained weights are float32 everywhere. On a CPU with fast bf16 frozen weights stay in float32 too: they are small
    beside the machine's memory, and autocast gives the speed.
    """
    return torch.bfloat16 if device.type == "cuda" and has_fast_bf16(device) else torch.float32
