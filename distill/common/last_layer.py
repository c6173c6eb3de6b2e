"""Compute only what is read of an encoder's last layer.

A classifier of BERT's kind reads the last layer's first position alone, and a loss about hidden words reads the positions of
these words. There the other positions are needed as keys and values only: of a layer's matrix products, a sixth. Outputs and
gradients stay the same up to rounding. Ours.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

READS_FIRST = {"bert", "roberta", "xlm-roberta", "camembert", "electra"}
"""Families whose classifier reads the first position alone, after a last layer whose keys may come from a cache."""

NARROWEST = 128
"""Width of a model from which this is used. In narrower ones Python takes longer than what is left out."""


class _OtherPositions:
    """Keys and values of all positions, in the place of a cache: attention asks it for them."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys, values

    def update(self, *_: Any) -> tuple[Tensor, Tensor]:
        """Return them, whatever was computed of the chosen positions again."""
        return self.keys, self.values


@contextmanager
def last_layer_at(model: PreTrainedModel, positions: Tensor | None = None) -> Iterator[bool]:
    """Let the last layer of a classifier compute some positions alone within a block.

    Args:
        model: A classifier of whole texts; any other model stays as it is. So does a model with dropout in training, because
            it would draw other random numbers.
        positions: (N, P) int64, the positions of each of N texts; None: the first one.

    Yields:
        Whether it does. The last hidden states are then (N, P, H), in the order of the positions.
    """
    layer = _last_layer(model)
    if layer is None:
        yield False
        return
    whole = layer.forward
    attention = layer.attention.self

    def forward(hidden_states: Tensor, attention_mask: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
        heads = (*hidden_states.shape[:-1], -1, attention.attention_head_size)
        keys, values = (f(hidden_states).view(heads).transpose(1, 2) for f in (attention.key, attention.value))
        # All positions of a text see the same others, so the mask of one is that of each.
        mask = attention_mask if attention_mask is None or attention_mask.ndim < 4 else attention_mask[:, :, :1]
        kwargs["past_key_values"] = _OtherPositions(keys, values)
        if positions is None:
            return whole(hidden_states[:, :1], mask, *args, **kwargs)
        chosen = hidden_states.gather(1, positions[..., None].expand(-1, -1, hidden_states.shape[-1]))
        return whole(chosen, mask, *args, **kwargs)

    layer.forward = forward
    try:
        yield True
    finally:
        del layer.forward  # restores the method of the class


def _last_layer(model: PreTrainedModel) -> Any:
    """Return the last layer of a classifier that reads the first position of it alone, or None."""
    config = model.config
    if getattr(config, "model_type", None) not in READS_FIRST or getattr(config, "is_decoder", False):
        return None
    if not type(model).__name__.endswith("ForSequenceClassification"):  # one that tags words reads all positions
        return None
    dropout = config.hidden_dropout_prob or config.attention_probs_dropout_prob
    if config.hidden_size < NARROWEST or (model.training and dropout):
        return None
    if model._compiled_call_impl is not None:  # a layer that changes would be compiled again at each call
        return None
    if config._attn_implementation not in ("sdpa", "eager"):  # flash attention takes masks of another form
        return None
    return model.base_model.encoder.layer[-1]
