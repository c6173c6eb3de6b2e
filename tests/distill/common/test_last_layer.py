"""The last layer of a classifier computes what is read of it alone: same outputs, same gradients."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from distill.batch import SyntheticBatch
from distill.common import encode
from distill.common.encode import last_layer_at, outputs
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.student import load_student
from tests.distill.tiny import make_tokenizer, random_texts

SIZES = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 99,
         "num_labels": 3}  # fmt: skip


def model_of(family: str, **kwargs) -> PreTrainedModel:
    """A classifier of random weights, large enough that its answers differ."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **SIZES, pad_token_id=1, initializer_range=0.5, **kwargs)
    return AutoModelForSequenceClassification.from_config(config).double().eval()  # so that a difference is none of rounding


def inputs() -> dict[str, torch.Tensor]:
    """Five texts of unequal length, padded on the right."""
    mask = (torch.arange(11) < torch.tensor([[11], [3], [1], [7], [10]])).long()
    ids = torch.randint(2, 99, (5, 11), generator=torch.Generator().manual_seed(1))
    return {"input_ids": torch.where(mask == 1, ids, 1), "attention_mask": mask}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", sorted(encode.READS_FIRST))
def test_logits_and_gradients_are_the_same(family: str, attention: str) -> None:
    model = model_of(family, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation=attention).train()
    found = []
    for shortened in (False, True):
        model.zero_grad()
        if shortened:
            with last_layer_at(model):
                assert "forward" in vars(model.base_model.encoder.layer[-1])
                logits = model(**inputs()).logits
        else:
            logits = model(**inputs()).logits
        (logits**2).sum().backward()
        found.append((logits.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}))
    (whole, wanted), (first, made) = found
    assert whole.std() > 0.01
    torch.testing.assert_close(first, whole, rtol=1e-10, atol=1e-10)
    assert made.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(made[name], gradient, rtol=1e-8, atol=1e-8)
    assert "forward" not in vars(model.base_model.encoder.layer[-1])


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", sorted(encode.READS_FIRST))
def test_so_are_the_states_of_chosen_positions(family: str, attention: str) -> None:
    model = model_of(family, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation=attention).train()
    positions = torch.tensor([[10, 3], [2, 1], [0, 0], [1, 6], [4, 9]])
    found = []
    for shortened in (False, True):
        model.zero_grad()
        with last_layer_at(model, positions) if shortened else nullcontext() as alone:
            states = model.base_model(**inputs()).last_hidden_state
        if not shortened:
            states = states[torch.arange(5)[:, None], positions]
        assert alone is (True if shortened else None) and states.shape == (5, 2, 128)
        (states**3).sum().backward()
        found.append((states.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}))
    (whole, wanted), (chosen, made) = found
    torch.testing.assert_close(chosen, whole, rtol=1e-10, atol=1e-10)
    assert made.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(made[name], gradient, rtol=1e-8, atol=1e-8)


def test_dropout_narrow_models_and_other_families_keep_the_whole_layer() -> None:
    with_dropout = model_of("bert", hidden_dropout_prob=0.1)
    assert encode._last_layer(with_dropout) is not None  # no dropout in evaluation
    assert encode._last_layer(with_dropout.train()) is None
    narrow = AutoConfig.for_model("bert", **SIZES | {"hidden_size": 64})
    assert encode._last_layer(AutoModelForSequenceClassification.from_config(narrow)) is None
    other = AutoConfig.for_model("distilbert", dim=128, n_layers=1, n_heads=2, hidden_dim=64, vocab_size=99)
    assert encode._last_layer(AutoModelForSequenceClassification.from_config(other)) is None
    assert encode._last_layer(AutoModelForTokenClassification.from_config(with_dropout.config)) is None  # reads them all


def test_wide_models_get_small_batches_on_a_cpu() -> None:
    narrow = AutoConfig.for_model("bert", **SIZES | {"hidden_size": 64})
    sizes = [
        encode.default_batch_tokens(model)
        for model in (model_of("bert"), AutoModelForSequenceClassification.from_config(narrow))
    ]
    assert sizes == [1024, 4096]


def test_scores_and_students_are_those_of_the_whole_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = random_texts(40, 0, 1, 20)
    answers = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    found = []
    for least in (128, 10_000):
        monkeypatch.setattr(encode, "NARROWEST", least)
        student = load_student(
            "bert:layers=2,hidden=128", labels=list("abc"), tokenizer=make_tokenizer(), seed=0, device="cpu"
        )
        before = outputs(student.model, student.tokenizer, texts)
        distiller = Distiller(student, DistillConfig(student_updates=4, student_batch_size=8), 40, seed=0)
        distiller.consume(SyntheticBatch(texts, answers, torch.full((40,), -1), [""] * 40, "texts"))
        distiller.finish()
        found.append((before, outputs(student.model, student.tokenizer, texts)))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-3, atol=1e-3)
    assert (found[0][1] - found[0][0]).abs().max() > 0.01  # it has learnt something


def test_threads_that_share_a_model_do_not_disturb_each_other() -> None:
    model = model_of("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    equal = {"input_ids": inputs()["input_ids"], "attention_mask": torch.ones(5, 11, dtype=torch.int64)}  # no mask is made
    wanted = model(**equal).logits.detach()

    def answers() -> tuple[bool, torch.Tensor]:
        with torch.no_grad(), last_layer_at(model) as alone:
            return alone, model(**equal).logits

    with ThreadPoolExecutor(1) as pool, torch.no_grad():
        with last_layer_at(model) as first:
            alone, found = pool.submit(answers).result()
            states = pool.submit(lambda: model.base_model(**equal).last_hidden_state).result()
            own = model(**equal).logits
        again, last = pool.submit(answers).result()
    assert first and not alone and again and states.shape[1] == 11
    for logits in (found, own, last):
        torch.testing.assert_close(logits, wanted, rtol=1e-10, atol=1e-10)


def test_texts_are_classified_by_several_threads_at_once() -> None:
    """As a service does with a student, in threads that come and go."""
    tokenizer, texts = make_tokenizer(), random_texts(24, 1)
    model = model_of("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).float()
    wanted = outputs(model, tokenizer, texts)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: outputs(model, tokenizer, texts), range(24)):
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
