"""A decoding loop for small causal language models, several times faster than `model.generate`.

With a model of a few million parameters `generate` spends most of its time beside the model: it sorts the vocabulary
for top-p, copies the logits for every filter, draws with `torch.multinomial` (a random number per *vocabulary entry*),
and concatenates the whole key/value cache at each token. Four things differ here:

1. **Sampling needs no sort.** A token is drawn from the full softmax by inverting its cumulative sum, with one random
   number. It lies in the top-p nucleus exactly if the tokens strictly likelier than it hold less than `top_p` of the
   mass, which is one masked sum. Rows whose token lies outside draw again. That is rejection sampling, hence exact;
   at most `1 / top_p` draws are expected, and the few rows rejected `DRAWS - 1` times are sorted after all.
2. **Large tensors are allocated once**: the cache (`PreallocatedLayer`), handed to attention as a growing view, and the
   logits and what is made of them. On a CPU fresh memory is slower to come by than to compute with: it has page faults.
3. **Logits of the last position only**, and on a CPU with rows of whole cache lines (`_fast_head`).
4. **Ended rows leave the batch** once they are a quarter of it; `CHECK_EVERY` steps lie between two looks at that.

Measured with `benchmarks/decoding.py`; the figures are in `docs/benchmarks.md`. We know no case in which `generate` is
faster, so there is no switch to it.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin

from distill.common.errors import InputError
from prompter.generation.sampling import DRAWS, draw

CHECK_EVERY = 8
"""Steps between two looks at which rows have ended: each look waits for the device."""

DROP_SHARE = 0.25
"""Share of ended rows from which it pays to rebuild the batch without them."""


@dataclass(frozen=True)
class Decoded:
    """What `decode` wrote.

    Attributes:
        tokens: (B, T) new tokens, EOS included, then padding. T is the longest row's length.
        lengths: (B,) number of new tokens, EOS included.
        logprobs: (B, T) float32, log-probability of each token under the model itself, at temperature 1 and without top-k,
            top-p and `min_new_tokens`; 0 on padding. None if not asked for.
    """

    tokens: Tensor
    lengths: Tensor
    logprobs: Tensor | None


class PreallocatedLayer(DynamicLayer):
    """Keys and values of one layer in memory taken once, instead of a copy of all of them at every token.

    Args:
        capacity: Most positions it will hold.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        """Append (B, heads, n, size) keys and values; return all of them, as views."""
        begin = self.get_seq_length()
        if begin == 0:
            self.dtype, self.device, self.is_initialized = key_states.dtype, key_states.device, True
            self._key_memory, self._value_memory = (
                states.new_empty(*states.shape[:2], self.capacity, states.shape[-1]) for states in (key_states, value_states)
            )
        end = begin + key_states.shape[-2]
        self._key_memory[:, :, begin:end] = key_states
        self._value_memory[:, :, begin:end] = value_states
        self.keys, self.values = self._key_memory[:, :, :end], self._value_memory[:, :, :end]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep those rows of the batch."""
        length = self.keys.shape[-2]
        self._key_memory, self._value_memory = self._key_memory[indices], self._value_memory[indices]
        self.keys, self.values = self._key_memory[:, :, :length], self._value_memory[:, :, :length]


def left_padded(rows: Sequence[Sequence[int]], pad_token_id: int, width: int | None = None) -> tuple[Tensor, Tensor]:
    """Token ids of unequal length as `input_ids` and `attention_mask`, padded on the left.

    Args:
        rows: B lists of token ids.
        pad_token_id: Fills the left.
        width: Columns of the result, at least the longest row's length, which is the default.

    Returns:
        Two (B, width) int64 tensors on the CPU.

    Examples:
        >>> left_padded([[5], [6, 7]], 0)
        (tensor([[0, 5],
                [6, 7]]), tensor([[0, 1],
                [1, 1]]))
    """
    width = width or max(map(len, rows))
    ids = [[pad_token_id] * (width - len(row)) + list(row) for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids), torch.tensor(mask)


def unwrapped(model: nn.Module) -> PreTrainedModel:
    """The transformers model inside a PEFT model, or the model itself."""
    return model.get_base_model() if isinstance(model, PeftModel) else model  # type: ignore[return-value]


def context_length(model: nn.Module) -> int | None:
    """Most positions the model is made for (`max_position_embeddings`, `n_positions`); None if it names no limit."""
    config = unwrapped(model).config
    limits = (getattr(config, name, None) for name in ("max_position_embeddings", "n_positions"))
    return next((limit for limit in limits if isinstance(limit, int) and limit > 0), None)


@torch.no_grad()  # not inference_mode: tensors a model caches in here (rotary tables) must stay usable for training
def decode(
    model: nn.Module,
    input_ids: Tensor,
    attention_mask: Tensor,
    *,
    max_new_tokens: int,
    min_new_tokens: int = 0,
    eos_token_ids: Sequence[int],
    pad_token_id: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    generator: torch.Generator | None,
    return_logprobs: bool = True,
) -> Decoded:
    """Continue left-padded prompts with a causal language model.

    The model is in evaluation mode meanwhile. A row's tokens depend on its prompt, on the generator, on the batch size
    and on its place in the batch; what other rows sample changes them by rounding at most. A prompt that would not
    leave room for `max_new_tokens` within the model's context loses its oldest tokens.

    Args:
        model: A transformers causal LM with a key/value cache, or a `PeftModel` of one; adapters act as they are set.
        input_ids: (B, P) prompts, padded on the left; on the model's device.
        attention_mask: (B, P) 1 for tokens, 0 for padding.
        max_new_tokens: Most tokens to add, >= 1 and below the model's context length.
        min_new_tokens: EOS cannot be drawn before that many tokens.
        eos_token_ids: Tokens that end a row; may be empty.
        pad_token_id: Fills rows that have ended; may be one of the EOS tokens.
        temperature: Divides the logits; 0 takes the likeliest token and equals `generate(do_sample=False)`.
        top_k: See `draw`.
        top_p: See `draw`.
        generator: Source of all randomness, on the model's device. May be None at temperature 0.
        return_logprobs: Whether to fill `logprobs` (free at temperature 1).

    Raises:
        InputError: An argument is out of range, a prompt is empty or padded on the right, the model keeps no key/value
            cache, or it computes NaN.
    """
    accepted = inspect.signature(type(unwrapped(model)).forward).parameters
    if "past_key_values" not in accepted:
        name = type(unwrapped(model)).__name__
        raise InputError(f"generator: {name} keeps no key/value cache; use another causal language model.")
    input_ids, attention_mask, padded = _checked_prompts(model, input_ids, attention_mask, max_new_tokens)
    if not temperature >= 0 or not 0 < top_p <= 1 or top_k < 0:
        raise InputError(f"temperature {temperature}, top_p {top_p}, top_k {top_k}: expected >= 0, in (0, 1], >= 0.")
    size, width = input_ids.shape
    device = input_ids.device
    eos = torch.tensor(sorted(set(eos_token_ids)), dtype=torch.long, device=device)
    # The mask of all steps at once; step t sees its first width + t columns.
    mask = torch.cat([attention_mask, attention_mask.new_ones(size, max_new_tokens)], dim=1)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    cache = _new_cache(unwrapped(model), width + max_new_tokens)
    options: dict[str, Any] = {"use_cache": True} | ({"logits_to_keep": 1} if "logits_to_keep" in accepted else {})

    tokens = torch.full((size, max_new_tokens), pad_token_id, device=device)
    logprobs = torch.zeros(size, max_new_tokens, device=device)
    lengths = torch.zeros(size, dtype=torch.long, device=device)
    rows = torch.arange(size, device=device)  # rows of the batch that are still decoded
    alive = torch.ones(size, dtype=torch.bool, device=device)
    current, begin, steps = input_ids, 0, max_new_tokens
    vocabulary = unwrapped(model).get_output_embeddings().weight.shape[0]
    scratch: Tensor | None = None
    with _evaluating(model), _padding_unknown(model), _fast_head(model, size, max_new_tokens):
        for step in range(max_new_tokens):
            end = width + step
            options["past_key_values"] = cache
            options["attention_mask"] = mask[:, :end] if padded else None
            if "position_ids" in accepted:
                options["position_ids"] = positions[:, begin:end]
            output = model(input_ids=current, **options)
            cache, begin = output.past_key_values, end
            uniforms = _uniforms(size, generator, device)[rows] if temperature > 0 else None
            logits = output.logits[:, -1].float()
            logits[:, vocabulary:] = -torch.inf  # what `_fast_head` added
            scratch = logits.new_empty(2, *logits.shape) if scratch is None else scratch[:, : len(logits)]
            token, logprob = _next_token(
                logits,
                uniforms,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                forbidden=eos if step < min_new_tokens else eos[:0],
                return_logprobs=return_logprobs,
                scratch=scratch,
            )
            token = torch.where(alive, token, pad_token_id)
            tokens[rows, step] = token
            lengths[rows] += alive
            if logprob is not None:
                logprobs[rows, step] = logprob * alive
            current = token[:, None]
            if len(eos) == 0:
                continue
            alive = alive & (current != eos).all(-1)
            if (step + 1) % CHECK_EVERY == 0:
                left = alive.nonzero().squeeze(-1)
                if len(left) == 0:
                    steps = step + 1
                    break
                if len(left) <= (1 - DROP_SHARE) * len(rows) and _can_drop_rows(cache):
                    cache.batch_select_indices(left)
                    mask, positions, rows, alive, current = (x[left] for x in (mask, positions, rows, alive, current))
    if return_logprobs and not bool(logprobs.isfinite().all()):
        raise InputError("generator: its logits are not finite; load it in float32, or check its weights.")
    steps = min(steps, int(lengths.max()))
    return Decoded(tokens[:, :steps], lengths, logprobs[:, :steps] if return_logprobs else None)


def _next_token(
    logits: Tensor,
    uniforms: Tensor | None,
    *,
    temperature: float,
    top_k: int,
    top_p: float,
    forbidden: Tensor,
    return_logprobs: bool,
    scratch: Tensor,
) -> tuple[Tensor, Tensor | None]:
    """Tokens (B,) and their log-probabilities (B,) for logits (B, V), which are then overwritten.

    Logits go at the tokens `forbidden` (n,), and everywhere for a temperature; `scratch` is (2, B, V) memory to work in.
    """
    # Whether the distribution that is sampled from is, before truncation, the model's own.
    plain = uniforms is not None and temperature == 1 and len(forbidden) == 0
    normalizer = logits.logsumexp(-1) if return_logprobs and not plain else None
    if len(forbidden):
        logits[:, forbidden] = -torch.inf
    if uniforms is None:
        token = logits.argmax(-1)
    else:
        scores = logits if temperature == 1 else torch.div(logits, temperature, out=scratch[1])
        p = torch.softmax(scores, -1, out=scratch[0])
        token = draw(p, uniforms, top_k=top_k, top_p=top_p, scratch=scratch[1])
        if return_logprobs and plain:
            return token, p.gather(1, token[:, None]).squeeze(-1).log()
    if normalizer is None:
        return token, None
    return token, logits.gather(1, token[:, None]).squeeze(-1) - normalizer


def _uniforms(size: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Random numbers (size, DRAWS) of one step: always as many, so that no row's draws depend on another row's."""
    dtype = torch.float32 if device.type == "mps" else torch.float64  # Apple GPUs have no float64
    return torch.rand(size, DRAWS, dtype=dtype, device=device, generator=generator)


