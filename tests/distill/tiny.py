"""A tiny language of three classes, its tokenizer, and texts and batches of it, for the tests of distillation."""

from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from distill.batch import SyntheticBatch
from distill.common.seeding import random_generator, seeded

LABELS = ["sea", "field", "town"]
CLASS_WORDS = [
    ["boat", "wave", "harbour", "fish", "sail", "tide", "coast", "net"],
    ["cow", "plough", "hay", "barn", "goat", "seed", "tractor", "fence"],
    ["street", "tram", "shop", "office", "tower", "traffic", "cafe", "bridge"],
]
OTHER_WORDS = "the a and near old new slow big small red blue first last very then".split()
WORDS = [word for group in CLASS_WORDS for word in group] + OTHER_WORDS


def make_tokenizer(pad: bool = True) -> PreTrainedTokenizerFast:
    """A word-level tokenizer with BERT's special tokens; without `pad` it has no padding token."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {token: i for i, token in enumerate(special + WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]" if pad else None,
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def random_texts(count: int, counter: int, shortest: int = 3, longest: int = 20) -> list[str]:
    """Random words, in no order at all: what distillation without data starts from."""
    source = random_generator(7, "texts", counter)
    lengths = torch.randint(shortest, longest + 1, (count,), generator=source).tolist()
    return [" ".join(WORDS[i] for i in torch.randint(len(WORDS), (n,), generator=source)) for n in lengths]


def judged(teacher: Callable, texts: list[str], source: str = "random") -> SyntheticBatch:
    """A batch of texts with the teacher's answers."""
    return SyntheticBatch(texts, teacher(texts), torch.full((len(texts),), -1), [""] * len(texts), source)


def random_batch(count: int, counter: int, classes: int = 3) -> SyntheticBatch:
    """A batch of random texts with random answers, for tests that need no teacher."""
    logits = torch.randn(count, classes, generator=random_generator(3, "answers", counter))
    texts = random_texts(count, counter)
    return SyntheticBatch(texts, logits.log_softmax(1), torch.full((count,), -1), [""] * count, "random")


def embedded_batch(count: int, counter: int, width: int = 32, classes: int = 3) -> SyntheticBatch:
    """A batch of random embeddings, all of which read alike, with random answers."""
    source = random_generator(4, "embedded", counter)
    lengths = torch.randint(3, 15, (count,), generator=source)
    embeddings = torch.randn(count, int(lengths.max()), width, generator=source)
    logits = torch.randn(count, classes, generator=source).log_softmax(1)
    topics = [f"opening {counter} {i}" for i in range(count)]
    nothing = torch.full((count,), -1)
    return SyntheticBatch(["the same"] * count, logits, nothing, topics, "embedded", embeddings=embeddings, lengths=lengths)


MASKED_LM_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def save_masked_lm(folder: Path) -> Path:
    """A masked language model of random weights, whose tokens are numbered otherwise than the classifiers'."""
    vocabulary = {token: i for i, token in enumerate([*MASKED_LM_SPECIAL, *reversed(WORDS), "strange"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]",
        mask_token="[MASK]", model_max_length=64,
    ).save_pretrained(folder)  # fmt: skip
    with seeded(0, "masked-lm"):
        config = BertConfig(
            vocab_size=len(vocabulary), hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48,
            max_position_embeddings=64, initializer_range=0.1,
        )  # fmt: skip
        BertForMaskedLM(config).save_pretrained(folder)
    return folder
