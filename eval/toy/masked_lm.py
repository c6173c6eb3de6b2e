"""The toy masked language model: a small BERT-style encoder that fills gaps in texts of the general corpus.

Like the toy writer it starts from word vectors made of co-occurrence counts, because a minute is too short to learn which of
1,700 words occur together. The vectors are also its output layer. It knows every word of the corpus; the words of a
task are rare there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import BertForMaskedLM

from distill.common.encode import TokenTable
from distill.common.precision import resolve_device
from distill.common.seeding import random_generator, seeded
from eval.toy.fit import encoder_config, fit, length_sorted_batches, save
from eval.toy.teacher import SPECIAL_TOKENS, reading_tokenizer
from eval.toy.world import World
from eval.toy.writer import word_vectors

MASK = "[MASK]"
UNPREDICTED = -100


@dataclass(frozen=True)
class MaskedLMSettings:
    """Hyper-parameters of the masked language model; all are part of the cache key."""

    layers: int = 2
    hidden: int = 128
    heads: int = 4
    max_length: int = 64
    corpus_texts: int = 36000
    epochs: int = 1
    batch_size: int = 32
    learning_rate: float = 2e-3
    mask_share: float = 0.25
    initializer_range: float = 0.05


def train_masked_lm(world: World, settings: MaskedLMSettings, folder: Path, quiet: bool) -> None:
    """Train the masked language model on the general corpus and save it to `folder`."""
    texts = world.general_corpus(settings.corpus_texts)
    specials = [*SPECIAL_TOKENS, MASK]
    tokenizer = reading_tokenizer(texts, settings.max_length, specials)
    sizes = (settings.layers, settings.hidden, settings.heads, settings.max_length)
    config = encoder_config(tokenizer, *sizes, initializer_range=settings.initializer_range)
    table = TokenTable(tokenizer, settings.max_length, token_types=False)
    table.put(torch.arange(len(texts)), texts)
    with seeded(world.seed, "toy-masked-lm", "weights"):
        model = BertForMaskedLM(config)
        encoded = [tokenizer.convert_tokens_to_ids(row) for row in map(tokenizer.tokenize, texts)]
        vectors = word_vectors(encoded, len(tokenizer), settings.hidden)
        model.bert.embeddings.word_embeddings.weight.data = settings.initializer_range * vectors
        model.tie_weights()
    device = resolve_device("auto")
    batches = [
        rows
        for epoch in range(settings.epochs)
        for rows in length_sorted_batches(
            table.lengths[: len(texts)], settings.batch_size, random_generator(world.seed, "toy-masked-lm", "epoch", epoch)
        )
    ]

    def losses() -> Iterator[Tensor]:
        for number, rows in enumerate(batches):
            inputs = table.gather(rows, device)
            ids = inputs["input_ids"].cpu()
            random = random_generator(world.seed, "toy-masked-lm", "mask", number)
            hidden = (torch.rand(ids.shape, generator=random) < settings.mask_share) & (ids >= len(specials))
            labels = ids.masked_fill(~hidden, UNPREDICTED).to(device)
            inputs["input_ids"] = ids.masked_fill(hidden, int(tokenizer.mask_token_id)).to(device)
            logits = model(**inputs).logits
            yield torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=UNPREDICTED)

    fit(model.to(device), losses(), len(batches), settings.learning_rate, "masked language model", quiet)
    save(model, tokenizer, folder)
