"""Carrying tokens from one vocabulary to another, so that a gradient can cross between models that spell differently.

A generator's choice of a token is a distribution over *its* vocabulary; a classifier reads embeddings of its own. Texts
cross that border by being decoded and tokenised again, but gradients do not. What does is a fixed sparse map: for each
token of the generator the token, or the tokens, of the classifier that say the same. It is made once, by comparing what
tokens say when the marks of word beginnings (a G with a dot for GPT-2 and BART, a bar for T5, "##" for BERT) are taken off.

The map is *ours*. Three cases occur, in this order:

- *same*: the other vocabulary has a token that says the same, at the same place of a word (beginning or inside).
- *split*: it has none, but its tokenizer spells the word in pieces; the embedding read is the pieces' mean. Only for
  tokens that begin a word: how a tokenizer spells the inside of a word depends on what stands before it.
- *unknown*: neither; read as the classifier's unknown token, or as padding where it has none. This is also what the
  classifier itself reads where it does not know a word.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import pre_tokenizers
from torch import Tensor
from torch.nn.functional import embedding_bag
from transformers import PreTrainedTokenizerBase

from distill.common.errors import InputError

# The lowest share of a corpus's tokens that must cross, for gradients to tell the generator more than noise would.
MIN_COVERAGE = 0.6

BYTE_LEVEL_SPACE, SENTENCEPIECE_SPACE, WORDPIECE_INSIDE = "\u0120", "\u2581", "##"

# A token as it is meant: what it says, and whether a word begins with it.
Surface = tuple[str, bool]


@dataclass(frozen=True)
class TokenMap:
    """For each token of a vocabulary V the tokens of another that say the same.

    Attributes:
        pieces: (P,) int64, the other vocabulary's tokens, those of token 0 first.
        offsets: (V,) int64, where each token's pieces begin; each has at least one.
        known: (V,) bool, whether it is one of the cases *same* and *split*, or a special token with a counterpart.
        ordinary: (V,) bool, tokens of text, not special ones.
        prefix: Special tokens that the other tokenizer puts before a text.
        suffix: The one special token that it puts after a text, to which the generator's end token maps.
        unknown: The token that stands for whatever cannot cross.
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
        """(V,) int64: the other vocabulary's token where there is exactly one, `unknown` for unknown, -1 for split tokens."""
        ends = torch.cat([self.offsets[1:], torch.tensor([len(self.pieces)])])
        return torch.where(ends - self.offsets == 1, self.pieces[self.offsets], -1)

    def coverage(self, counts: Tensor | None = None) -> float:
        """The share of ordinary tokens that are known, in [0, 1].

        Args:
            counts: (V,) how often each token occurs in a sample of texts; None counts each once.
        """
        weights = self.ordinary.double() if counts is None else counts.double() * self.ordinary
        return float((weights * self.known).sum() / weights.sum().clamp_min(1e-12))

    def table(self, embeddings: Tensor) -> Tensor:
        """What the other model reads at each token of V.

        Args:
            embeddings: (V', H), the word embeddings of the other model.

        Returns:
            (V, H) float32 on the same device; the mean of a token's pieces. Without gradients.
        """
        device = embeddings.device
        with torch.no_grad():
            return embedding_bag(self.pieces.to(device), embeddings.detach().float(), self.offsets.to(device), mode="mean")


