"""Texts one can differentiate: soft choices of tokens that classifiers read through their embeddings.

A straight-through choice (Bengio et al., arXiv 1308.3432; with Gumbel noise Jang et al., arXiv 1611.01144) is one token going
forward, and the whole distribution it was drawn from going backward. What a classifier reads at a position is then its
embedding of that token, plus a term that is zero and carries the gradient, so it sees exactly the text that was chosen.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from distill.common.encode import takes_token_types
from distill.common.precision import autocast


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


def word_table(model: PreTrainedModel) -> Tensor:
    """The word embeddings of a classifier, (V, H), without gradients."""
    table = model.get_input_embeddings()
    assert isinstance(table, nn.Embedding)
    return table.weight.detach()


def classify(model: PreTrainedModel, embeddings: Tensor, mask: Tensor, types: Tensor | None = None) -> Tensor:
    """Answers to embedded texts; positions, types and layer norm are the model's own.

    Args:
        model: A sequence classifier.
        embeddings: (N, L, H), word embeddings, special tokens included.
        mask: (N, L), 1 at tokens and 0 at padding, which is on the right.
        types: (N, L), 1 in the second text of a pair, for models that want to be told.

    Returns:
        (N, K) float32 log-probabilities, with gradients.
    """
    inputs = {"inputs_embeds": embeddings.to(model.dtype), "attention_mask": mask}
    if types is not None and takes_token_types(model):
        inputs["token_type_ids"] = types
    with autocast(embeddings.device):
        logits = model(**inputs).logits
    return logits.float().log_softmax(dim=-1)


def kl(target: Tensor, other: Tensor) -> Tensor:
    """`KL(p || q)` of each row in nats, (N,), from log-probabilities (N, K) of p (`target`) and q (`other`)."""
    return (target.exp() * (target - other)).sum(dim=-1)


def entropy(log_probs: Tensor) -> Tensor:
    """Entropy of each row in nats, (N,), from log-probabilities (N, K)."""
    return -(log_probs.exp() * log_probs).sum(dim=-1)
