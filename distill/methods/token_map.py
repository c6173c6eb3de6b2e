"""Map tokens of one vocabulary to another, so that gradients can pass between models with different tokenizers.

A writing model (filler or rewriter) chooses tokens of *its* vocabulary; a classifier reads embeddings of its own tokens. A
text passes from one to the other by decoding and tokenising again, but a gradient cannot. A fixed sparse map can carry it: for
each token of the writing model, the token or tokens of the classifier with the same text. The map is made once. It compares
the texts of tokens without the marks of word beginnings (a G with a dot for GPT-2 and BART, a bar for T5, "##" for BERT).

The map is *ours*. It distinguishes three cases, in this order:

- *same*: the other vocabulary has a token with the same text, at the same place in a word (beginning or inside).
- *split*: it has no such token, but its tokenizer splits the word into pieces; the embedding is the mean of the pieces. Only
  for tokens that begin a word, because the split of the inside of a word depends on what stands before it.
- *unknown*: neither. The classifier reads its unknown token, as for any word that it does not know, or padding where it has no
  unknown token.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import pre_tokenizers
from torch import Tensor
from torch.nn.functional import embedding_bag
from transformers import PreTrainedTokenizerBase

from distill.common.errors import InputError

# The share of a corpus's tokens that the map must carry. Below it, gradients tell the writing model little more than noise.
MIN_COVERAGE = 0.6

BYTE_LEVEL_SPACE, SENTENCEPIECE_SPACE, WORDPIECE_INSIDE = "\u0120", "\u2581", "##"

# The text of a token, and whether the token begins a word.
Surface = tuple[str, bool]


@dataclass(frozen=True)
class TokenMap:
    """For each of V tokens, the tokens of another vocabulary with the same text.

    Attributes:
        pieces: (P,) int64, tokens of the other vocabulary, the pieces of token 0 first.
        offsets: (V,) int64, where the pieces of each token begin; each token has at least one.
        known: (V,) bool, the cases *same* and *split*, and special tokens with a counterpart.
        ordinary: (V,) bool, tokens of text, not special ones.
        prefix: Special tokens that the other tokenizer puts before a text.
        suffix: The one special token that it puts after a text; the end token maps to it.
        unknown: The token that replaces what has no counterpart.
    """

    pieces: Tensor
    offsets: Tensor
    known: Tensor
    ordinary: Tensor
    prefix: list[int]
    suffix: list[int]
    unknown: int

    @property
    def single(self) -> Tensor:
        """The token of the other vocabulary where it is exactly one (`unknown` for unknown), else -1; (V,) int64."""
        ends = torch.cat([self.offsets[1:], torch.tensor([len(self.pieces)])])
        return torch.where(ends - self.offsets == 1, self.pieces[self.offsets], -1)

    def coverage(self, counts: Tensor | None = None) -> float:
        """Return the share of ordinary tokens that are known, in [0, 1].

        Args:
            counts: (V,), how often each token occurs in a sample of texts; None counts each once.
        """
        weights = self.ordinary.double() if counts is None else counts.double() * self.ordinary
        return float((weights * self.known).sum() / weights.sum().clamp_min(1e-12))

    def table(self, embeddings: Tensor) -> Tensor:
        """Return the embedding that the other model reads at each of the V tokens: the mean over the token's pieces.

        Args:
            embeddings: (V', H), the word embeddings of the other model.

        Returns:
            (V, H) float32 on the same device, without gradients.
        """
        device = embeddings.device
        with torch.no_grad():
            return embedding_bag(self.pieces.to(device), embeddings.detach().float(), self.offsets.to(device), mode="mean")


def map_tokens(source: PreTrainedTokenizerBase, target: PreTrainedTokenizerBase, size: int, field: str) -> TokenMap:
    """Make the map from the tokens of `source` to those of `target`.

    Of the special tokens of the source, the end token becomes the special token that the target puts after a text (mostly a
    separator), the padding token becomes padding, and all others become unknown.

    Args:
        source: Tokenizer of the model that writes.
        target: Tokenizer of the classifier.
        size: Number of tokens V that the writing model chooses among; its output layer may be larger than its tokenizer.
        field: Name of the setting of the target, for messages.

    Raises:
        InputError: The target does not put one special token after a text. GPT-style classifiers put none.
    """
    prefix, suffix = frame(target)
    if len(suffix) != 1:
        raise InputError(
            f"{field}: its tokenizer puts {len(suffix)} special tokens after a text; expected one that ends it; "
            "use an encoder (BERT, RoBERTa, DistilBERT, ...)."
        )
    unknown = next(int(t) for t in (target.unk_token_id, target.pad_token_id, suffix[0]) if t is not None)
    texts = surfaces(source)
    found = _pieces(texts, target)
    pieces = [found.get(token, [unknown]) for token in range(size)]
    known = torch.zeros(size, dtype=torch.bool)
    known[list(found)] = True
    if source.eos_token_id is not None:
        pieces[source.eos_token_id], known[source.eos_token_id] = [suffix[0]], True
    if source.pad_token_id is not None and source.pad_token_id != source.eos_token_id:
        pieces[source.pad_token_id] = [unknown if target.pad_token_id is None else int(target.pad_token_id)]
        known[source.pad_token_id] = True
    ordinary = torch.zeros(size, dtype=torch.bool)
    ordinary[list(texts)] = True
    lengths = torch.tensor([len(ids) for ids in pieces])
    flat = torch.tensor([piece for ids in pieces for piece in ids])
    return TokenMap(flat, lengths.cumsum(0) - lengths, known, ordinary, prefix, suffix, unknown)


def _pieces(texts: dict[int, Surface], target: PreTrainedTokenizerBase) -> dict[int, list[int]]:
    """Return the pieces of each token in the cases *same* and *split*."""
    lower = _lower_cases(target)
    places: dict[Surface, int] = {}
    for token, surface in sorted(surfaces(target).items(), reverse=True):  # the first of two with the same text wins
        places[surface] = token
    found: dict[int, list[int]] = {}
    to_split: list[tuple[int, str]] = []
    for token, (text, begins) in texts.items():
        text = text.lower() if lower else text
        # For some tokenizers punctuation begins a word, for others it is the inside of one.
        same = places.get((text, begins))
        if same is None and not any(character.isalnum() for character in text):
            same = places.get((text, not begins))
        if same is not None:
            found[token] = [same]
        elif begins and text:
            to_split.append((token, text))
    if to_split:
        encoded = target([text for _, text in to_split], add_special_tokens=False)["input_ids"]
        for (token, _), ids in zip(to_split, encoded, strict=True):
            if ids and target.unk_token_id not in ids:
                found[token] = ids
    return found


def check_coverage(mapped: TokenMap, counts: Tensor, field: str, writer: str) -> float:
    """Return the share of a sample's tokens that the map carries, and refuse one that is too low.

    Args:
        mapped: From the vocabulary of the writing model to that of the model of `field`.
        counts: (V,), occurrences of each token in the sample.
        field: Name of the setting of the reading model, for the message.
        writer: Name of the setting of the writing model, for the message.

    Raises:
        InputError: The share is below `MIN_COVERAGE`.
    """
    share = mapped.coverage(counts)
    if share < MIN_COVERAGE:
        raise InputError(
            f"{field}: its vocabulary knows only {share:.0%} of the tokens that the model of {writer} splits the corpus into "
            f"({mapped.coverage():.0%} of that model's vocabulary); expected at least {MIN_COVERAGE:.0%}. "
            f"Use a {writer} of the same language, with a vocabulary of words, or a corpus closer to the task."
        )
    return share


def frame(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Return the special tokens that a tokenizer puts before and after a text."""
    probe = tokenizer.unk_token or tokenizer.convert_ids_to_tokens(len(tokenizer) - 1)
    inside = tokenizer(probe, add_special_tokens=False)["input_ids"]
    whole = tokenizer(probe)["input_ids"]
    extra = len(whole) - len(inside)
    start = next(i for i in range(extra + 1) if whole[i : i + len(inside)] == inside)
    return whole[:start], whole[start + len(inside) :]


def surfaces(tokenizer: PreTrainedTokenizerBase) -> dict[int, Surface]:
    """Return the text of each ordinary token, without its mark, and whether it begins a word.

    A vocabulary without any of the marks consists of whole words.
    """
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    vocabulary = {token: index for token, index in tokenizer.get_vocab().items() if index not in special}

    def share(mark: str) -> float:
        return sum(token.startswith(mark) for token in vocabulary) / max(1, len(vocabulary))

    if share(BYTE_LEVEL_SPACE) > 0.05:
        found = {}
        for token, index in vocabulary.items():
            text = _bytes_of(token)
            found[index] = (text.removeprefix(" "), text.startswith(" "))
        return found
    if share(SENTENCEPIECE_SPACE) > 0.05:
        mark = SENTENCEPIECE_SPACE
        return {index: (token.removeprefix(mark), token.startswith(mark)) for token, index in vocabulary.items()}
    mark = WORDPIECE_INSIDE
    return {
        index: (token.removeprefix(mark), not (token != mark and token.startswith(mark)))
        for token, index in vocabulary.items()
    }


def _byte_values() -> dict[str, int]:
    """Return GPT-2's letters for bytes: printable bytes stand for themselves, the others follow from 256 on, in order."""
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    own = {letter: ord(letter) for letter in alphabet if ord(letter) < 256}
    others = [byte for byte in range(256) if byte not in set(own.values())]
    return own | {chr(256 + place): byte for place, byte in enumerate(others)}


BYTE_VALUES = _byte_values()


def _bytes_of(token: str) -> str:
    """Return the text of a byte-level token. Half a character becomes a replacement sign, which no other token holds.

    Examples:
        >>> _bytes_of("\u0120caf\u00c3\u00a9")
        ' café'
    """
    return bytes(BYTE_VALUES.get(letter, 0) for letter in token).decode("utf-8", errors="replace")


def _lower_cases(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether a tokenizer reads "A" as "a"."""
    if not tokenizer.is_fast:  # written in Python, as those of BERTweet and of Japanese BERT
        return bool(getattr(tokenizer, "do_lower_case", False))
    normalizer = tokenizer.backend_tokenizer.normalizer
    return normalizer is not None and str(normalizer.normalize_str("A")).endswith("a")


def count_tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], size: int) -> Tensor:
    """Return how often each of `size` tokens occurs in texts, (size,) int64, without special tokens."""
    ids = [token for row in tokenizer(list(texts), add_special_tokens=False)["input_ids"] for token in row]
    return torch.bincount(torch.tensor(ids, dtype=torch.int64), minlength=size)
