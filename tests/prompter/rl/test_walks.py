"""Fewer walks through a model's modules in training."""

from operator import methodcaller
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from prompter.rl.walks import few_walks
from tests.prompter.decoding.test_loop import gpt2, made
from tests.prompter.rl.test_ppo_trainer import bandit_trainer, match_reward


def adapted() -> nn.Module:
    return get_peft_model(made(gpt2), LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))  # type: ignore[arg-type]


def modes(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


def test_modes_are_those_that_torch_sets() -> None:
    model, other = adapted(), adapted()
    other.base_model.eval()
    model.base_model.eval()
    with few_walks(model):
        for change in (methodcaller("train"), methodcaller("eval"), methodcaller("train", True), methodcaller("train", False)):
            assert change(model) is model
            change(other)
            assert modes(model) == modes(other)


@pytest.mark.parametrize("options", [{}, {"set_to_none": True}, {"set_to_none": False}])
def test_gradients_are_gone(options: dict[str, bool]) -> None:
    model, other = adapted(), adapted()

    def cleared(one: nn.Module) -> list[torch.Tensor | None]:
        one(torch.tensor([[1, 2, 3]])).logits.sum().backward()
        one.zero_grad(**options)
        return [parameter.grad for parameter in one.parameters()]

    with few_walks(model):
        found, expected = cleared(model), cleared(other)
    assert [grad is None for grad in found] == [grad is None for grad in expected]
    assert not any(grad.any() for grad in found if grad is not None)


def test_the_usual_methods_are_back_whatever_happened() -> None:
    model = adapted()

    def fail(message: str) -> None:
        raise KeyboardInterrupt(message)

    with pytest.raises(KeyboardInterrupt), few_walks(model):
        fail("stop")
    assert "train" not in vars(model) and "zero_grad" not in vars(model)
    layer = nn.Dropout()
    model.late = layer
    model.eval()
    assert not layer.training


def test_a_trainer_does_not_visit_the_modules_at_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = bandit_trainer(tmp_path, match_reward, lora=True, max_steps=8)
    visits: list[bool] = []
    monkeypatch.setattr(trainer._base.base_model, "train", visits.append)  # torch's own way calls it for each module
    trainer.train()
    assert not visits
    trainer._base.train()
    assert visits == [True]
