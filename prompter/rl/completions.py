"""Log-probabilities of completions, with prompts that several of them share computed once.

In a minibatch there are as many different prompts as classes, and a request to a chat model is several times as long as the
opening that follows it. So each different prompt passes through the model once. Its keys and values are copied to the rows
whose completions continue it, and the gradient takes the way back: adapters change the prompt's keys and values, too. What
all prompts begin with, such as the first turn of a chat template, passes through the model once for all of them.
"""

import inspect
import os.path
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from prompter.decoding.cache import can_select_rows, keeps_gaps
from prompter.decoding.contexts import head_inputs, unwrapped
from prompter.decoding.prefix import left_padded

WORTH_A_PASS = 32
"""Tokens that must be saved before the common start of all prompts gets a pass of its own."""

WORTH_A_PASS_ON_A_GPU = 10**13
"""Weights times tokens that must be saved before prompts get a pass of their own on a GPU, where starting one takes longer."""


@dataclass(frozen=True)
class Scores:
    """What a model says about completions.

    Attributes:
        logps: (B, T) log-probability of each token.
        entropies: (B, T) entropy of the distribution that each token was drawn from; None if it was not asked for.
        hidden_states: (B, T, H) detached input of the output layer before each token.
    """

    logps: Tensor
    entropies: Tensor | None
    hidden_states: Tensor


