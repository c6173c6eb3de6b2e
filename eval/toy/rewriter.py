"""The toy rewriter: a small T5-style encoder-decoder that repairs damaged sentences of the general corpus.

It is a denoising autoencoder (Lewis et al., arXiv 1910.13461): words of a sentence are hidden, replaced, dropped or moved, and
the model writes the original sentence. The share of hidden words varies from text to text, from none to all. The trained
model therefore copies the words it sees and invents the others, in good grammar. A method that tunes it to rewrite a corpus
for a task (`distill.methods.t3`) needs both.

As in `eval.toy.writer`, word vectors counted from the corpus save most of the training.
"""

import math
import string
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import Unigram
from torch import Tensor
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from distill.common.precision import resolve_device
from distill.common.seeding import random_generator, seeded
from eval.toy.fit import fit, length_sorted_batches, save
from eval.toy.world import World
from eval.toy.writer import word_vectors

PADDING, END, UNKNOWN, HIDDEN = "<pad>", "</s>", "<unk>", "<mask>"
PADDING_ID, END_ID, UNKNOWN_ID, HIDDEN_ID = range(4)


@dataclass(frozen=True)
class RewriterSettings:
    """Hyper-parameters of the rewriter; all are part of the cache key."""

    layers: int = 2  # of the encoder, and of the decoder
    hidden: int = 96
    heads: int = 4
    context: int = 64
    corpus_texts: int = 30000
    epochs: int = 1
    batch_size: int = 48
    learning_rate: float = 4e-3
    replaced: float = 0.05  # shares of the words
    dropped: float = 0.05
    moved: float = 2.0  # how far a word may move; below 1 no word moves


def train_rewriter(world: World, settings: RewriterSettings, folder: Path, quiet: bool) -> None:
    """Train the rewriter on the general corpus and save it to `folder`."""
    texts = world.general_corpus(settings.corpus_texts)
    tokenizer = rewriter_tokenizer(texts, settings.context)
    encoded: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=settings.hidden,
        d_kv=settings.hidden // settings.heads,
        d_ff=4 * settings.hidden,
        num_layers=settings.layers,
        num_decoder_layers=settings.layers,
        num_heads=settings.heads,
        dropout_rate=0.0,  # every text is seen once, so nothing can overfit
        pad_token_id=PADDING_ID,
        eos_token_id=END_ID,
        decoder_start_token_id=PADDING_ID,
    )
    with seeded(world.seed, "toy-rewriter", "weights"):
        model = T5ForConditionalGeneration(config)
        model.shared.weight.data.copy_(word_vectors(encoded, len(tokenizer), settings.hidden))
    device = resolve_device("auto")
    lengths = torch.tensor([len(ids) for ids in encoded])

    def losses() -> Iterator[Tensor]:
        for epoch in range(settings.epochs):
            random = random_generator(world.seed, "toy-rewriter", "epoch", epoch)
            for rows in length_sorted_batches(lengths, settings.batch_size, random):
                whole = torch.full((len(rows), int(lengths[rows].max()) + 1), PADDING_ID)
                for row, index in enumerate(rows.tolist()):
                    whole[row, : len(encoded[index])] = torch.tensor(encoded[index])
                    whole[row, len(encoded[index])] = END_ID
                source = damage(whole, len(tokenizer), settings, random)
                labels = whole.masked_fill(whole == PADDING_ID, -100).to(device)
                yield model(input_ids=source.to(device), attention_mask=(source != PADDING_ID).to(device), labels=labels).loss

    steps = settings.epochs * -(-len(texts) // settings.batch_size)
    fit(model.to(device), losses(), steps, settings.learning_rate, "rewriter", quiet)
    save(model, tokenizer, folder)


def rewriter_tokenizer(texts: list[str], context: int) -> PreTrainedTokenizerFast:
    """Build a tokenizer with a token for every word and mark of `texts`, and letters for everything else.

    As in T5, a bar marks the beginning of a word, and a text ends with an end token. Compounds ("cold-spell") stay whole.
    """
    pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="always"), pre_tokenizers.Split(Regex(r"[.,:;?!]"), "isolated")]
    )
    counts = Counter(word for text in texts for word, _ in pre_tokenizer.pre_tokenize_str(text))
    total = sum(counts.values())
    special = [(token, 0.0) for token in (PADDING, END, UNKNOWN, HIDDEN)]
    words = [(word, math.log(counts[word] / total)) for word in sorted(counts, key=lambda word: (-counts[word], word))]
    # A letter must cost more than any word, otherwise rare words would be spelt out.
    letters = [(letter, -1000.0) for letter in ["\u2581", *string.printable.strip()] if letter not in counts]
    tokenizer = Tokenizer(Unigram([*special, *words, *letters], unk_id=UNKNOWN_ID))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([token for token, _ in special])
    return ending_tokenizer(tokenizer, context)


def ending_tokenizer(tokenizer: Tokenizer, context: int) -> PreTrainedTokenizerFast:
    """Wrap a tokenizer that knows the four special tokens, so that texts end as in T5 and `HIDDEN` is the mask."""
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", pair=f"$A {END} $B:1 {END}:1", special_tokens=[(END, END_ID)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=context,
        pad_token=PADDING,
        eos_token=END,
        unk_token=UNKNOWN,
        mask_token=HIDDEN,
        clean_up_tokenization_spaces=False,
    )


def damage(ids: Tensor, vocabulary: int, settings: RewriterSettings, random: torch.Generator) -> Tensor:
    """Hide, replace, drop and move words.

    Args:
        ids: (N, L) int64, each row a text, its end token and padding.
        vocabulary: Number of tokens.
        settings: Shares of each damage; the share of hidden words is drawn for each text, uniformly from [0, 1).
        random: Source of all draws, on the CPU.

    Returns:
        (N, L) int64, the damaged rows, padded on the right.
    """
    word = ids > HIDDEN_ID
    hide = torch.rand(ids.shape, generator=random) < torch.rand(len(ids), 1, generator=random)
    swap = torch.rand(ids.shape, generator=random) < settings.replaced
    others = torch.randint(HIDDEN_ID + 1, vocabulary, ids.shape, generator=random)
    damaged = torch.where(word & swap, others, ids).masked_fill(word & hide, HIDDEN_ID)
    # Adding noise to the places and sorting moves words (Lample et al., arXiv 1711.00043); dropped words go last.
    place = torch.arange(ids.shape[1]).float() + settings.moved * torch.rand(ids.shape, generator=random)
    place[ids == END_ID] = ids.shape[1] + settings.moved
    drop = (word & (torch.rand(ids.shape, generator=random) < settings.dropped)) | (ids == PADDING_ID)
    order = place.masked_fill(drop, float("inf")).argsort(dim=1, stable=True)
    return damaged.masked_fill(drop, PADDING_ID).gather(1, order)
