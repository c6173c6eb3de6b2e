"""Token ids of many texts, and for each word of a text the token that stands for it."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

from distill.common import encode
from distill.common.errors import InputError
from distill.kinds.kind import Kind
from distill.kinds.rows import none
from distill.kinds.words import read_places, words_of


class WordTable(encode.TokenTable):
    """A table of texts whose words a model answers about.

    Args:
        tokenizer: A fast tokenizer with a padding token.
        max_length: Longer texts are cut to this many tokens; words after that have no token.
        token_types: See `TokenTable`.

    Attributes:
        places: (rows, W) int64, the number of the token that stands for each word; -1 for none.

    Raises:
        InputError: The tokenizer does not say where tokens lie in a text.
    """

    offsets = True

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int, token_types: bool) -> None:
        if not tokenizer.is_fast:
            about = tokenizer.name_or_path or type(tokenizer).__name__
            raise InputError(
                f"tokenizer: {about} does not say where its tokens lie in a text, so no word can be tagged; save its fast "
                "version (a tokenizer.json) beside the model."
            )
        super().__init__(tokenizer, max_length, token_types)
        self.places = torch.empty(0, 1, dtype=torch.int64)

    def _put(self, rows: Tensor, texts: Sequence[str], text_pairs: Sequence[str] | None) -> BatchEncoding:
        encoded = super()._put(rows, texts, text_pairs)
        offsets = encoded["offset_mapping"].numpy()
        found = [read_places(words_of(text), tokens) for text, tokens in zip(texts, offsets, strict=True)]
        held, width = self.places.shape
        width = max(width, *map(len, found))
        self.places = pad(self.places, (0, width - self.places.shape[1], 0, len(self.ids) - held), value=-1)
        table = torch.full((len(found), width), -1)
        for place, tokens in zip(table, found, strict=True):
            place[: len(tokens)] = torch.tensor(tokens, dtype=torch.int64)
        self.places[rows] = table
        return encoded

    def outputs_of(self, logits: Tensor, rows: Tensor) -> Tensor:
        """Return the outputs of each word, (N, W, C), of those of each token, (N, L, C); -inf for a word without a token."""
        places = self.places[rows].to(logits.device)
        picked = logits.gather(1, places.clamp(min=0)[:, :, None].expand(-1, -1, logits.shape[2]))
        return picked.masked_fill((places < 0)[:, :, None], -torch.inf)


def new_table(kind: Kind, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length: int) -> encode.TokenTable:
    """Return an empty table that encodes texts as `model` reads them.

    Raises:
        InputError: The kind is one of words, and the tokenizer does not say where tokens lie in a text.
    """
    if not kind.of_words:
        return encode.token_table(model, tokenizer, max_length)
    length = encode.usable_length(model, tokenizer, max_length)
    types = encode.takes_token_types(model) and "token_type_ids" in tokenizer.model_input_names
    return WordTable(tokenizer, length, types)


def outputs(
    kind: Kind,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    text_pairs: Sequence[str] | None,
    max_length: int,
    batch_tokens: int | None = None,
    unpadded: bool = False,
) -> Tensor:
    """Return the raw outputs of a classifier of this kind, (N, C), or (N, W, C) of words; see `encode.outputs`.

    Where `unpadded`, only texts of one length are classified at once, see `TokenTable`.
    """
    if kind.of_words and not len(texts):
        return none(model.config.num_labels, of_words=True)
    table = new_table(kind, model, tokenizer, max_length)
    table.unpadded = unpadded
    return encode.outputs(model, tokenizer, texts, text_pairs, max_length=max_length, batch_tokens=batch_tokens, table=table)
