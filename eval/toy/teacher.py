"""The toy teacher: a four-layer BERT-style classifier, trained on the private texts of a task.

Its tokenizer has one token per word of the training texts, so words of other domains are unknown to it. During training some
texts have words replaced by the unknown token, each text at its own random rate. The teacher thus learns to be unsure about
texts with few known words. A classifier trained on whole texts only would often be sure about any foreign text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from tokenizers.trainers import WordLevelTrainer
from torch import Tensor
from transformers import BertForSequenceClassification, PreTrainedTokenizerFast

from distill.common.encode import TokenTable
from distill.common.precision import resolve_device
from distill.common.seeding import random_generator, seeded
from eval.toy.fit import encoder_config, fit, length_sorted_batches, save
from eval.toy.world import World

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
UNKNOWN_ID = 1


@dataclass(frozen=True)
class TeacherSettings:
    """Hyper-parameters of the teacher; all are part of the cache key."""

    layers: int = 4
    hidden: int = 96
    heads: int = 3
    max_length: int = 64
    train_texts: int = 10000
    epochs: int = 4
    batch_size: int = 64
    learning_rate: float = 1e-3
    hidden_words: float = 0.3  # share of texts with hidden words, each at a rate drawn from [0, 1)
    label_smoothing: float = 0.05


def train_teacher(world: World, task_name: str, settings: TeacherSettings, folder: Path, quiet: bool) -> None:
    """Train the teacher of a task on its private training texts and save it to `folder`."""
    task = world.task(task_name)
    texts, labels = task.train_texts[: settings.train_texts], torch.tensor(task.train_labels[: settings.train_texts])
    tokenizer = reading_tokenizer(texts, settings.max_length, SPECIAL_TOKENS)
    sizes = (settings.layers, settings.hidden, settings.heads, settings.max_length)
    config = encoder_config(
        tokenizer,
        *sizes,
        id2label=dict(enumerate(task.labels)),
        label2id={label: index for index, label in enumerate(task.labels)},
    )
    with seeded(world.seed, "toy-teacher", "weights"):
        model = BertForSequenceClassification(config)
    device = resolve_device("auto")
    table = TokenTable(tokenizer, settings.max_length, token_types=False)
    table.put(torch.arange(len(texts)), texts)

    def losses() -> Iterator[Tensor]:
        for epoch in range(settings.epochs):
            random = random_generator(world.seed, "toy-teacher", "epoch", epoch)
            for rows in length_sorted_batches(table.lengths[: len(texts)], settings.batch_size, random):
                inputs = table.gather(rows, device)
                inputs["input_ids"] = hide_words(inputs["input_ids"].cpu(), settings.hidden_words, random).to(device)
                logits = model(**inputs).logits
                yield torch.nn.functional.cross_entropy(
                    logits.float(), labels[rows].to(device), label_smoothing=settings.label_smoothing
                )

    steps = settings.epochs * -(-len(texts) // settings.batch_size)
    fit(model.to(device), losses(), steps, settings.learning_rate, f"teacher ({task_name})", quiet)
    save(model, tokenizer, folder)


def hide_words(ids: Tensor, share: float, random: torch.Generator) -> Tensor:
    """Replace words by the unknown token in a `share` of the texts, each at its own uniform rate; ids are (N, L)."""
    rate = torch.rand(len(ids), 1, generator=random) * (torch.rand(len(ids), 1, generator=random) < share)
    hide = (torch.rand(ids.shape, generator=random) < rate) & (ids >= len(SPECIAL_TOKENS))
    return ids.masked_fill(hide, UNKNOWN_ID)


def reading_tokenizer(texts: list[str], max_length: int, special_tokens: list[str]) -> PreTrainedTokenizerFast:
    """Build a lower-case tokenizer with one token per word or punctuation mark of `texts`."""
    tokenizer = Tokenizer(WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(r"[.,:;?!]"), "isolated")]
    )
    tokenizer.train_from_iterator(texts, WordLevelTrainer(special_tokens=special_tokens, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, special_tokens.index(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]" if "[MASK]" in special_tokens else None,
    )
