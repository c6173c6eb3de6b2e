"""Tiny models shared by the tests of distillation. Everything is made here; nothing is downloaded."""

from pathlib import Path

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from distill.common.seeding import seeded
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.tiny import CLASS_WORDS, LABELS, make_tokenizer, random_texts


def _train(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Teach a model which group of words a text has most of: 80 updates, about two seconds."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for step in range(80):
        texts = random_texts(64, 1000 + step)
        counts = torch.tensor([[sum(w in group for w in t.split()) for group in CLASS_WORDS] for t in texts])
        inputs = tokenizer(texts, padding="max_length", max_length=24, truncation=True, return_tensors="pt")
        logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
        loss = torch.nn.functional.cross_entropy(logits, counts.argmax(dim=1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()


def _sizes(layers: int) -> dict[str, int]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": 32,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "vocab_size": len(make_tokenizer()),
    }


NAMES = {"id2label": dict(enumerate(LABELS)), "label2id": {label: i for i, label in enumerate(LABELS)}}


def _save(model: PreTrainedModel, folder: Path) -> Path:
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained three-layer BERT classifier with dropout in its configuration."""
    with seeded(0, "bert"):
        model = BertForSequenceClassification(BertConfig(**_sizes(3), **NAMES))
        _train(model, make_tokenizer())
    return _save(model, tmp_path_factory.mktemp("teacher") / "bert")


@pytest.fixture(scope="session")
def distilbert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A three-layer DistilBERT classifier with random weights; it takes no token_type_ids."""
    with seeded(0, "distilbert"):
        config = DistilBertConfig(n_layers=3, dim=32, n_heads=2, hidden_dim=64, max_position_embeddings=64,
                                  vocab_size=len(make_tokenizer()), **NAMES)  # fmt: skip
        model = DistilBertForSequenceClassification(config)
    return _save(model, tmp_path_factory.mktemp("teacher") / "distilbert")


@pytest.fixture(scope="session")
def roberta_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer RoBERTa classifier with random weights; its positions begin at pad_token_id + 1."""
    with seeded(0, "roberta"):
        model = RobertaForSequenceClassification(RobertaConfig(**_sizes(2), **NAMES, pad_token_id=0))
    return _save(model, tmp_path_factory.mktemp("teacher") / "roberta")


@pytest.fixture
def teacher(bert_folder: Path) -> TransformersTeacher:
    """The trained BERT classifier as a teacher with fresh counters."""
    return TransformersTeacher(bert_folder, "cpu")
