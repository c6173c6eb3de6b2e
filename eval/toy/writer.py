"""The toy writer: a small GPT-2-style language model of the general corpus.

Half a minute is too short to learn both how sentences are built and which of 1,700 words occur together. The second can be
counted: the model starts from word vectors made of the corpus's co-occurrences and only learns to use them. Without them its
sentences are grammatical but mix the domains. With them a sentence stays in the domain of its first words, so that topics
are worth learning.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import Unigram
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from distill.common.precision import resolve_device
from distill.common.seeding import random_generator, seeded
from eval.toy.fit import fit, save
from eval.toy.grammar import MAX_WORDS
from eval.toy.world import World

END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True)
class WriterSettings:
    """Hyper-parameters of the writer; all are part of the cache key."""

    layers: int = 2
    hidden: int = 128
    heads: int = 4
    context: int = 64
    corpus_texts: int = 36000
    epochs: int = 1
    batch_size: int = 16
    learning_rate: float = 4e-3
    initializer_range: float = 0.05


def train_writer(world: World, settings: WriterSettings, folder: Path, quiet: bool) -> None:
    """Train the writer on the general corpus and save it to `folder`."""
    texts = world.general_corpus(settings.corpus_texts)
    tokenizer = word_tokenizer(texts, settings.context)
    end = int(tokenizer.eos_token_id)
    encoded: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=settings.context,
        n_embd=settings.hidden,
        n_layer=settings.layers,
        n_head=settings.heads,
        initializer_range=settings.initializer_range,
        resid_pdrop=0.0,  # every text is seen once, so nothing can overfit
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=end,
        eos_token_id=end,
    )
    with seeded(world.seed, "toy-writer", "weights"):
        model = GPT2LMHeadModel(config)
        vectors = word_vectors(encoded, len(tokenizer), settings.hidden)
        model.transformer.wte.weight.data = settings.initializer_range * vectors
    device = resolve_device("auto")

    def rows_of(epoch: int) -> Tensor:
        """Pack the shuffled texts into rows (N, context); a row starts with a whole text and may cut its last text."""
        random = random_generator(world.seed, "toy-writer", "epoch", epoch)
        rows, row = [], [end]
        for index in torch.randperm(len(texts), generator=random).tolist():
            row += [*encoded[index], end]
            if len(row) >= settings.context:
                rows.append(row[: settings.context])
                row = [end]
        return torch.tensor(rows)

    batches = [batch for epoch in range(settings.epochs) for batch in rows_of(epoch).split(settings.batch_size)]

    def losses() -> Iterator[Tensor]:
        for batch in batches:
            ids = batch.to(device)
            logits = model(input_ids=ids[:, :-1]).logits
            yield torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())

    fit(model.to(device), losses(), len(batches), settings.learning_rate, "writer", quiet)
    model.config.pad_token_id = end  # set after training: with it, every row that ends with a whole text looks padded
    model.generation_config.pad_token_id = end
    model.generation_config.do_sample = True
    save(model, tokenizer, folder)


def word_vectors(encoded: list[list[int]], vocabulary: int, width: int) -> Tensor:
    """Make word vectors from counts: singular vectors of positive pointwise mutual information.

    One half of the width encodes the words of the same sentence (the domain of a word), the other half its neighbours (its
    part of speech). Source of the method: Levy, Goldberg and Dagan 2015, TACL 3; vectors are weighted by the root of the
    singular values. The random directions of the decomposition come from torch's global generator.

    Args:
        encoded: Token ids of each text; at least one text.
        vocabulary: V, number of tokens; id 0 marks the ends of texts.
        width: Width of the vectors; at most V.

    Returns:
        (V, width). Each half has mean 0 and standard deviation 1. Both are then rotated together, so that no attention head
        sees only one half.
    """
    length = MAX_WORDS + 10  # punctuation and hyphens are tokens too; tokens beyond this length are not counted
    ids = torch.tensor([[0, *row[:length], *[0] * (length - len(row)), 0] for row in encoded])

    def counts(first: Tensor, second: Tensor) -> Tensor:
        pairs = torch.bincount((first * vocabulary + second).flatten(), minlength=vocabulary**2)
        return pairs.view(vocabulary, vocabulary).float()

    together = torch.zeros(vocabulary, vocabulary)
    for chunk in ids.split(4096):
        together += counts(chunk[:, :, None], chunk[:, None, :])
    together[0], together[:, 0] = 0.0, 0.0
    together.fill_diagonal_(0.0)
    following = counts(ids[:, :-1], ids[:, 1:])
    following[0, 0] = 0.0
    neighbours = torch.cat([_ppmi(following), _ppmi(following.T)], dim=1)
    halves = [_singular_vectors(_ppmi(together), width // 2), _singular_vectors(neighbours, width - width // 2)]
    rotation, _ = torch.linalg.qr(torch.randn(width, width))
    return torch.cat([(half - half.mean(0)) / half.std() for half in halves], dim=1) @ rotation


def _ppmi(counts: Tensor) -> Tensor:
    """Return positive pointwise mutual information of a table of co-occurrences: max(0, log p(a,b) / (p(a) p(b)))."""
    expected = counts.sum(1, keepdim=True) * counts.sum(0, keepdim=True) / counts.sum()
    return (counts / expected.clamp_min(1e-9)).clamp_min(1.0).log()


def _singular_vectors(matrix: Tensor, rank: int) -> Tensor:
    """Return left singular vectors (V, rank) times the roots of their singular values."""
    left, values, _ = torch.svd_lowrank(matrix, q=rank, niter=3)
    return left * values.sqrt()


def word_tokenizer(texts: list[str], context: int) -> PreTrainedTokenizerFast:
    """Build a tokenizer with a token for every word of `texts`, and bytes for everything else.

    As in GPT-2, the token of a word includes the space before it. Unlike in GPT-2, the first word of a text has a space too,
    so that a word is the same token everywhere. The tokenizer is a unigram model and not BPE: BPE would double the number of
    tokens with the fragments from which it merges words, and the output layer is half the cost of this small model.
    """
    pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    counts = Counter(word for text in texts for word, _ in pre_tokenizer.pre_tokenize_str(text))
    total = sum(counts.values())
    by_frequency = sorted(counts, key=lambda word: (-counts[word], word))
    pieces = {word: math.log(counts[word] / total) for word in by_frequency}
    # A byte must cost more than any word, otherwise rare words would be spelt out.
    alphabet = {byte: -1000.0 for byte in sorted(pre_tokenizers.ByteLevel.alphabet()) if byte not in pieces}
    tokenizer = Tokenizer(Unigram([(END_OF_TEXT, 0.0), *pieces.items(), *alphabet.items()], unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END_OF_TEXT])
    # Prompts begin like the training texts.
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A", pair=f"{END_OF_TEXT} $A $B:1", special_tokens=[(END_OF_TEXT, 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=context,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
    )
