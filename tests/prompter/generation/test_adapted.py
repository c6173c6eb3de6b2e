"""LoRA adapters in the upper layers."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import GPT2LMHeadModel, PreTrainedModel

from distill.common.adapters import read_adapter_config
from prompter.generation.adapted import adapted_modules
from prompter.generation.config import PolicyConfig
from prompter.generation.policy import with_new_adapters
from prompter.runtime.run_folder import default_values
from tests.prompter.decoding.test_loop import bloom, gpt2, llama, mistral
from tests.prompter.decoding.test_prefix import neox


@pytest.mark.parametrize("build", [gpt2, llama, mistral, bloom, neox])
def test_the_upper_half_gets_adapters(build: Callable[[], PreTrainedModel]) -> None:
    whole, half = (with_new_adapters(build(), PolicyConfig(lora_layers=share), seed=0) for share in (1.0, 0.5))
    names = [{name for name, _ in model.named_parameters() if "lora_" in name} for model in (whole, half)]
    assert names[1] == {name for name in names[0] if ".1." in name}  # of two layers
    assert len(names[1]) * 2 == len(names[0])


@pytest.mark.parametrize("build", [gpt2, llama])
def test_lower_layers_keep_nothing_for_a_backward_pass(build: Callable[[], PreTrainedModel]) -> None:
    model = with_new_adapters(build(), PolicyConfig(lora_layers=0.5), seed=0)
    states = model(input_ids=torch.tensor([[5, 6, 7]]), output_hidden_states=True).hidden_states
    assert [state.requires_grad for state in states] == [False, False, True]


def test_at_least_one_layer() -> None:
    assert all(".1." in name for name in adapted_modules(llama(), 0.01))
    assert adapted_modules(llama(), 1.0) == "all-linear"


def test_the_adapter_of_a_checkpoint_is_read_again(tmp_path: Path) -> None:
    model = with_new_adapters(llama(), PolicyConfig(lora_layers=0.5), seed=0)
    model.save_pretrained(tmp_path)
    again = read_adapter_config(tmp_path, llama())
    assert again.target_modules == model.peft_config["default"].target_modules


def test_a_model_without_one_list_of_layers_is_adapted_as_a_whole() -> None:
    model: GPT2LMHeadModel = gpt2()  # type: ignore[assignment]
    model.config.n_layer = 5
    assert adapted_modules(model, 0.5) == "all-linear"


def test_a_run_of_an_older_version_adapted_all_layers() -> None:
    assert default_values(PolicyConfig)["lora_layers"] == 1.0 > PolicyConfig().lora_layers
