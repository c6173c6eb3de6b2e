"""The toy masked language model: it fills gaps with words that fit."""

from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
)

from eval.toy.masked_lm import MaskedLMSettings
from eval.toy.models import toy_masked_lm
from eval.toy.world import shared_world


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
def test_masked_lm_fills_gaps_with_words_that_fit(cache: Path) -> None:
    settings = MaskedLMSettings(layers=1, hidden=64, heads=2, corpus_texts=4000)
    folder = toy_masked_lm(cache, settings=settings, quiet=True)
    assert toy_masked_lm(cache, settings=settings, quiet=True) == folder and not list(folder.glob("*.bin"))
    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(shared_world(0).general_corpus(4300)[-300:], padding=True, return_tensors="pt")
    ids = inputs["input_ids"]
    labels = ids.clone()
    inputs["input_ids"] = ids.clone()
    inputs["input_ids"][:, 3], labels[:, :3], labels[:, 4:] = tokenizer.mask_token_id, -100, -100
    with torch.inference_mode():
        loss = model(**inputs, labels=labels).loss.item()
    counts = torch.bincount(ids[:, 3], minlength=len(tokenizer)).float() + 1
    by_frequency = -(counts / counts.sum()).log()[ids[:, 3]].mean().item()  # an oracle that knows these words' counts
    assert loss < by_frequency