def map_tokens(source: PreTrainedTokenizerBase, target: PreTrainedTokenizerBase, size: int, field: str) -> TokenMap:
    """Make the map from the tokens of `source` to those of `target`.

    Special tokens of the source become: the end token the special token that the target puts after a text (a separator,
    mostly), the padding token padding, all others unknown.

    Args:
        source: The generator's tokenizer, fast.
        target: The classifier's tokenizer, fast.
        size: Number of tokens the generator chooses among, V; an output layer may be larger than its tokenizer.
        field: The setting that named the target, for messages.

    Raises:
        InputError: The target does not put one special token after a text; those of GPT-style classifiers put none.
    """
    prefix, suffix = frame(target)
    if len(suffix) != 1:
        raise InputError(
            f"{field}: its tokenizer puts {len(suffix)} special tokens after a text, where the one that ends it is expected; "
            "use an encoder (BERT, RoBERTa, DistilBERT, ...)."
        )
    unknown = next(int(t) for t in (target.unk_token_id, target.pad_token_id, suffix[0]) if t is not None)
    lower = _lower_cases(target)
    places: dict[Surface, int] = {}
    for token, surface in sorted(surfaces(target).items(), reverse=True):  # of two that say the same the first one counts
        places[surface] = token
    said = surfaces(source)
    pieces: list[list[int]] = [[unknown] for _ in range(size)]
    known = torch.zeros(size, dtype=torch.bool)
    to_split: list[tuple[int, str]] = []
    for token, (text, begins) in said.items():
        text = text.lower() if lower else text
        # Punctuation is a word of its own for some tokenizers and the inside of one for others.
        same = places.get((text, begins))
        if same is None and not any(character.isalnum() for character in text):
            same = places.get((text, not begins))
        if same is not None:
            pieces[token], known[token] = [same], True
        elif begins and text:
            to_split.append((token, text))
    if to_split:
        encoded = target([text for _, text in to_split], add_special_tokens=False)["input_ids"]
        for (token, _), ids in zip(to_split, encoded, strict=True):
            if ids and target.unk_token_id not in ids:
                pieces[token], known[token] = ids, True
    if source.eos_token_id is not None:
        pieces[source.eos_token_id], known[source.eos_token_id] = [suffix[0]], True
    if source.pad_token_id is not None and source.pad_token_id != source.eos_token_id:
        pieces[source.pad_token_id] = [unknown if target.pad_token_id is None else int(target.pad_token_id)]
        known[source.pad_token_id] = True
    ordinary = torch.zeros(size, dtype=torch.bool)
    ordinary[list(said)] = True
    lengths = torch.tensor([len(ids) for ids in pieces])
    flat = torch.tensor([piece for ids in pieces for piece in ids])
    return TokenMap(flat, lengths.cumsum(0) - lengths, known, ordinary, prefix, suffix, unknown)


def check_coverage(mapped: TokenMap, counts: Tensor, field: str, generator: str) -> float:
    """The share of a sample's tokens that cross, where it suffices.

    Args:
        mapped: From the generator's vocabulary to the one that `field` names.
        counts: (V,) occurrences of each token in the sample.
        field: For the message.
        generator: The setting that named the generator, for the message.

    Raises:
        InputError: It is below `MIN_COVERAGE`.
    """
    share = mapped.coverage(counts)
    if share < MIN_COVERAGE:
        raise InputError(
            f"{field}: only {share:.0%} of the corpus's tokens, as the model of {generator} spells it, are known to its "
            f"vocabulary ({mapped.coverage():.0%} of that model's whole vocabulary); expected at least {MIN_COVERAGE:.0%}. "
            f"Use a {generator} of the same language, with a vocabulary of words, or a corpus nearer to the task."
        )
    return share


def frame(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """The special tokens that a tokenizer puts before and after a text."""
    probe = tokenizer.unk_token or tokenizer.convert_ids_to_tokens(len(tokenizer) - 1)
    inside = tokenizer(probe, add_special_tokens=False)["input_ids"]
    whole = tokenizer(probe)["input_ids"]
    extra = len(whole) - len(inside)
    start = next(i for i in range(extra + 1) if whole[i : i + len(inside)] == inside)
    return whole[:start], whole[start + len(inside) :]


def surfaces(tokenizer: PreTrainedTokenizerBase) -> dict[int, Surface]:
    """What each ordinary token says, without its mark, and whether it begins a word.

    A vocabulary that has none of the marks is one of whole words.
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
    """GPT-2's letters for bytes: printable ones stand for themselves, the others follow from 256 on, in their order."""
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    own = {letter: ord(letter) for letter in alphabet if ord(letter) < 256}
    others = [byte for byte in range(256) if byte not in set(own.values())]
    return own | {chr(256 + place): byte for place, byte in enumerate(others)}


BYTE_VALUES = _byte_values()


def _bytes_of(token: str) -> str:
    """The text of a byte-level token; half a character is shown as a replacement sign, which no other token says.

    >>> _bytes_of("\u0120caf\u00c3\u00a9")
    ' café'
    """
    return bytes(BYTE_VALUES.get(letter, 0) for letter in token).decode("utf-8", errors="replace")


def _lower_cases(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a tokenizer reads "A" as "a"."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    return normalizer is not None and str(normalizer.normalize_str("A")).endswith("a")


def count_tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], size: int) -> Tensor:
    """How often each of `size` tokens occurs in texts, (size,) int64, special tokens left out."""
    ids = [token for row in tokenizer(list(texts), add_special_tokens=False)["input_ids"] for token in row]
    return torch.bincount(torch.tensor(ids, dtype=torch.int64), minlength=size)
