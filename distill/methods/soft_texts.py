"""Texts that gradients can pass: choices of tokens that classifiers read through their embeddings.

In a straight-through choice (Bengio et al., arXiv 1308.3432; with Gumbel noise Jang et al., arXiv 1611.01144) the forward pass
uses one token, and the backward pass the whole distribution that it was drawn from. At such a position a classifier reads the
embedding of the token, so it sees exactly the text that was chosen, and the gradient flows to the soft choice.

`gumbel_choice` draws noise and takes the best token. It serves where positions do not depend on each other (gaps). A text that
is written token by token exists before its gradients are needed, so `soft_choice` draws the noise given the tokens. Neither
shows how a token changed the tokens after it. `score_loss` accounts for that, from the outcome alone.

A tagger answers about words. A classifier reads one position for each of the rewriter's tokens, and a word's answer is that
of its first token, as for texts (`distill.kinds.words`). So the positions whose tokens begin a word stand for the words: they
need no text, and teacher and student have the same ones, whatever their own tokenizers are. This is ours.
"""

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from distill.embedded import word_table
from distill.kinds.word_table import WordTable
from distill.methods.rewriter import RewrittenTokens
from distill.methods.token_map import TokenMap, surfaces

WORD_CHARACTER = re.compile(r"\w")


def gumbel_choice(logits: Tensor, temperature: float, random: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Choose a token at each position.

    Args:
        logits: (N, V), any float format.
        temperature: Above 0. A lower one gives more of the gradient to the chosen token.
        random: Source of the Gumbel noise, on the CPU; None chooses the most likely token.

    Returns:
        The chosen tokens (N,) int64, a draw from `softmax(logits)`, and the soft choice (N, V) float32, which sums to 1.
    """
    scores = logits.float()
    if random is not None:
        noise = torch.empty(scores.shape).exponential_(generator=random).log_().neg_()
        scores = scores + noise.to(scores.device)
    return scores.argmax(dim=-1), (scores / temperature).softmax(dim=-1)


def soft_choice(logits: Tensor, tokens: Tensor, temperature: float, random: torch.Generator) -> Tensor:
    """Return the soft choices of a straight-through Gumbel estimator for tokens that were drawn before.

    The noise is drawn from its distribution given that these tokens won, as in Paulus et al. (arXiv 2010.04838): with
    exponential variables E, the perturbed log-probability of the winner is -log E_k, and of every other token
    -log(E_i / p_i + E_k).

    Args:
        logits: (N, W, V) float32.
        tokens: (N, W) int64, drawn from `softmax(logits)`.
        temperature: Temperature of the softmax, above 0.
        random: Generator on the device of the logits.

    Returns:
        (N, W, V) float32. Each row sums to 1 and is largest at its token. The noise counts as a constant.
    """
    log_probs = logits.log_softmax(dim=-1)
    with torch.no_grad():
        log_e = torch.empty_like(log_probs).exponential_(generator=random).log_()
        winner = log_e.gather(2, tokens[:, :, None])
        perturbed = -torch.logaddexp(log_e - log_probs, winner)
        perturbed.scatter_(2, tokens[:, :, None], -winner)
        noise = perturbed - log_probs
    return ((log_probs + noise) / temperature).softmax(dim=-1)


class _StraightThrough(torch.autograd.Function):
    """Rows of a table forward, a product with the table backward. The product's value is never needed nor computed."""

    @staticmethod
    def forward(ctx: Any, soft: Tensor, tokens: Tensor, table: Tensor) -> Tensor:
        ctx.save_for_backward(table)
        return table[tokens].float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (table,) = ctx.saved_tensors
        return gradients[0] @ table.float().T, None, None


def embed_choice(tokens: Tensor, soft: Tensor, table: Tensor) -> Tensor:
    """Return the embeddings of chosen tokens: their rows of the table forward, `soft @ table` backward.

    Args:
        tokens: (...,) int64.
        soft: (..., V) float32, the soft choices, which get the gradient.
        table: (V, H), the word embeddings of a classifier; counts as a constant.

    Returns:
        (..., H) float32.
    """
    return _StraightThrough.apply(soft, tokens, table)


def embed_texts(
    tokens: RewrittenTokens, soft: Tensor, table: Tensor, model: PreTrainedModel, mapped: TokenMap
) -> tuple[Tensor, Tensor]:
    """Embed rewritten texts for a classifier: its opening special tokens, then the text through the token map.

    Args:
        tokens: The texts, end tokens included; the map turns an end token into the classifier's closing special token.
        soft: (N, W, V) soft choices. No gradient reaches the choices of tokens that were not drawn.
        table: (V, H), the embedding that the classifier reads at each token of the rewriter, see `TokenMap.table`.
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


def before_second(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], mapped: TokenMap, longest: int) -> list[list[int]]:
    """Return what a classifier reads of N pairs before the second text: special tokens and the first text.

    Args:
        tokenizer: Tokenizer of the classifier.
        texts: First texts; each is cut to `longest` tokens.
        mapped: The map to the classifier's vocabulary, which knows its closing special token.
        longest: Most tokens of a first text, at least 1.
    """
    around = len(tokenizer([""], [""])["input_ids"][0])
    encoded = tokenizer(list(texts), [""] * len(texts), truncation="only_first", max_length=longest + around)["input_ids"]
    return [ids[: len(ids) - len(mapped.suffix)] for ids in encoded]


def embed_pairs(
    tokens: RewrittenTokens,
    soft: Tensor,
    table: Tensor,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    firsts: Sequence[Sequence[int]],
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Embed pairs for a classifier, whose second texts are rewritten texts.

    Args:
        tokens: The second texts; as the other arguments see `embed_texts`.
        soft: Their soft choices.
        table: The embedding that the classifier reads at each token of the rewriter.
        model: The classifier.
        tokenizer: Its tokenizer.
        firsts: From `before_second`.

    Returns:
        (N, L, H) float32 embeddings, their mask (N, L) int64 with all padding on the right, and token types (N, L), None where
        the tokenizer gives none.
    """
    device = table.device
    ids, drawn = tokens.ids.to(device), tokens.drawn.to(device)
    inside = torch.where(drawn[:, :, None], embed_choice(ids, soft.to(device), table), table[ids])
    rows = [torch.tensor(row, device=device) for row in firsts]
    before = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    seen = (torch.arange(before.shape[1], device=device) < lengths[:, None]).long()
    embeddings = torch.cat([word_table(model)[before].float(), inside], dim=1)
    mask = torch.cat([seen, tokens.mask.to(device).long()], dim=1)
    types = torch.cat([torch.zeros_like(before), torch.ones_like(ids)], dim=1)
    order = mask.argsort(dim=1, descending=True, stable=True)  # the second text follows the first one at once
    embeddings = embeddings.gather(1, order[:, :, None].expand_as(embeddings))
    typed = "token_type_ids" in tokenizer.model_input_names
    return embeddings, mask.gather(1, order), types.gather(1, order) if typed else None


def score_loss(losses: Tensor, log_probs: Tensor) -> Tensor:
    """Return a scalar with the score-function gradient (REINFORCE, Williams 1992) of the mean loss.

    Args:
        losses: (N,), what each text adds to the loss; counts as a constant.
        log_probs: (N,), log-probability of each text, with gradients.

    Returns:
        `mean (l_i - mean of the others) log p_i`, a scalar. The mean leaves out the row itself, so the estimate is unbiased.
    """
    count = len(losses)
    advantage = (losses - losses.mean()).detach() * count / (count - 1)
    return (advantage * log_probs).mean()


def word_beginnings(tokenizer: PreTrainedTokenizerBase, size: int) -> Tensor:
    """Return which tokens of a vocabulary begin a word, (size,) bool: those marked so, and every other visible character."""
    begins = torch.zeros(size, dtype=torch.bool)
    for token, (text, first) in surfaces(tokenizer).items():
        begins[token] = bool(text.strip()) and (first or not WORD_CHARACTER.match(text))
    return begins


def of_beginnings(outputs: Tensor, tokens: RewrittenTokens, begins: Tensor) -> Tensor:
    """Return the outputs of the words of rewritten texts.

    Args:
        outputs: (N, P + W, K), a tagger's for each position; P special tokens stand before the text.
        tokens: The texts, W tokens at most.
        begins: From `word_beginnings`.

    Returns:
        (N, W, K); -inf at positions where no word begins.
    """
    mask = tokens.mask.cpu()
    words = begins[tokens.ids.cpu()] & mask
    words[:, :1] |= mask[:, 1:2]  # some tokenizers mark no beginning at the start of a text; the last token only ends it
    inside = outputs[:, outputs.shape[1] - words.shape[1] :]
    return inside.masked_fill(~words.to(outputs.device)[:, :, None], -torch.inf)


def of_words(outputs: Tensor, texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Tensor:
    """Return the outputs of the words of texts, (N, words, K), of those of each token; -inf where there is no word.

    Args:
        outputs: (N, L, K), at the positions of the tagger's own tokens.
        texts: N texts, which the tagger's tokenizer splits into the tokens that were read.
        tokenizer: That tokenizer.
        max_length: Tokens that the tagger reads.
    """
    table, rows = WordTable(tokenizer, max_length, token_types=False), torch.arange(len(texts))
    table.put(rows, texts)
    return table.outputs_of(outputs, rows)
