"""A tiny encoder-decoder over the words of `tests.distill.tiny`, spelt as T5 spells: marked word beginnings, other ids."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from distill.common.seeding import seeded
from tests.distill.tiny import WORDS, random_texts

SPECIAL = ["<pad>", "</s>", "<unk>", "<mask>"]


def rewriter_tokenizer(words: list[str], mask: bool = True) -> PreTrainedTokenizerFast:
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *("\u2581" + word for word in words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokens = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"} | ({"mask_token": "<mask>"} if mask else {})
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **tokens)


def save_rewriter_base(folder: Path, words: list[str] | None = None, seed: int = 0) -> Path:
    """A T5 of width 32 that has learnt for two seconds to copy texts of random words."""
    tokenizer = rewriter_tokenizer(words or [*reversed(WORDS), "spare", "Boat"])
    config = T5Config(
        vocab_size=len(tokenizer) + 3, d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2, dropout_rate=0.0,
        pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
    )  # fmt: skip
    with seeded(seed, "rewriter"):
        model = T5ForConditionalGeneration(config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for step in range(60):
            read = tokenizer(random_texts(32, 5000 + step, 3, 8), padding=True, return_tensors="pt")
            labels = read["input_ids"].masked_fill(read["attention_mask"] == 0, -100)
            loss = model(input_ids=read["input_ids"], attention_mask=read["attention_mask"], labels=labels).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
