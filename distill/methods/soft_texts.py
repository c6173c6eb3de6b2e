"""Rewritten texts that can be differentiated: tokens drawn first, the soft choices behind them afterwards.

`distill.methods.relaxed.gumbel_choice` draws noise and takes the best token, which settles a text whose places do not depend on
each other. A text that is written token by token is there before its gradients are wanted, so the noise is drawn given
the tokens. The rest is the same: a classifier reads the tokens, and the gradient belongs to the soft choices. What a token
did to the tokens after it the soft choices cannot tell; `score_loss` does, without looking inside.
"""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from distill.embedded import word_table
from distill.methods.relaxed import embed_choice
from distill.methods.rewriter import Tokens
from distill.methods.token_map import TokenMap


def soft_choice(logits: Tensor, tokens: Tensor, temperature: float, random: torch.Generator) -> Tensor:
    """The soft choices of a straight-through Gumbel estimator whose choices are known already.

    Noise is drawn from its distribution given that the tokens won, as in Paulus et al. (arXiv 2010.04838): with
    exponential variables E, the winner's perturbed log-probability is -log E_k, every other one is -log(E_i / p_i + E_k).

    Args:
        logits: (N, W, V) float32.
        tokens: (N, W) int64, drawn from `softmax(logits)`.
        temperature: Of the softmax, above 0.
        random: On the device of the logits.

    Returns:
        (N, W, V) float32, each row sums to 1 and is largest at its token. The noise counts as a constant.
    """
    log_probs = logits.log_softmax(dim=-1)
    with torch.no_grad():
        log_e = torch.empty_like(log_probs).exponential_(generator=random).log_()
        winner = log_e.gather(2, tokens[:, :, None])
        perturbed = -torch.logaddexp(log_e - log_probs, winner)
        perturbed.scatter_(2, tokens[:, :, None], -winner)
        noise = perturbed - log_probs
    return ((log_probs + noise) / temperature).softmax(dim=-1)


def embed_texts(
    tokens: Tokens, soft: Tensor, table: Tensor, model: PreTrainedModel, mapped: TokenMap
) -> tuple[Tensor, Tensor]:
    """What a classifier reads: its opening special tokens, the text through the map, the end as its closing one.

    Args:
        tokens: The texts, ends included.
        soft: (N, W, V) soft choices; no gradient reaches those of tokens that were not drawn.
        table: (V, H), the classifier's embedding at each token of the rewriter, see `TokenMap.table`.
        model: The classifier.
        mapped: The map to its vocabulary.

    Returns:
        (N, P + W, H) float32 embeddings and their mask, (N, P + W) int64, on the model's device.
    """
    device = table.device
    ids, drawn = tokens.ids.to(device), tokens.drawn.to(device)
    inside = torch.where(drawn[:, :, None], embed_choice(ids, soft.to(device), table), table[ids])
    opening = word_table(model)[torch.tensor(mapped.prefix, device=device, dtype=torch.int64)].float()
    embeddings = torch.cat([opening.expand(len(ids), -1, -1), inside], dim=1)
    ones = torch.ones(len(ids), len(mapped.prefix), dtype=torch.int64, device=device)
    return embeddings, torch.cat([ones, tokens.mask.to(device).long()], dim=1)


def score_loss(losses: Tensor, log_probs: Tensor) -> Tensor:
    """A scalar whose gradient is the score-function estimate (REINFORCE, Williams 1992) of that of the mean loss.

    Args:
        losses: (N,) what each text adds to the loss; counts as a constant.
        log_probs: (N,) log-probability of each text, with gradients.

    Returns:
        `mean (l_i - mean of the others) log p_i`, a scalar; leaving the row itself out keeps the estimate unbiased.
    """
    count = len(losses)
    advantage = (losses - losses.mean()).detach() * count / (count - 1)
    return (advantage * log_probs).mean()
