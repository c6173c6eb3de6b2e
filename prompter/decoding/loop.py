"""A decoding loop for small causal language models, several times faster than `model.generate`.

This loop is our own because of its speed. With a model of a few million parameters, `generate` spends most of its time outside
the model: it sorts the vocabulary for top-p, copies the logits for every filter, draws with `torch.multinomial` (a random
number per *vocabulary entry*), and concatenates the whole key/value cache at each token. Six things differ here:

1. **Sampling needs no sort.** A token is drawn from the full softmax by inverting its cumulative sum, with one random
   number. The token lies in the top-p nucleus if, and only if, the strictly likelier tokens hold less than `top_p` of the
   mass, which is one masked sum. A row draws again if its token lies outside. This is rejection sampling, so it is exact.
   At most `1 / top_p` draws are expected, and the few rows that are rejected `DRAWS - 1` times are sorted.
2. **Large tensors are allocated once**: the cache (`PreallocatedLayer`, of which attention sees a growing view), the
   logits, and what is computed from them. On a CPU, page faults make fresh memory slower than the computation in it.
3. **Logits of the last position only**, and on a CPU in rows of whole cache lines (`fast_head`).
4. **Rows that have ended leave the batch** when they are a quarter of it, checked every `CHECK_EVERY` steps.
5. **A prefix that rows share is computed once** (`Prefix`), and its keys and values are copied to the rows. The request to a
   chat model is as long as the text that follows it, and there are only as many requests as classes.
6. **On a GPU, the pass of a token is a recorded graph** (`prompter.decoding.graphs`), and no step waits for the device but
   one in `CHECK_EVERY`.

Measured with `benchmarks/decoding.py`; the results are in `docs/benchmarks/speed.md`. We know no case where `generate` is
faster, so there is no switch to it.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from distill.common.errors import InputError
from prompter.decoding.cache import can_select_rows, keeps_gaps, new_cache
from prompter.decoding.contexts import evaluating, fast_head, head_inputs, padding_unknown, unwrapped
from prompter.decoding.graphs import COLUMNS, FixedStep, can_record, is_lasting, pays, recorded_prefix, recorded_step, state_of
from prompter.decoding.prefix import Prefix
from prompter.decoding.sampling import DRAWS, draw_tokens

CHECK_EVERY = 8
"""Steps between two checks for rows that have ended; each check waits for the device."""

DROP_SHARE = 0.25
"""Share of ended rows above which it pays to rebuild the batch without them."""


@dataclass(frozen=True)
class Decoded:
    """What `decode` wrote.

    Attributes:
        tokens: (B, T) new tokens with EOS, then padding. T is the length of the longest row.
        lengths: (B,) number of new tokens with EOS.
        logprobs: (B, T) float32, log-probability of each token under the model at temperature 1, without top-k, top-p and
            `min_new_tokens`; 0 on padding. None without `return_logprobs`.
        hidden_states: (B, T, H) float32, input of the output layer before each token; arbitrary on padding. None without
            `return_hidden_states`.
    """

    tokens: Tensor
    lengths: Tensor
    logprobs: Tensor | None
    hidden_states: Tensor | None = None


def context_length(model: nn.Module) -> int | None:
    """Return the most positions that the model was made for; None if its configuration names no limit."""
    config = unwrapped(model).config
    limits = (getattr(config, name, None) for name in ("max_position_embeddings", "n_positions"))
    return next((limit for limit in limits if isinstance(limit, int) and limit > 0), None)


@torch.no_grad()  # not inference_mode: tensors that a model caches here (rotary tables) must stay usable for training
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
    random: torch.Generator | None,
    return_logprobs: bool = True,
    return_hidden_states: bool = False,
    prefix: Prefix | None = None,
) -> Decoded:
    """Continue left-padded prompts with a causal language model.

    The model is in evaluation mode within this function. The tokens of a row depend on its prompt, on `random`, on the batch
    size and on the row's place in the batch; the tokens of other rows change them by rounding at most. If a prompt leaves
    no room for `max_new_tokens` in the model's context, its first tokens are cut off.

    Args:
        model: A transformers causal LM with a key/value cache, or a `PeftModel` of one; adapters stay on or off.
        input_ids: (B, P) prompts, padded on the left; on the model's device. With a `prefix`, what follows it, maybe (B, 0).
        attention_mask: (B, P) 1 for tokens, 0 for padding.
        max_new_tokens: Most tokens to add, >= 1 and below the model's context length.
        min_new_tokens: Least number of tokens before EOS can be drawn.
        eos_token_ids: Tokens that end a row; may be empty.
        pad_token_id: Token that fills rows that have ended; may be one of the EOS tokens.
        temperature: Divisor of the logits; 0 takes the likeliest token and equals `generate(do_sample=False)`.
        top_k: See `prompter.decoding.sampling.draw_tokens`.
        top_p: See `prompter.decoding.sampling.draw_tokens`.
        random: Random generator on the model's device, the only source of randomness. None at temperature 0.
        return_logprobs: Whether to compute `logprobs`, which costs nothing at temperature 1.
        return_hidden_states: Whether to keep `hidden_states`.
        prefix: First tokens that rows share. The results are those of the whole prompts, up to rounding. Where the model
            cannot share them (recurrent states; a gap of padding that it would count; too long for its context), the rows
            get whole prompts.

    Raises:
        InputError: An argument is out of range, a prompt is empty or padded on the right, the model keeps no key/value
            cache, or with `return_logprobs` its logits are not finite.
    """
    accepted = inspect.signature(type(unwrapped(model)).forward).parameters
    if "past_key_values" not in accepted:
        name = type(unwrapped(model)).__name__
        raise InputError(f"generator: {name} keeps no key/value cache; use another causal language model.")
    if not temperature >= 0 or not 0 < top_p <= 1 or top_k < 0:
        raise InputError(f"temperature {temperature}, top_p {top_p}, top_k {top_k}: expected >= 0, in (0, 1], >= 0.")
    base = unwrapped(model)
    if prefix is not None and not _can_share(base, prefix, attention_mask, max_new_tokens):
        input_ids, attention_mask = prefix.before(input_ids, attention_mask, pad_token_id)
        prefix = None
    input_ids, attention_mask = _checked_prompts(model, input_ids, attention_mask, max_new_tokens, prefix)
    size, device = len(input_ids), input_ids.device
    eos = torch.tensor(sorted(set(eos_token_ids)), dtype=torch.long, device=device)
    shared = attention_mask[:, :0] if prefix is None else prefix.attention_mask[prefix.rows]
    # The mask for all steps; step t uses its first width + t columns. Columns that no step uses even out the shapes on a GPU.
    width = shared.shape[1] + attention_mask.shape[1]
    unused = -(width + max_new_tokens) % COLUMNS if device.type == "cuda" else 0
    mask = torch.cat([shared, attention_mask, attention_mask.new_ones(size, max_new_tokens + unused)], dim=1)
    padded = not bool(mask.all())
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    cache = new_cache(base, mask.shape[1])
    options: dict[str, Any] = {"use_cache": True} | ({"logits_to_keep": 1} if "logits_to_keep" in accepted else {})

    tokens = torch.full((size, max_new_tokens), pad_token_id, device=device)
    logprobs = torch.zeros(size, max_new_tokens, device=device)
    lengths = torch.zeros(size, dtype=torch.long, device=device)
    rows = torch.arange(size, device=device)  # rows of the batch that are still decoded
    alive = torch.ones(size, dtype=torch.bool, device=device)
    current, begin, steps = input_ids, shared.shape[1], max_new_tokens
    head = base.get_output_embeddings()
    vocabulary = head.weight.shape[0]
    lasting = is_lasting(model)
    recordable = "position_ids" in accepted and can_record(base, cache)
    state = state_of(base) if recordable else ()
    scratch: Tensor | None = None
    hidden: Tensor | None = None

    def forward(ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        """Return the logits (B, V) after the last of the tokens `ids`; the mask is (B, all tokens), or see `FixedStep`."""
        options["past_key_values"] = cache
        options["attention_mask"] = mask if padded or mask.ndim == 4 else None
        if "position_ids" in accepted:
            options["position_ids"] = positions
        return model(input_ids=ids, **options).logits[:, -1]

    with (
        evaluating(model),
        padding_unknown(model),
        fast_head(model, size, max_new_tokens),
        head_inputs(head) as noted,
    ):
        first: Tensor | None = None
        fixed: FixedStep | None = None
        if prefix is not None:
            records = recordable and lasting and pays(max_new_tokens, lasting)
            begun = recorded_prefix(base, forward, cache, prefix, state, padded) if records else None
            if begun is None:
                first = forward(prefix.input_ids, prefix.attention_mask, prefix.positions)
                cache.batch_select_indices(prefix.rows)
            else:
                first = begun(prefix)
                begun.fill(cache, prefix.rows)
                if begun.recorded:
                    begun.states = begun.states or noted[-1:]
                noted[:] = begun.states or noted[-1:]
        for step in range(max_new_tokens):
            end = width + step
            if prefix is not None and end == begin:  # the prefix is the whole prompt
                assert first is not None
                logits = first[prefix.rows].float()
                noted[:] = [states[prefix.rows] for states in noted]
            else:
                if step == 1 and recordable and pays(max_new_tokens - step, lasting):
                    fixed = recorded_step(base, forward, cache, mask, positions, current, begin, state, lasting)
                    if fixed is not None and fixed.recorded:
                        fixed.states = fixed.states or noted[-1:]
                if fixed is None:
                    logits = forward(current, mask[:, :end], positions[:, begin:end]).float()
                else:
                    logits = fixed(current, begin).float()
                    noted[:] = fixed.states or noted
            begin = end
            uniforms = _uniforms(size, random, device)[rows] if temperature > 0 else None
            logits[:, vocabulary:] = -torch.inf  # columns that `fast_head` added
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
            if return_hidden_states:
                states = noted[-1][:, -1]
                hidden = torch.zeros(size, max_new_tokens, states.shape[-1], device=device) if hidden is None else hidden
                hidden[rows, step] = states.float()
            noted.clear()
            current = token[:, None]
            if len(eos) == 0:
                continue
            alive = alive & (current != eos).all(-1)
            if (step + 1) % CHECK_EVERY == 0:
                left = alive.nonzero().squeeze(-1)
                if len(left) == 0:
                    steps = step + 1
                    break
                if fixed is None and len(left) <= (1 - DROP_SHARE) * len(rows) and can_select_rows(cache):
                    cache.batch_select_indices(left)
                    mask, positions, rows, alive, current = (x[left] for x in (mask, positions, rows, alive, current))
    if return_logprobs and not bool(logprobs.isfinite().all()):
        raise InputError("generator: its logits are not finite; load it in float32, or check its weights.")
    steps = min(steps, int(lengths.max()))
    return Decoded(
        tokens[:, :steps],
        lengths,
        logprobs[:, :steps] if return_logprobs else None,
        None if hidden is None else hidden[:, :steps],
    )


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
    """Return tokens (B,) and their log-probabilities (B,) for logits (B, V).

    Args:
        logits: (B, V); they are overwritten at the forbidden tokens.
        uniforms: (B, DRAWS) uniform numbers; None takes the likeliest token.
        temperature: See `decode`.
        top_k: See `decode`.
        top_p: See `decode`.
        forbidden: (n,) tokens that cannot be drawn.
        return_logprobs: See `decode`.
        scratch: (2, B, V) working memory.
    """
    # Whether tokens are drawn from the model's own distribution, apart from truncation.
    plain = uniforms is not None and temperature == 1 and len(forbidden) == 0
    normalizer = logits.logsumexp(-1) if return_logprobs and not plain else None
    if len(forbidden):
        logits[:, forbidden] = -torch.inf
    if uniforms is None:
        token = logits.argmax(-1)
    else:
        scores = logits if temperature == 1 else torch.div(logits, temperature, out=scratch[1])
        p = torch.softmax(scores, -1, out=scratch[0])
        token = draw_tokens(p, uniforms, top_k=top_k, top_p=top_p, scratch=scratch[1])
        if return_logprobs and plain:
            return token, p.gather(1, token[:, None]).squeeze(-1).log()
    if normalizer is None:
        return token, None
    return token, logits.gather(1, token[:, None]).squeeze(-1) - normalizer


def _uniforms(size: int, random: torch.Generator | None, device: torch.device) -> Tensor:
    """Return the random numbers (size, DRAWS) of one step. Their number is fixed, so rows do not affect each other's draws."""
    dtype = torch.float32 if device.type == "mps" else torch.float64  # Apple GPUs have no float64
    return torch.rand(size, DRAWS, dtype=dtype, device=device, generator=random)


