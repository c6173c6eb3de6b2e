"""Drawing tokens from truncated distributions without sorting them; `prompter.generation.decoding` says why."""

import numpy as np
import torch
from torch import Tensor, nn

DRAWS = 8
"""Draws per row and token; the last one, from the sorted distribution, cannot be rejected."""

BLOCK = 128
"""Vocabulary entries per block of the two-level inverse of the cumulative sum."""

FEW = 256
"""Up to this k, and on any GPU, `torch.topk` finds the k-th largest faster than a partition of the row, or nearly so."""


def draw(weights: Tensor, uniforms: Tensor, *, top_k: int = 0, top_p: float = 1.0, scratch: Tensor | None = None) -> Tensor:
    """Draw one token per row from a truncated distribution.

    Top-k comes first and top-p then sees the distribution that is left, as in transformers. Tokens of equal weight are
    treated alike: all that tie with the last one kept are kept, where a sort would choose among them by position.

    Args:
        weights: (B, V) probabilities of any scale, >= 0, a positive sum per row.
        uniforms: (B, DRAWS) independent uniform numbers in [0, 1), float64; all the randomness there is.
        top_k: Keep tokens with fewer than this many strictly likelier ones; 0 keeps all.
        top_p: Keep tokens whose strictly likelier ones hold less than this share of the mass, in (0, 1].
        scratch: (B, V) memory to work in, like `weights`.

    Returns:
        (B,) int64.
    """
    scratch = torch.empty_like(weights) if scratch is None else scratch
    if 0 < top_k < weights.shape[1]:
        weights = _at_least(weights, _kth_largest(weights, top_k))
    tokens = _inverse_cdf(weights, uniforms[:, 0])
    if top_p >= 1:
        return tokens
    limit = top_p * weights.sum(-1)
    rows, pending, drawn = None, weights, tokens  # rows None: all of them
    for turn in range(1, DRAWS):
        # Comparing into a float tensor, then multiplying, is several times faster on a CPU than masking by booleans.
        likelier = torch.gt(pending, pending.gather(1, drawn[:, None]), out=scratch[: len(pending)])
        outside = likelier.mul_(pending).sum(-1) >= (limit if rows is None else limit[rows])
        rejected = outside.nonzero().squeeze(-1)
        if len(rejected) == 0:
            return tokens
        rows = rejected if rows is None else rows[rejected]
        pending = weights[rows]
        if turn == DRAWS - 1:  # the last one has to succeed
            pending = _nucleus(pending, top_p)
        drawn = _inverse_cdf(pending, uniforms[rows, turn])
        tokens[rows] = drawn
    return tokens


def _inverse_cdf(weights: Tensor, uniforms: Tensor) -> Tensor:
    """Token (B,) where the cumulative sum of `weights` (B, V) first exceeds the share `uniforms` (B,) of its total.

    In two levels, block and token within it, so that only the sums of blocks are cumulated over the whole vocabulary.
    """
    size, vocabulary = weights.shape
    if vocabulary <= BLOCK:
        return _invert(weights, uniforms)[0]
    whole = vocabulary // BLOCK
    masses = weights[:, : whole * BLOCK].reshape(size, whole, BLOCK).sum(-1)
    if whole * BLOCK < vocabulary:
        masses = torch.cat([masses, weights[:, whole * BLOCK :].sum(-1, keepdim=True)], dim=1)
    block, fraction = _invert(masses, uniforms)
    ids = block[:, None] * BLOCK + torch.arange(BLOCK, device=weights.device)
    inside = weights.gather(1, ids.clamp(max=vocabulary - 1)) * (ids < vocabulary)
    # The clamp matters for NaN alone, which must come out as NaN log-probabilities and not as a crash of the device.
    return (block * BLOCK + _invert(inside, fraction)[0]).clamp(max=vocabulary - 1)


def _invert(masses: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Index (B,) of the mass in (B, n) that each number (B,) falls on, and how far into it, in [0, 1)."""
    # float64: in float32 the cumulative sum would swallow rare tokens. An index found this way has a positive mass.
    cumulative = nn.functional.pad(masses.to(uniforms.dtype).cumsum(-1), (1, 0))
    target = uniforms * cumulative[:, -1]
    index = torch.searchsorted(cumulative[:, 1:].contiguous(), target[:, None], right=True)
    index = index.clamp(max=masses.shape[1] - 1)
    begin, end = cumulative.gather(1, index).squeeze(1), cumulative.gather(1, index + 1).squeeze(1)
    below_one = 1 - torch.finfo(uniforms.dtype).eps
    return index.squeeze(1), ((target - begin) / (end - begin)).clamp(0, below_one)


def _at_least(weights: Tensor, threshold: Tensor) -> Tensor:
    """`weights` (B, V) with those below their row's `threshold` (B, 1) set to 0."""
    return torch.ge(weights, threshold, out=torch.empty_like(weights)).mul_(weights)


def _kth_largest(weights: Tensor, k: int) -> Tensor:
    """The k-th largest of each row of `weights` (B, V), (B, 1)."""
    if weights.device.type != "cpu" or k <= FEW:
        return weights.topk(k, sorted=False).values.amin(dim=-1, keepdim=True)
    # At a k of thousands, which a hot writer wants, topk takes longer than the model itself.
    place = weights.shape[1] - k
    return torch.from_numpy(np.partition(weights.numpy(), place, axis=1)[:, place : place + 1])


def _nucleus(weights: Tensor, top_p: float) -> Tensor:
    """`weights` (B, V) with those outside the top-p nucleus set to 0, by sorting."""
    ordered = weights.sort(dim=-1, descending=True).values
    likelier = ordered.cumsum(-1) - ordered
    inside = likelier < top_p * ordered.sum(-1, keepdim=True)
    inside[:, 0] = True
    return _at_least(weights, ordered.gather(1, inside.sum(-1, keepdim=True) - 1))
