"""Likelihoods and embeddings, against one text at a time without batches."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5ForSequenceClassification

from distill.common.errors import InputError
from distill.student import load_student
from distill.teachers.transformers_teacher import TransformersTeacher
from eval.corpora import models as corpus_models
from eval.corpora.models import embeddings, has_layers, load_encoder, mean_logprobs
from tests.prompter.tiny import tiny_gpt2, tiny_teacher, word_tokenizer

TEXTS = ["good : w1 w2 w3", "bad", "", "w4 w5 w6 w7 w8 w9 good", "w1 w2", " ".join(["w1 bad"] * 60)]


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lm")
    tiny_gpt2().save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    tiny_teacher().save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("logits", [1, 2**25])
def test_logprobs_are_those_of_each_text_alone(lm, logits, monkeypatch):
    monkeypatch.setattr(corpus_models, "LOGITS", logits)
    found = mean_logprobs(str(lm), TEXTS, "cpu")
    model, tokenizer = tiny_gpt2(), word_tokenizer()
    for text, value in zip(TEXTS, found, strict=True):
        ids = [tokenizer.bos_token_id, *tokenizer(text)["input_ids"]][:64]  # the model's context
        if len(ids) == 1:
            assert np.isnan(value)
            continue
        with torch.no_grad():
            logprobs = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        alone = [float(logprobs[place, ids[place + 1]]) for place in range(len(ids) - 1)]
        assert value == pytest.approx(np.mean(alone), abs=1e-5)


def test_embeddings_are_means_over_the_tokens_of_each_text_alone(classifier, monkeypatch):
    texts = [text for text in TEXTS if text]
    model, tokenizer = load_encoder(str(classifier), "cpu")
    assert model.dtype == torch.float32
    monkeypatch.setitem(corpus_models.encode.BATCH_TOKENS, "cpu", 16)
    found = embeddings(model, tokenizer, texts)
    reference = tiny_teacher().bert
    for text, value in zip(texts, found, strict=True):
        ids = torch.tensor([tokenizer(text)["input_ids"][:64]])
        with torch.no_grad():
            states = reference(input_ids=ids).last_hidden_state[0]
        assert value == pytest.approx(states.mean(0).numpy(), abs=1e-5)


def test_a_teacher_embeds_as_its_own_encoder_does(classifier):
    teacher = TransformersTeacher(classifier, "cpu")
    mine = embeddings(teacher.model, teacher.tokenizer, TEXTS)
    assert np.allclose(mine, embeddings(*load_encoder(str(classifier), "cpu"), TEXTS), atol=1e-6)
    assert np.isfinite(mine).all()
    assert teacher.queries == 0


def test_a_language_model_embeds_too_and_an_encoder_decoder_is_refused(lm, tmp_path):
    assert embeddings(*load_encoder(str(lm), "cpu"), TEXTS).shape == (len(TEXTS), 32)
    (tmp_path / "config.json").write_text('{"model_type": "t5", "is_encoder_decoder": true}')
    with pytest.raises(InputError, match="encoder: .* is an encoder-decoder"):
        load_encoder(str(tmp_path))


def test_models_without_states_to_compare_leave_it_to_tf_idf(classifier, tmp_path):
    teacher = TransformersTeacher(classifier, "cpu")
    static = load_student("static:from-teacher", teacher=teacher, device="cpu")
    static.save(tmp_path / "static")
    tiny_t5 = T5ForSequenceClassification(
        T5Config(vocab_size=40, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, decoder_start_token_id=0)
    )
    assert has_layers(teacher.model) and not has_layers(static.model) and not has_layers(tiny_t5)
    with pytest.raises(InputError, match="encoder: .* holds vectors of tokens and no layers"):
        load_encoder(str(tmp_path / "static"))


def test_states_that_are_not_finite_are_refused(classifier):
    model, tokenizer = load_encoder(str(classifier), "cpu")
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(torch.nan)
    with pytest.raises(InputError, match="encoder: .* gives states that are not finite"):
        embeddings(model, tokenizer, ["good bad"])


def test_an_encoder_needs_all_its_weights_but_the_pooler(classifier, tmp_path):
    tiny_teacher().save_pretrained(tmp_path)
    word_tokenizer().save_pretrained(tmp_path)

    def keep_only(targets):
        kept = {name: t for name, t in load_file(tmp_path / "model.safetensors").items() if targets(name)}
        save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})

    keep_only(lambda name: "pooler" not in name)
    assert np.allclose(
        embeddings(*load_encoder(str(tmp_path), "cpu"), ["good bad"]),
        embeddings(*load_encoder(str(classifier), "cpu"), ["good bad"]),
    )
    keep_only(lambda name: "layer.1" not in name)
    with pytest.raises(InputError, match="encoder: .* lacks trained weights"):
        load_encoder(str(tmp_path))


def test_models_that_are_not_there_are_named_by_their_setting(tmp_path, classifier):
    with pytest.raises(InputError, match="writer: folder .* does not exist"):
        mean_logprobs(str(tmp_path / "none"), TEXTS)
    with pytest.raises(InputError, match="writer: .* is not a causal language model"):
        mean_logprobs(str(classifier), TEXTS)
