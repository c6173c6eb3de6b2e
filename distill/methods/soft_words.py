"""What a tagger says of rewritten texts: answers of words that gradients can pass.

A rewriting is a row of the rewriter's tokens, and a classifier reads one position for each of them. A word's answer is that
of its first token, as for texts (`distill.kinds.words`). So the positions whose tokens begin a word stand for the words: they
need no text, and teacher and student have the same ones, whatever their own tokenizers are. All of this is ours.
"""

import re
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from distill.kinds.words import read_places, words_of
from distill.methods.rewriter import RewrittenTokens
from distill.methods.token_map import surfaces

WORD_CHARACTER = re.compile(r"\w")


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
    if not len(texts):
        return outputs[:, :1]
    spans = tokenizer(list(texts), truncation=True, max_length=max_length, return_offsets_mapping=True)["offset_mapping"]
    places = [read_places(words_of(text), span) for text, span in zip(texts, spans, strict=True)]
    found = torch.full((len(texts), max(map(len, places), default=1) or 1, outputs.shape[2]), -torch.inf)
    for row, of_text in enumerate(places):
        for word, place in enumerate(of_text):
            if place >= 0:
                found[row, word] = outputs[row, place]
    return found
