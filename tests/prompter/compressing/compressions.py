"""A tiny teacher of three layers, and calls of `prompter compress`."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertForSequenceClassification

from prompter.cli import main
from tests.distill.tiny import LABELS, make_tokenizer, random_texts


def write_teacher(folder: Path, labels: list[str] = LABELS, seed: int = 0) -> Path:
    """Write a random classifier whose answers differ from text to text."""
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        id2label=dict(enumerate(labels)),
    )
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.mul_(20)
        model.classifier.weight.mul_(30)
        inputs = tokenizer(random_texts(200, 0), padding=True, return_tensors="pt")
        model.classifier.bias.sub_(model.eval()(**inputs).logits.mean(dim=0))  # else it would know one answer alone
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def run(teacher: object, to: Path, *more: object) -> int:
    return main(["compress", str(teacher), "--to", str(to), "--device", "cpu", *map(str, more)])


def summary_of(to: Path) -> dict[str, Any]:
    return dict(json.loads((to / "summary.json").read_text()))