def score_completions(
    model: nn.Module,
    input_ids: Tensor,
    attention_mask: Tensor,
    length: int,
    *,
    temperature: float = 1.0,
    entropy: bool = False,
    entropy_gradient: bool = False,
    share: bool = True,
) -> Scores:
    """Score completions under a causal language model; a gradient flows into `logps` where torch records one.

    Only the logits of completion tokens are computed. Prompts that occur twice or more on average are computed once, unless
    the model keeps recurrent states or recomputes its activations, or is too small for a GPU to gain by it.

    Args:
        model: A transformers causal LM, or a `PeftModel` of one; adapters stay on or off.
        input_ids: (B, P + T) prompts, padded on the left, and completions, padded on the right.
        attention_mask: (B, P + T) 1 for tokens, 0 for padding. Each prompt has a token.
        length: T >= 1, the number of columns of the completions.
        temperature: Divisor of the logits, > 0.
        entropy: Whether to compute entropies.
        entropy_gradient: Whether they have a gradient, which needs a second graph over the vocabulary.
        share: Whether prompts may be shared. Results differ by rounding only.
    """
    base = unwrapped(model)
    accepted = inspect.signature(type(base).forward).parameters
    width = input_ids.size(1) - length
    targets = input_ids[:, width:]
    positions = (attention_mask.cumsum(-1) - 1).clamp(min=0)

    def run(ids: Tensor, mask: Tensor, places: Tensor, last: int, cache: DynamicCache | None = None) -> tuple[Tensor, Tensor]:
        """Return logits (n, last, V) and hidden states (n, last, H) of the last positions of some rows."""
        options: dict[str, Any] = {"use_cache": cache is not None}
        if cache is not None:
            options["past_key_values"] = cache
        if "logits_to_keep" in accepted:
            options["logits_to_keep"] = last
        if "position_ids" in accepted:
            options["position_ids"] = places
        with head_inputs(base.get_output_embeddings()) as states:
            logits = model(input_ids=ids, attention_mask=mask, **options).logits
        return logits[:, -last:].float(), states[-1][:, -last:].detach()

    def token_scores(logits: Tensor, rows: Tensor | None, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return log-probabilities and entropies (B, n) of tokens (B, n) under logits, of which a row has row `rows`."""
        log_probs = (logits if temperature == 1 else logits / temperature).log_softmax(-1)
        entropies = None
        if entropy and entropy_gradient:
            entropies = -(log_probs.exp() * log_probs).sum(-1)
        elif entropy:  # it is only logged, so no graph over the vocabulary, and no second tensor of that size
            entropies = -log_probs.detach().exp().mul_(log_probs.detach()).sum(-1)
        if rows is None:
            return log_probs.gather(-1, tokens[..., None]).squeeze(-1), entropies
        return log_probs[rows, 0, tokens[:, 0]][:, None], None if entropies is None else entropies[rows]

    shared = _shared_prompts(model, input_ids[:, :width], attention_mask[:, :width]) if share else None
    if shared is None:
        logits, states = run(input_ids, attention_mask, positions, length + 1)
        return Scores(*token_scores(logits[:, :-1], None, targets), states[:, :-1])
    prompts, rows = shared
    cache = DynamicCache(config=base.config)
    start = _common_start(base, prompts, length)
    ids, mask = (tensor.to(rows.device) for tensor in left_padded([prompt[start:] for prompt in prompts], 0))
    if start:
        common = torch.tensor([prompts[0][:start]], device=rows.device)
        run(common, torch.ones_like(common), torch.arange(start, device=rows.device)[None], 1, cache)
        cache.reorder_cache(rows.new_zeros(len(prompts)))
        mask = torch.cat([mask.new_ones(len(mask), start), mask], dim=1)
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    logits, states = run(ids, mask, places[:, start:], 1, cache)
    parts = [(*token_scores(logits, rows, targets[:, :1]), states[rows])]  # a prompt's last state predicts the first token
    if length > 1:
        cache.reorder_cache(rows)  # a differentiable copy of the prompts' keys and values for each row
        whole = torch.cat([mask[rows], attention_mask[:, width:-1]], dim=1)
        places = (whole.cumsum(-1) - 1).clamp(min=0)[:, mask.size(1) :]
        logits, states = run(targets[:, :-1], whole, places, length - 1, cache)
        parts.append((*token_scores(logits, None, targets[:, 1:]), states))
    entropies = [part[1] for part in parts if part[1] is not None]
    return Scores(
        torch.cat([part[0] for part in parts], dim=1),
        torch.cat(entropies, dim=1) if entropies else None,
        torch.cat([part[2] for part in parts], dim=1),
    )


def shared_pays(model: PreTrainedModel, copies: int, width: int) -> bool:
    """Return whether a pass for prompts alone costs less than `copies` prompts of `width` tokens in the pass of the rest."""
    return model.device.type != "cuda" or model.num_parameters() * copies * width >= WORTH_A_PASS_ON_A_GPU


def _shared_prompts(model: nn.Module, ids: Tensor, mask: Tensor) -> tuple[list[list[int]], Tensor] | None:
    """Return the K different prompts, and (B,) which of them each row has; None if rows cannot share them or gain nothing."""
    size, width = ids.shape
    if not _can_share(model) or not shared_pays(unwrapped(model), size, width):  # on a GPU the first look costs nothing
        return None
    numbers: dict[tuple[int, ...], int] = {}
    begins = mask.argmax(dim=1).tolist()
    which = [numbers.setdefault(tuple(row[begin:]), len(numbers)) for row, begin in zip(ids.tolist(), begins, strict=True)]
    if 2 * len(numbers) > size or not shared_pays(unwrapped(model), size - len(numbers), width):
        return None
    return [list(prompt) for prompt in numbers], torch.tensor(which, device=ids.device)


def _can_share(model: nn.Module) -> bool:
    """Return whether rows can continue copies of another row's keys and values."""
    base = unwrapped(model)
    if "past_key_values" not in inspect.signature(type(base).forward).parameters:
        return False
    # A model that recomputes activations keeps no keys and values while it is trained.
    recomputes = model.training and torch.is_grad_enabled() and getattr(base, "is_gradient_checkpointing", False)
    return not recomputes and can_select_rows(DynamicCache(config=base.config))


def _common_start(model: PreTrainedModel, prompts: list[list[int]], length: int) -> int:
    """Return how many first tokens all prompts share and pass through the model once; 0 if that does not pay.

    Chat templates begin alike, and so do requests that differ in the name of a class.
    """
    start = min(len(os.path.commonprefix(prompts)), min(map(len, prompts)) - 1)  # each prompt keeps a token of its own
    longest = max(map(len, prompts))
    if start * (len(prompts) - 1) < WORTH_A_PASS:
        return 0
    # Prompts of unequal length leave a gap of padding after the start.
    gaps = len(set(map(len, prompts))) > 1
    return 0 if gaps and keeps_gaps(model, DynamicCache(config=model.config), longest + length) else start
