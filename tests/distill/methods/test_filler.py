"""The masked language model that fills gaps: which gaps, and logits at these alone for every family."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    BatchEncoding,
    BertConfig,
    DistilBertConfig,
    MobileBertConfig,
    PretrainedConfig,
    RobertaConfig,
)

from distill.common.errors import InputError
from distill.common.seeding import random_generator, seeded
from distill.methods.filler import Filler
from tests.distill.tiny import MASKED_LM_SPECIAL, random_texts, save_masked_lm

BERT_SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_masked_lm(tmp_path_factory.mktemp("masked-lm"))


@pytest.mark.parametrize(
    ("config", "sizes"),
    [
        (BertConfig, BERT_SIZES),
        (RobertaConfig, BERT_SIZES),
        (DistilBertConfig, {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32}),
        (MobileBertConfig, BERT_SIZES | {"embedding_size": 8, "intra_bottleneck_size": 16, "num_feedforward_networks": 1}),
    ],
)
def test_logits_at_the_gaps_are_those_of_the_whole_model(
    folder: Path, config: type[PretrainedConfig], sizes: dict[str, int]
) -> None:
    filler = Filler(str(folder), 64, 0.3, "cpu")
    with seeded(0, "any model"):
        filler.model = AutoModelForMaskedLM.from_config(config(vocab_size=len(filler.tokenizer), **sizes)).eval()
    gaps = filler.gaps(random_texts(6, 1), None, random_generator(0, "gaps"))
    masked = gaps.ids.masked_fill(gaps.hidden, filler.tokenizer.mask_token_id)
    with torch.no_grad():
        expected = filler.model(input_ids=masked, attention_mask=gaps.mask).logits[gaps.hidden]
        found = filler.logits(gaps)
    assert found.isneginf().sum() == len(found) * len(filler.special)
    ordinary = found.isfinite()
    torch.testing.assert_close(found[ordinary], expected[ordinary], atol=1e-5, rtol=1e-5)
    assert filler.model(input_ids=masked).logits.ndim == 3  # the hook is gone


def test_gaps_are_the_share_asked_for_and_never_special_tokens(folder: Path) -> None:
    filler = Filler(str(folder), 64, 0.5, "cpu")
    gaps = filler.gaps([*random_texts(20, 4), "boat"], None, random_generator(0, "gaps"))
    ordinary = (gaps.ids >= len(MASKED_LM_SPECIAL)).sum(1)
    assert torch.equal(gaps.hidden.sum(1), (0.5 * ordinary).round().clamp_min(1).long())
    assert (gaps.ids[gaps.hidden] >= len(MASKED_LM_SPECIAL)).all() and gaps.hidden[-1].sum() == 1


def test_outputs_that_stand_for_no_token_fill_no_gap(folder: Path, tmp_path: Path) -> None:
    tokens = len(AutoTokenizer.from_pretrained(folder))
    with seeded(0, "more outputs"):  # as DeBERTa v3 has
        AutoModelForMaskedLM.from_config(BertConfig(vocab_size=tokens + 5, **BERT_SIZES)).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    filler = Filler(str(tmp_path), 64, 0.3, "cpu")
    with torch.no_grad():
        logits = filler.logits(filler.gaps(random_texts(6, 1), None, random_generator(0, "gaps")))
    assert logits[:, tokens:].isneginf().all() and logits[:, len(MASKED_LM_SPECIAL) : tokens].isfinite().all()


def test_filled_pairs_come_back_as_pairs(folder: Path) -> None:
    filler = Filler(str(folder), 64, 0.3, "cpu")
    gaps = filler.gaps(["boat cow", "hay"], ["hay hay", "boat"], random_generator(0, "gaps"))
    assert filler.decode(gaps, gaps.ids[gaps.hidden]) == (["boat cow", "hay"], ["hay hay", "boat"])


def test_pairs_come_back_where_the_model_knows_one_token_type(folder: Path, tmp_path: Path) -> None:
    """RoBERTa's tokenizer gives both texts of a pair the type 0."""
    shutil.copytree(folder, tmp_path / "roberta")
    file = tmp_path / "roberta" / "tokenizer.json"
    saved = json.loads(file.read_text())
    for part in saved["post_processor"]["pair"]:
        next(iter(part.values()))["type_id"] = 0
    file.write_text(json.dumps(saved))
    filler = Filler(str(tmp_path / "roberta"), 64, 0.3, "cpu")
    gaps = filler.gaps(["boat cow", "hay"], ["hay hay", "boat"], random_generator(0, "gaps"))
    assert not gaps.types.any()
    assert filler.decode(gaps, gaps.ids[gaps.hidden]) == (["boat cow", "hay"], ["hay hay", "boat"])


def test_a_tokenizer_that_mixes_the_texts_of_a_pair_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filler = Filler(str(folder), 64, 0.3, "cpu")
    monkeypatch.setattr(BatchEncoding, "is_fast", False)
    assert filler.gaps(["boat"], None, random_generator(0, "gaps")).ids.shape == (1, 3)
    with pytest.raises(InputError, match="masked_lm: its tokenizer does not tell the two texts of a pair apart; use"):
        filler.gaps(["boat"], ["hay"], random_generator(0, "gaps"))


def test_a_model_without_gaps_is_refused(bert_folder: Path) -> None:
    with pytest.raises(InputError, match="masked_lm: .*expected a masked language model|not a masked language model"):
        Filler(str(bert_folder), 64, 0.3, "cpu")


@pytest.mark.parametrize("more", [{"additional_special_tokens": ["[E]"]}, {"mask_token": "[GAP]"}])
def test_a_tokenizer_with_tokens_that_the_model_does_not_know_is_refused(folder: Path, tmp_path: Path, more: dict) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.add_special_tokens(more)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="masked_lm: .* has .* word embeddings, but its tokenizer has .* tokens"):
        Filler(str(tmp_path), 64, 0.3, "cpu")
