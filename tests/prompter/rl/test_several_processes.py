"""PPO in two processes: the same updates as in one, for the same completions."""

from pathlib import Path

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import GPT2LMHeadModel

from prompter.rl.ppo_trainer import PPOTrainer
from tests.distill.processes.two import in_two
from tests.prompter.rl.test_ppo_trainer import ppo_config
from tests.prompter.tiny import tiny_gpt2, word_tokenizer


class FromATable(PPOTrainer):
    """Writes given completions instead of its own, and notes the gradients of each update."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.noted: list[list[torch.Tensor]] = []

    def _generate_single_turn(self, prompt_ids: list[list[int]], *args: object) -> tuple:
        rows = range(len(prompt_ids) * self._processes.size)[self._processes.part(len(prompt_ids) * self._processes.size)]
        return [[7 + (row * 5 + place) % 20 for place in range(1 + row % 4)] for row in rows], None

    def _clip_grad_norm(self, model: torch.nn.Module) -> torch.Tensor:
        self.noted.append([weight.grad.clone() for weight in self.model.parameters() if weight.grad is not None])
        return super()._clip_grad_norm(model)


def reward_of_some(completions: list[str], **kwargs: object) -> list[float | None]:
    """A reward of each text alone; there is none for about one text in four."""
    return [None if "w3" in text.split() else len(text) / 10 for text in completions]


def updates_from_a_table(folder: Path, size: int, lora: bool) -> tuple:
    """The gradients of the policy, the critic, the policy's weights, and the log of two updates on one rollout."""
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM") if lora else None
    if not lora and not (folder / "lm").exists():
        tiny_gpt2().save_pretrained(folder / "lm")
    trainer = FromATable(
        model=tiny_gpt2() if lora else GPT2LMHeadModel.from_pretrained(folder / "lm"),
        reward_funcs=reward_of_some,
        args=ppo_config(
            folder, per_device_train_batch_size=32 // size, steps_per_generation=1, num_generations=16, max_steps=2,
            logging_steps=2, entropy_coef=0.01, beta=0.1 if lora else 0.0,
        ),
        train_dataset=Dataset.from_dict({"prompt": ["good :", "bad :"] * 20}),
        processing_class=word_tokenizer(),
        peft_config=config,
    )  # fmt: skip
    trainer.train()
    critic = {name: weight.detach().clone() for name, weight in trainer.critic.state_dict().items()}
    weights = [weight.detach().clone() for weight in trainer.model.parameters() if weight.requires_grad]
    names = ("critic/loss", "critic/explained_variance", "kl", "entropy", "reward", "loss", "critic/value_mean")
    log = next(row for row in trainer.state.log_history if "reward" in row)
    return trainer.noted, critic, weights, {name: log[name] for name in names if name in log}


@pytest.mark.parametrize("lora", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_two_processes_make_the_updates_of_one(tmp_path: Path, lora: bool) -> None:
    gradients, critic, _, log = updates_from_a_table(tmp_path, 1, lora)
    one, other = in_two(lambda _: updates_from_a_table(tmp_path, 2, lora))
    for mine, theirs in zip(gradients, one[0], strict=True):
        assert any(gradient.abs().max() > 1e-4 for gradient in mine)
        for alone, summed in zip(mine, theirs, strict=True):
            torch.testing.assert_close(summed, alone, rtol=1e-3, atol=2e-6)
    for name, weight in critic.items():
        torch.testing.assert_close(one[1][name], weight, rtol=1e-3, atol=1e-4)
        assert torch.equal(one[1][name], other[1][name]), name
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(one[2], other[2], strict=True))
    assert one[3] == pytest.approx(log, rel=1e-3, abs=1e-5)
