"""What a model is set to while the decoding loop runs, and set back to afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel


def unwrapped(model: nn.Module) -> PreTrainedModel:
    """Return the transformers model inside a PEFT model, or the model itself."""
    return model.get_base_model() if isinstance(model, PeftModel) else model  # type: ignore[return-value]


@contextmanager
def head_inputs(head: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what enters the output layer within a block: the hidden states before each token."""
    noted: list[Tensor] = []

    def before(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        # The last tokens of each row are a slice with gaps. torch would multiply it with the vocabulary row by row, which is
        # six times as slow as all rows at once; the results are the same to the last bit.
        noted.append(inputs[0].contiguous())
        return (noted[-1],)

    handle = head.register_forward_pre_hook(before, prepend=True)
    try:
        yield noted
    finally:
        handle.remove()


@contextmanager
def fast_head(model: nn.Module, size: int, steps: int) -> Iterator[None]:
    """Let a float32 output layer on a CPU write its logits into memory that is allocated once, in rows of whole cache lines.

    The product takes 1.4 times as long if the rows of its result do not begin at multiples of 64 bytes, and the vocabulary
    sizes of GPT-2 and similar models are odd. So a copy of the weights gets up to 15 rows of zeros; the copy costs as much as
    a few steps. The layer itself is replaced, so that everything else that the model does to its logits still happens.
    """
    head: Any = unwrapped(model).get_output_embeddings()
    linear = type(head) is nn.Linear and "forward" not in vars(head)  # TRL and accelerate put one of their own there
    if not linear or head.bias is not None or head.weight.device.type != "cpu" or head.weight.dtype != torch.float32:
        yield
        return
    if torch.is_autocast_enabled("cpu") or size * steps < 2048:
        yield
        return
    weight = nn.functional.pad(head.weight, (0, 0, 0, -head.weight.shape[0] % 16)).T
    memory = weight.new_empty(size, weight.shape[1])

    def forward(hidden_states: Tensor) -> Tensor:
        rows = hidden_states.reshape(-1, len(weight))
        out = memory[: len(rows)] if len(rows) <= size else None  # a model may project the whole prompt
        return torch.mm(rows, weight, out=out).view(*hidden_states.shape[:-1], -1)

    head.forward = forward
    try:
        yield
    finally:
        del head.forward  # restores the method of the class


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout off within a block, then restore the mode of each module."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def padding_unknown(model: nn.Module) -> Iterator[None]:
    """Hide the id of the padding token from a model within a block.

    Rows that have ended get padding tokens, and a batch without padded prompts gets no mask. Some models warn about the two
    together.
    """
    config = unwrapped(model).config
    padding = getattr(config, "pad_token_id", None)
    if padding is None:
        yield
        return
    try:
        config.pad_token_id = None
    except Exception:  # a family may insist on a token (ModernBERT's decoder); it then warns
        yield
        return
    try:
        yield
    finally:
        config.pad_token_id = padding
