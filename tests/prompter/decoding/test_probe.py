"""A language model that cannot write is one line when it is opened."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    MambaConfig,
    MambaForCausalLM,
    ModernBertDecoderConfig,
    ModernBertDecoderForCausalLM,
    OpenAIGPTConfig,
    OpenAIGPTLMHeadModel,
)

from distill.common.errors import InputError
from prompter.decoding.probe import check_writing
from tests.prompter.decoding.test_loop import PAD, VOCABULARY, bloom, gpt2, llama, made, mistral


@pytest.mark.parametrize("build", [gpt2, llama, mistral, bloom])
def test_a_model_that_writes_stays_as_it_is(build) -> None:
    model = made(build)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    model.train()
    check_writing(model, 3, PAD, "x")
    check_writing(get_peft_model(model, LoraConfig(r=2, target_modules="all-linear")), 3, PAD, "x", trained=True)
    assert model.training
    after = {name.replace(".base_layer", ""): weight for name, weight in model.state_dict().items() if "lora_" not in name}
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_a_family_that_insists_on_a_padding_token() -> None:
    config = ModernBertDecoderConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
        pad_token_id=PAD, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
    )  # fmt: skip
    model = ModernBertDecoderForCausalLM(config)
    check_writing(model, 3, PAD, "x")
    assert model.config.pad_token_id == PAD


@pytest.mark.parametrize(
    "model",
    [
        OpenAIGPTLMHeadModel(OpenAIGPTConfig(vocab_size=VOCABULARY, n_embd=32, n_layer=1, n_head=2, n_positions=64)),
        MambaForCausalLM(MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=1, state_size=4)),
    ],
)
def test_a_family_without_a_cache_of_keys(model) -> None:
    with pytest.raises(InputError, match="keeps no key/value cache"):
        check_writing(model, 3, PAD, "x")


def test_a_model_that_computes_nan_is_named_when_it_is_opened() -> None:
    model = made(llama)
    with torch.no_grad():
        model.lm_head.weight[3].fill_(torch.nan)
    with pytest.raises(InputError, match="generator: its logits are not finite"):
        check_writing(model, 3, PAD, "x")


def test_any_failure_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    model = made(llama)

    def fail(*_: object, **__: object) -> None:
        raise AttributeError("'tuple' has\nno 'dtype'")

    monkeypatch.setattr(type(model), "forward", fail)
    monkeypatch.setattr(
        "prompter.decoding.loop.inspect.signature", lambda _: type("S", (), {"parameters": {"past_key_values"}})
    )
    with pytest.raises(InputError, match=r"generator: org/x cannot write a text \('tuple' has no 'dtype'\); use another"):
        check_writing(model, 3, PAD, "org/x")
