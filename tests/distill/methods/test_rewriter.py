import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration, GenerationConfig

from distill.common.errors import InputError
from distill.common.seeding import random_generator, seeded
from distill.methods.rewriter import ADAPTER_FILE, FORBIDDEN, REWRITER_MANIFEST, Rewriter
from tests.distill.rewriters import rewriter_tokenizer, save_rewriter_base
from tests.distill.tiny import WORDS, random_texts

TEXTS = random_texts(12, 1, 3, 8)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_rewriter_base(tmp_path_factory.mktemp("base") / "t5")


def untuned(base: Path, max_length: int = 10, hidden_share: float = 0.2) -> Rewriter:
    return Rewriter.untuned(str(base), max_length, hidden_share, rank=4, alpha=8, seed=0, device="cpu")


def tuned(base: Path) -> Rewriter:
    """A rewriter whose adapter was moved at random, so that it writes differently."""
    rewriter = untuned(base)
    with torch.no_grad():
        for parameter in rewriter.parameters:
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=random_generator(0, "moved")))
    return rewriter


@pytest.fixture(scope="module")
def bart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained BART, whose decoder is given two tokens to begin with, and which came with settings for beam search."""
    tokenizer = rewriter_tokenizer([*WORDS, "spare", "Boat"])
    config = BartConfig(
        vocab_size=len(tokenizer), d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=32, dropout=0.1,
        pad_token_id=0, eos_token_id=1, bos_token_id=2, decoder_start_token_id=1, init_std=0.3,
    )  # fmt: skip
    with seeded(0, "bart"):
        model = BartForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        num_beams=4, no_repeat_ngram_size=2, forced_bos_token_id=2, eos_token_id=1, pad_token_id=0, decoder_start_token_id=1
    )
    folder = tmp_path_factory.mktemp("base") / "bart"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", ["base", "bart"])
def test_logits_say_what_the_sample_was_drawn_from(family: str, request: pytest.FixtureRequest) -> None:
    """Over many draws, tokens come as often as the parallel pass says."""
    rewriter = tuned(request.getfixturevalue(family))
    inputs = rewriter.encode(TEXTS[:1] * 600, random_generator(0, "none"))
    inputs["input_ids"] = inputs["input_ids"][:1].expand(600, -1).contiguous()
    tokens = rewriter.sample(inputs, 0, "draws")
    expected = rewriter.logits(inputs, tokens).softmax(dim=-1)
    assert torch.allclose(expected[0, 0], expected[1, 0], atol=1e-6)
    found = torch.bincount(tokens.ids[:, 0], minlength=rewriter.vocabulary) / 600
    assert (found - expected[0, 0]).abs().max() < 0.07
    later = tokens.mask[:, 2]  # at a place where what came before differs: the mean of what was said
    found = torch.bincount(tokens.ids[later, 2], minlength=rewriter.vocabulary) / later.sum()
    assert later.sum() > 100 and (found - expected[later, 2].mean(dim=0)).abs().max() < 0.1
    chosen = expected.gather(2, tokens.ids[:, :, None]).squeeze(2)
    assert (chosen[tokens.drawn] > 0).all()


def test_rows_end_once_and_forbidden_tokens_are_not_written(base: Path) -> None:
    rewriter = tuned(base)
    inputs = rewriter.encode(TEXTS * 20, random_generator(0, "hidden"))
    tokens = rewriter.sample(inputs, 0, "sample", 3)
    ends = tokens.ids == rewriter.end
    assert (ends & tokens.mask).sum(dim=1).eq(1).all()
    assert (tokens.ids[~tokens.mask] == rewriter.pad).all()
    lengths = tokens.mask.sum(dim=1)
    assert lengths.min() >= 2 and lengths.max() == 11  # one token at least, and the end
    cut = ~(ends & tokens.drawn).any(dim=1)
    assert cut.any() and lengths[cut].eq(11).all()  # where the limit was reached the end was added
    written = set(tokens.ids[tokens.mask].tolist()) - {rewriter.end}
    assert written and min(written) >= 4 and max(written) < len(rewriter.tokenizer) < rewriter.vocabulary
    logits = rewriter.logits(inputs, tokens)
    assert (logits[:, :, [0, 2, 3]] == FORBIDDEN).all()
    assert (logits[:, :, len(rewriter.tokenizer) :] == FORBIDDEN).all()


def test_adapter_off_is_the_base(base: Path) -> None:
    rewriter, fresh = tuned(base), untuned(base)
    inputs = rewriter.encode(TEXTS, random_generator(0, "hidden"))
    tokens = rewriter.sample(inputs, 0, "sample")
    assert torch.equal(rewriter.logits(inputs, tokens, tuned=False), fresh.logits(inputs, tokens))
    assert not torch.allclose(rewriter.logits(inputs, tokens), fresh.logits(inputs, tokens), atol=0.1)
    assert rewriter.logits(inputs, tokens).requires_grad
    assert not rewriter.logits(inputs, tokens, tuned=False).requires_grad


def test_gradients_are_kept_where_they_are_wanted_only(base: Path) -> None:
    rewriter, kept = tuned(base), []
    head = rewriter.model.get_base_model().get_output_embeddings()
    head.register_forward_hook(lambda _, __, output: kept.append(output.requires_grad))
    inputs = rewriter.encode(TEXTS, random_generator(0, "gradients"))
    tokens = rewriter.sample(inputs, 0, "gradients")
    kept.clear()
    assert rewriter.logits(inputs, tokens).requires_grad
    assert not rewriter.logits(inputs, tokens, tuned=False).requires_grad
    assert kept == [True, False]
    rewriter.write(TEXTS, 0)
    assert len(kept) > 2 and not any(kept[2:])


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_hidden_share_of_the_words(base: Path, share: float) -> None:
    rewriter = untuned(base, hidden_share=share)
    inputs = rewriter.encode(TEXTS * 20, random_generator(0, "hidden"))
    words = inputs["attention_mask"].bool() & (inputs["input_ids"] != rewriter.end)
    hidden = inputs["input_ids"] == rewriter.tokenizer.mask_token_id
    assert float(hidden.sum() / words.sum()) == pytest.approx(share, abs=0.05)
    rewriter.tokenizer.mask_token = None  # a tokenizer like T5's leaves the words out
    left = rewriter.encode(TEXTS * 20, random_generator(0, "hidden"))["attention_mask"].sum(dim=1)
    kept = (words & ~hidden).sum(dim=1) + 1  # the end is never hidden, and a first word never left out
    assert (left >= kept).all() and (left <= kept + 1).all()


def test_writing_depends_on_seed_and_number_alone(base: Path) -> None:
    rewriter = tuned(base)
    first = rewriter.write(TEXTS, 1)
    torch.rand(5)
    again = rewriter.write(TEXTS, 1)
    assert first.texts == again.texts and torch.equal(first.logprob_mean, again.logprob_mean)
    assert first.texts != rewriter.write(TEXTS, 2).texts
    assert first.texts != rewriter.write(TEXTS, 1, seed=1).texts
    assert {word for text in first.texts for word in text.split()} <= {*WORDS, "spare", "Boat"}
    assert first.logprob_mean.shape == (12,) and (first.logprob_mean < 0).all()


def test_saved_and_loaded_it_writes_the_same(base: Path, tmp_path: Path) -> None:
    rewriter = tuned(base)
    rewriter.save(tmp_path / "saved", {"method": "t3"}, base="org/base")
    assert json.loads((tmp_path / "saved" / REWRITER_MANIFEST).read_text())["base"] == "org/base"
    moved = shutil.move(tmp_path / "saved", tmp_path / "elsewhere")
    loaded = Rewriter.load(moved, base=str(base), device="cpu")
    assert loaded.write(TEXTS, 5).texts == rewriter.write(TEXTS, 5).texts != untuned(base).write(TEXTS, 5).texts
    assert loaded.parameters == []


@pytest.mark.parametrize("name", [REWRITER_MANIFEST, ADAPTER_FILE, "tokenizer.json"])
def test_damaged_folder_is_refused(base: Path, tmp_path: Path, name: str) -> None:
    untuned(base).save(tmp_path / "saved", {})
    file = tmp_path / "saved" / name
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(InputError, match="damaged"):
        Rewriter.load(tmp_path / "saved", device="cpu")


@pytest.mark.parametrize(
    ("key", "value"),
    [("rank", "4"), ("rank", 2_000_000), ("alpha", None), ("max_length", 0), ("max_length", 10**9), ("hidden_share", "x"),
     ("hidden_share", float("nan")), ("base_parameters", "many"), ("base", 3), ("schema_version", None)],
)  # fmt: skip
def test_a_file_of_others_with_other_values_is_one_line(base: Path, tmp_path: Path, key: str, value: object) -> None:
    untuned(base).save(tmp_path / "saved", {})
    (tmp_path / "saved" / "checksums.json").unlink()
    file = tmp_path / "saved" / REWRITER_MANIFEST
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(InputError, match=f"rewriter.json: '{key}' is .*copy the folder again"):
        Rewriter.load(tmp_path / "saved", base=str(base), device="cpu")


def test_another_base_is_refused(base: Path, tmp_path: Path) -> None:
    untuned(base).save(tmp_path / "saved", {})
    other = save_rewriter_base(tmp_path / "other", WORDS[:5])
    with pytest.raises(InputError, match="base: .*other has .* parameters, the rewriter was tuned on"):
        Rewriter.load(tmp_path / "saved", base=str(other), device="cpu")


def test_a_classifier_is_no_rewriter(bert_folder: Path) -> None:
    with pytest.raises(InputError, match="rewriter: .* is not an encoder-decoder"):
        untuned(bert_folder)


def test_a_tokenizer_with_tokens_that_the_model_does_not_know_is_refused(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path, dirs_exist_ok=True)
    rewriter_tokenizer([*WORDS, *(f"more{i}" for i in range(9))]).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="rewriter: .* has .* word embeddings, but its tokenizer has .* tokens"):
        untuned(tmp_path)


def test_no_more_is_read_and_written_than_the_model_has_positions(bart: Path) -> None:
    rewriter = untuned(bart, max_length=40)
    assert rewriter.max_length == 30  # of 32 positions, the decoder begins with two tokens
    written = rewriter.write([" ".join(WORDS * 9)] * 4, 0)
    assert len(written.texts) == 4 and written.logprob_mean.isfinite().all()


def test_a_model_that_does_not_say_where_its_decoder_starts_is_refused(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path, dirs_exist_ok=True)
    for name in ("config.json", "generation_config.json"):
        fields = json.loads((tmp_path / name).read_text())
        fields.pop("decoder_start_token_id", None)
        (tmp_path / name).write_text(json.dumps(fields))
    with pytest.raises(InputError, match="rewriter: config.json of .* has no decoder_start_token_id"):
        untuned(tmp_path)
