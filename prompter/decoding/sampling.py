"""Draw tokens from truncated distributions without sorting; `prompter.decoding.loop` says why."""

import numpy as np
import torch
from torch import Tensor, nn

DRAWS = 8
"""Most draws per row and token. The last one is from the sorted distribution and cannot be rejected."""

VOCABULARY_BLOCK = 128
"""Vocabulary entries per block, for the two-level inverse of the cumulative sum."""

FEW = 256
"""Up to this k, `torch.topk` on a CPU finds the k-th largest entry about as fast as a partition of the row."""


def draw_tokens(
    weights: Tensor, uniforms: Tensor, *, top_k: int = 0, top_p: float = 1.0, scratch: Tensor | None = None
) -> Tensor:
    """Draw one token per row from a truncated distribution.

    Top-k is applied first, and top-p to the distribution that is left, as in transformers. Tokens of equal weight are treated
    alike: if the last token that is kept has ties, all of them are kept. A sort would choose among them by position.

    Args:
        weights: (B, V) probabilities of any scale, >= 0, with a positive sum per row.
        uniforms: (B, DRAWS) independent uniform numbers in [0, 1), float64. They are the only source of randomness.
        top_k: Keep a token if fewer than `top_k` tokens are strictly likelier; 0 keeps all.
        top_p: Keep a token if the strictly likelier ones hold less than this share of the mass, in (0, 1].
        scratch: (B, V) working memory of the type of `weights`.

    Returns:
        (B,) int64.
    """
    scratch = torch.empty_like(weights) if scratch is None else scratch
    if 0 < top_k < weights.shape[1]:
        weights = _at_least(weights, _kth_largest(weights, top_k))
    if top_p < 1 and weights.device.type == "cuda":  # there a sort is cheap, and to wait for which rows draw again is not
        return _inverse_cdf(_nucleus(weights, top_p), uniforms[:, 0])
    tokens = _inverse_cdf(weights, uniforms[:, 0])
    if top_p >= 1:
        return tokens
    limit = top_p * weights.sum(-1)
    rows, pending, drawn = None, weights, tokens  # None stands for all rows
    for turn in range(1, DRAWS):
        # On a CPU, comparing into a float tensor and multiplying is several times faster than a boolean mask.
        likelier = torch.gt(pending, pending.gather(1, drawn[:, None]), out=scratch[: len(pending)])
        outside = likelier.mul_(pending).sum(-1) >= (limit if rows is None else limit[rows])
        rejected = outside.nonzero().squeeze(-1)
        if len(rejected) == 0:
            return tokens
        rows = rejected if rows is None else rows[rejected]
        pending = weights[rows]
        if turn == DRAWS - 1:  # the last draw must not be rejected
            pending = _nucleus(pending, top_p)
        drawn = _inverse_cdf(pending, uniforms[rows, turn])
        tokens[rows] = drawn
    return tokens


def _inverse_cdf(weights: Tensor, uniforms: Tensor) -> Tensor:
    """Return the token (B,) where the cumulative sum of `weights` (B, V) first exceeds the share `uniforms` (B,) of its total.

    It works in two levels, block and token within the block, so that a cumulative sum over the vocabulary has few terms.
    """
    size, vocabulary = weights.shape
    if vocabulary <= VOCABULARY_BLOCK:
        return _invert(weights, uniforms)[0]
    whole = vocabulary // VOCABULARY_BLOCK
    masses = weights[:, : whole * VOCABULARY_BLOCK].reshape(size, whole, VOCABULARY_BLOCK).sum(-1)
    if whole * VOCABULARY_BLOCK < vocabulary:
        masses = torch.cat([masses, weights[:, whole * VOCABULARY_BLOCK :].sum(-1, keepdim=True)], dim=1)
    block, fraction = _invert(masses, uniforms)
    ids = block[:, None] * VOCABULARY_BLOCK + torch.arange(VOCABULARY_BLOCK, device=weights.device)
    inside = weights.gather(1, ids.clamp(max=vocabulary - 1)) * (ids < vocabulary)
    # The clamp is for NaN, which must lead to NaN log-probabilities and not to a crash of the device.
    return (block * VOCABULARY_BLOCK + _invert(inside, fraction)[0]).clamp(max=vocabulary - 1)


def _invert(masses: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Return the index (B,) of the mass in (B, n) on which each number (B,) falls, and the position within it in [0, 1)."""
    # In float32 the cumulative sum would lose rare tokens, so it is float64. The mass at the index is always positive.
    cumulative = nn.functional.pad(masses.to(uniforms.dtype).cumsum(-1), (1, 0))
    target = uniforms * cumulative[:, -1]
    index = torch.searchsorted(cumulative[:, 1:].contiguous(), target[:, None], right=True)
    index = index.clamp(max=masses.shape[1] - 1)
    begin, end = cumulative.gather(1, index).squeeze(1), cumulative.gather(1, index + 1).squeeze(1)
    below_one = 1 - torch.finfo(uniforms.dtype).eps
    return index.squeeze(1), ((target - begin) / (end - begin)).clamp(0, below_one)


def _at_least(weights: Tensor, threshold: Tensor) -> Tensor:
    """Return `weights` (B, V), with 0 for each weight below the `threshold` (B, 1) of its row."""
    return torch.ge(weights, threshold, out=torch.empty_like(weights)).mul_(weights)


def _kth_largest(weights: Tensor, k: int) -> Tensor:
    """Return the k-th largest entry (B, 1) of each row of `weights` (B, V)."""
    if weights.device.type != "cpu" or k <= FEW:
        return weights.topk(k, sorted=False).values.amin(dim=-1, keepdim=True)
    # With a k in the thousands, as for high temperatures, topk takes longer than the model itself.
    place = weights.shape[1] - k
    return torch.from_numpy(np.partition(weights.numpy(), place, axis=1)[:, place : place + 1])


def _nucleus(weights: Tensor, top_p: float) -> Tensor:
    """Return `weights` (B, V), with 0 for each weight outside the top-p nucleus, by sorting."""
    ordered = weights.sort(dim=-1, descending=True).values
    likelier = ordered.cumsum(-1) - ordered
    inside = likelier < top_p * ordered.sum(-1, keepdim=True)
    inside[:, 0] = True
    return _at_least(weights, ordered.gather(1, inside.sum(-1, keepdim=True) - 1))