def _checked_prompts(
    model: nn.Module, input_ids: Tensor, attention_mask: Tensor, max_new_tokens: int, prefix: Prefix | None
) -> tuple[Tensor, Tensor]:
    """Return the prompts, cut on the left to fit the context."""
    context = context_length(model)
    if max_new_tokens < 1 or (context is not None and max_new_tokens >= context):
        limit = "a number >= 1" if context is None else f"1 to {context - 1}: the model's context is {context} tokens"
        raise InputError(f"max_new_tokens is {max_new_tokens}, expected {limit}.")
    if context is not None and prefix is None and input_ids.shape[1] + max_new_tokens > context:
        input_ids, attention_mask = (x[:, max_new_tokens - context :] for x in (input_ids, attention_mask))
    if not bool((attention_mask if prefix is None else prefix.attention_mask)[:, -1].all()):
        raise InputError("prompts: a row has no token in the last column; give non-empty prompts, padded on the left.")
    return input_ids, attention_mask


def _can_share(model: PreTrainedModel, prefix: Prefix, attention_mask: Tensor, max_new_tokens: int) -> bool:
    """Return whether rows with the mask (B, W) can follow a prefix that is computed once."""
    capacity = prefix.input_ids.shape[1] + attention_mask.shape[1] + max_new_tokens
    context = context_length(model)
    cache = new_cache(model, capacity)
    if (context is not None and capacity > context) or not can_select_rows(cache):
        return False
    if not bool(attention_mask[:, -1:].all()):  # a row has no token of its own, and others have
        return False
    # Rows of unequal length leave a gap of padding after the prefix. Where a distance counts the gap, it must not be.
    return bool(attention_mask.all()) or not keeps_gaps(model, cache, capacity)
