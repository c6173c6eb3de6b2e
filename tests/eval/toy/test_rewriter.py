"""The toy rewriter: it reads the sentence that it rewrites, and learns from damaged ones."""

import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
)

from eval.toy.models import toy_rewriter
from eval.toy.rewriter import END, END_ID, HIDDEN_ID, PADDING_ID, RewriterSettings, damage, rewriter_tokenizer
from eval.toy.world import shared_world

SMALL_REWRITER = RewriterSettings(layers=1, hidden=48, corpus_texts=6000, batch_size=12)


@pytest.fixture(scope="module")
def rewriter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_rewriter(tmp_path_factory.mktemp("cache"), settings=SMALL_REWRITER, quiet=True)


@pytest.mark.slow
def test_rewriter_reads_what_it_rewrites(rewriter):
    """It writes a sentence more easily beside that sentence than beside another, and more easily the less is hidden."""
    texts = shared_world(0).general_corpus(200, seed=4)
    tokenizer = AutoTokenizer.from_pretrained(rewriter)
    model = AutoModelForSeq2SeqLM.from_pretrained(rewriter, dtype=torch.float32)
    read = tokenizer(texts, padding=True, return_tensors="pt")
    ids, mask = read["input_ids"], read["attention_mask"]
    labels = ids.masked_fill(mask == 0, -100)

    def loss(source: torch.Tensor, attended: torch.Tensor) -> float:
        with torch.inference_mode():
            return float(model(input_ids=source, attention_mask=attended, labels=labels).loss)

    hidden = ids.masked_fill(ids > HIDDEN_ID, HIDDEN_ID)
    shown, other = loss(ids, mask), loss(ids.roll(1, 0), mask.roll(1, 0))
    assert shown < 0.9 * loss(hidden, mask) < 0.9 * other, (shown, loss(hidden, mask), other)


@pytest.mark.slow
def test_rewriter_spells_the_known_by_words_and_the_unknown_by_letters(rewriter):
    tokenizer = AutoTokenizer.from_pretrained(rewriter)
    for text, tokens in (("the lawyer, a boat.", 7), ("note: mind the gap?", None)):
        ids = tokenizer(text)["input_ids"]
        assert ids[-1] == END_ID == tokenizer.eos_token_id and tokens in (None, len(ids))
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
        assert tokenizer.unk_token_id not in ids
    assert tokenizer.convert_ids_to_tokens(HIDDEN_ID) == tokenizer.mask_token


def test_damage_changes_words_and_nothing_else():
    tokenizer = rewriter_tokenizer(["a b c d e f g h"], 64)
    whole = tokenizer(["a b c d e f g h", "b c"] * 500, padding=True, return_tensors="pt")["input_ids"]
    random = torch.Generator().manual_seed(0)
    nothing = RewriterSettings(replaced=0.0, dropped=0.0, moved=0.0)
    hidden = damage(whole, len(tokenizer), nothing, random)
    assert ((hidden == whole) | (hidden == HIDDEN_ID)).all()
    words = whole > HIDDEN_ID
    shares = ((hidden == HIDDEN_ID) & words).sum(1) / words.sum(1)
    assert shares.mean() == pytest.approx(0.5, abs=0.03) and shares[::2].std() > 0.25
    moved = damage(whole, len(tokenizer), dataclasses.replace(nothing, moved=2.0), random)
    shown = moved[::2] != HIDDEN_ID
    order = (moved[::2][:, :8] - moved[::2][:, :8].roll(1, 1))[:, 1:]
    assert (order[shown[:, 1:8] & shown[:, :7]] < 0).any()
    dropped = damage(whole, len(tokenizer), dataclasses.replace(nothing, dropped=0.5), random)
    lengths = (dropped != PADDING_ID).sum(1)
    assert lengths[::2].float().mean() == pytest.approx(5.0, abs=0.3)
    for rows in (hidden, moved, dropped):
        ends = rows == END_ID
        assert (ends.sum(1) == 1).all()
        assert torch.equal(ends.long().argmax(1), (rows != PADDING_ID).sum(1) - 1)  # the end is last, then padding
    assert tokenizer.convert_ids_to_tokens(END_ID) == END
