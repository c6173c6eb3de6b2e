"""A tiny word-level language model, made in the test."""

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

WORDS = ["<eos>", "<pad>", "<unk>", "good", "bad", ":", ".", *(f"w{i}" for i in range(25))]


LETTERS = [
    *WORDS[:7],
    *"a the room staff food view and was were is not so very bed bar old new out in on it that we they all".split(),
]
"""As many words, for tests of what looks at letters."""


def word_tokenizer(words: list[str] = WORDS) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(behavior="isolated")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", bos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )


def tiny_gpt2(seed: int = 0) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(WORDS),
        n_positions=64,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    model = GPT2LMHeadModel(config)
    with torch.no_grad():  # at its usual scale a random output layer is all but uniform, and adapters could not move it
        model.transformer.wte.weight.mul_(4)
    return model.eval()


PAIR_LABELS = ("not_equivalent", "equivalent")


def tiny_teacher(
    seed: int = 0, scale: float = 8.0, labels: tuple[str, str] = ("good", "bad")
) -> BertForSequenceClassification:
    """A random classifier whose answers differ from text to text."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        pad_token_id=1,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.mul_(20)
        model.classifier.weight.mul_(scale)
    return model.eval()