def _checked_prompts(
    model: nn.Module, input_ids: Tensor, attention_mask: Tensor, max_new_tokens: int
) -> tuple[Tensor, Tensor, bool]:
    """The prompts, cut on the left to fit the context, and whether any row is padded."""
    context = context_length(model)
    if max_new_tokens < 1 or (context is not None and max_new_tokens >= context):
        limit = "a number >= 1" if context is None else f"1 to {context - 1}: the model's context is {context} tokens"
        raise InputError(f"max_new_tokens is {max_new_tokens}, expected {limit}.")
    if context is not None and input_ids.shape[1] + max_new_tokens > context:
        input_ids, attention_mask = (x[:, max_new_tokens - context :] for x in (input_ids, attention_mask))
    if not bool(attention_mask[:, -1].all()):
        raise InputError("prompts: a row has no token in the last column; give non-empty prompts, padded on the left.")
    return input_ids, attention_mask, not bool(attention_mask.all())


def _new_cache(model: PreTrainedModel, capacity: int) -> DynamicCache:
    """The model's own kind of cache, with its plain layers (not sliding-window or recurrent ones) preallocated."""
    cache = DynamicCache(config=model.config)
    cache.layers = [PreallocatedLayer(capacity) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def _can_drop_rows(cache: DynamicCache) -> bool:
    """Whether every layer of the cache can select rows: those of attention can, those of recurrent models cannot."""
    return all(
        isinstance(layer, DynamicLayer) and not isinstance(layer, LinearAttentionCacheLayerMixin) for layer in cache.layers
    )


@contextmanager
def _fast_head(model: nn.Module, size: int, steps: int) -> Iterator[None]:
    """Let a float32 output layer on a CPU write its logits into memory taken once, in rows of whole cache lines.

    The product takes 1.4 times as long if rows of its result do not begin at multiples of 64 bytes, and the vocabularies of
    GPT-2 and its like are odd numbers: so the weights get up to 15 rows of zeros, in a copy that costs as much as a few
    steps. This acts through the layer itself, so that whatever the model does to its logits is kept.
    """
    head: Any = unwrapped(model).get_output_embeddings()
    linear = type(head) is nn.Linear
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
        del head.forward  # the method of the class again


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout off for a block, then give each module its own mode back."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def _padding_unknown(model: nn.Module) -> Iterator[None]:
    """Hide the padding token's id from a model for a block.

    Rows that have ended are fed padding, and rows without padding need no mask: where both meet, some models warn.
    """
    config = unwrapped(model).config
    padding = getattr(config, "pad_token_id", None)
    if padding is None:
        yield
        return
    config.pad_token_id = None
    try:
        yield
    finally:
        config.pad_token_id = padding
