"""Texts one can differentiate: soft choices of tokens that classifiers read through their embeddings.

A straight-through choice (Bengio et al., arXiv 1308.3432; with Gumbel noise Jang et al., arXiv 1611.01144) is one token going
forward, and the whole distribution it was drawn from going backward. What a classifier reads at a position is then its
embedding of that token, plus a term that is zero and carries the gradient, so it sees exactly the text that was chosen.
"""

from typing import Any

import torch
from torch import Tensor


def gumbel_choice(logits: Tensor, temperature: float, random: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Choose a token at each position.

    Args:
        logits: (N, V), of any float format.
        temperature: Above 0; the lower, the more the gradient belongs to the token chosen.
        random: Source of the Gumbel noise, on the CPU; None chooses the likeliest token.

    Returns:
        The tokens chosen (N,) int64, a draw from `softmax(logits)`, and the soft choice (N, V) float32, which sums to 1.
    """
    scores = logits.float()
    if random is not None:
        noise = torch.empty(scores.shape).exponential_(generator=random).log_().neg_()
        scores = scores + noise.to(scores.device)
    return scores.argmax(dim=-1), (scores / temperature).softmax(dim=-1)


class _StraightThrough(torch.autograd.Function):
    """Rows of a table forward, a product with it backward: the product's value is never needed, so it is not computed."""

    @staticmethod
    def forward(ctx: Any, soft: Tensor, tokens: Tensor, table: Tensor) -> Tensor:
        ctx.save_for_backward(table)
        return table[tokens].float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (table,) = ctx.saved_tensors
        return gradients[0] @ table.float().T, None, None


def embed_choice(tokens: Tensor, soft: Tensor, table: Tensor) -> Tensor:
    """The embeddings of tokens chosen: their rows of the table forward, `soft @ table` backward.

    Args:
        tokens: (..., ) int64.
        soft: (..., V) float32, the soft choices, whose gradient is wanted.
        table: (V, H), the word embeddings of a classifier; counts as a constant.

    Returns:
        (..., H) float32.
    """
    return _StraightThrough.apply(soft, tokens, table)


def kl(target: Tensor, other: Tensor) -> Tensor:
    """`KL(p || q)` of each row in nats, (N,), from log-probabilities (N, K) of p (`target`) and q (`other`)."""
    return (target.exp() * (target - other)).sum(dim=-1)


def entropy(log_probs: Tensor) -> Tensor:
    """Entropy of each row in nats, (N,), from log-probabilities (N, K)."""
    return -(log_probs.exp() * log_probs).sum(dim=-1)
