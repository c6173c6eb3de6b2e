"""One test per private hook of TRL that `PPOTrainer` leans on; a failure names what moved."""

import inspect
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from safetensors.torch import load_file
from trl import GRPOTrainer

from prompter.generation.config import PolicyConfig
from prompter.generation.policy import with_new_adapters
from prompter.rl.ppo_trainer import PPOTrainer
from prompter.training.trainer_factory import REF
from tests.prompter.rl.test_ppo_trainer import bandit_trainer, match_reward, ppo_config
from tests.prompter.tiny import tiny_gpt2, word_tokenizer

HOOKS = {
    "_prepare_inputs": ["generation_batch"],
    "_generate_single_turn": ["prompt_ids", "images", "multimodal_fields", "num_generations"],
    "_get_per_token_logps_and_entropies": [
        "model",
        "input_ids",
        "attention_mask",
        "logits_to_keep",
        "batch_size",
        "compute_entropy",
    ],
    "_calculate_rewards": ["inputs", "prompts", "completions", "completion_ids_list"],
    "_generate_and_score_completions": ["inputs"],
    "_compute_loss": ["model", "inputs"],
    "_save_checkpoint": ["model", "trial"],
    "_load_optimizer_and_scheduler": ["checkpoint"],
}


@pytest.mark.parametrize("name", HOOKS)
def test_the_hook_still_takes_these_arguments(name: str) -> None:
    method = getattr(GRPOTrainer, name, None)
    assert method is not None, f"TRL has no GRPOTrainer.{name} any more"
    arguments = list(inspect.signature(method).parameters)[1:]
    assert arguments[: len(HOOKS[name])] == HOOKS[name], f"TRL changed the arguments of GRPOTrainer.{name}"


def calls_of_one_rollout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> list[str]:
    trainer = bandit_trainer(tmp_path, match_reward, max_steps=4, beta=0.05, **changes)
    calls: list[str] = []
    for name in HOOKS:
        original = getattr(trainer, name)

        def record(*args: object, name: str = name, original: object = original, **kwargs: object) -> object:
            calls.append(name)
            return original(*args, **kwargs)  # type: ignore[operator]

        monkeypatch.setattr(trainer, name, record)
    trainer.train()
    return calls


def test_trl_calls_every_hook_of_a_rollout_in_the_order_we_rely_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = calls_of_one_rollout(tmp_path, monkeypatch)
    rollout = ["_generate_and_score_completions", "_generate_single_turn", "_calculate_rewards", "_compute_loss"]
    assert [calls.index(name) for name in rollout] == sorted(calls.index(name) for name in rollout)
    # Old policy, then reference, before the rewards: the critic reads the hidden states of the first.
    before_rewards = calls[: calls.index("_calculate_rewards")]
    assert before_rewards.count("_get_per_token_logps_and_entropies") == 2
    assert calls.count("_generate_and_score_completions") == 1
    assert calls.count("_compute_loss") == 4


def test_the_rollout_is_sampled_by_our_decode_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = bandit_trainer(tmp_path, match_reward, max_steps=2)
    monkeypatch.setattr(trainer.model, "generate", lambda *args, **kwargs: pytest.fail("TRL called generate"))
    trainer.train()


def test_per_token_advantages_reach_the_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = bandit_trainer(tmp_path, match_reward, max_steps=1)
    shapes = []
    original = trainer._compute_loss
    monkeypatch.setattr(
        trainer,
        "_compute_loss",
        lambda model, inputs: (
            shapes.append((inputs["advantages"].shape, inputs["completion_ids"].shape)),
            original(model, inputs),
        )[1],
    )
    trainer.train()
    assert shapes and all(advantages == completions for advantages, completions in shapes)


def test_log_probs_equal_trls_own(tmp_path: Path) -> None:
    """Where prompts have equal lengths, our short pass and TRL's fused one agree."""
    trainer = bandit_trainer(tmp_path, match_reward, temperature=0.7)
    ids = torch.randint(3, 20, (6, 7), generator=torch.Generator().manual_seed(0))
    arguments = (trainer.model, ids, torch.ones_like(ids), 4)
    with torch.no_grad():
        ours = trainer._get_per_token_logps_and_entropies(*arguments, compute_entropy=True)
        theirs = GRPOTrainer._get_per_token_logps_and_entropies(trainer, *arguments, compute_entropy=True)
    for mine, other in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("coefficient", [0.0, 0.01])
def test_entropy_has_a_gradient_only_where_there_is_a_bonus(tmp_path: Path, coefficient: float) -> None:
    trainer = bandit_trainer(tmp_path, match_reward, entropy_coef=coefficient)
    ids = torch.randint(3, 20, (6, 7), generator=torch.Generator().manual_seed(0))
    arguments = (trainer.model, ids, torch.ones_like(ids), 4)
    ours = trainer._get_per_token_logps_and_entropies(*arguments, compute_entropy=True)[1]
    theirs = GRPOTrainer._get_per_token_logps_and_entropies(trainer, *arguments, compute_entropy=True)[1]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert ours.requires_grad == (coefficient > 0)


def test_log_probs_do_not_depend_on_left_padding(tmp_path: Path) -> None:
    trainer = bandit_trainer(tmp_path, match_reward)
    ids = torch.tensor([[7, 8, 9, 10]])
    padded = torch.cat([torch.ones(1, 3, dtype=torch.long), ids], dim=1)
    mask = torch.tensor([[0, 0, 0, 1, 1, 1, 1]])
    with torch.no_grad():
        plain = trainer._get_per_token_logps_and_entropies(trainer.model, ids, torch.ones_like(ids), 2)[0]
        shifted = trainer._get_per_token_logps_and_entropies(trainer.model, padded, mask, 2)[0]
    torch.testing.assert_close(plain, shifted, atol=1e-5, rtol=1e-5)


def test_a_checkpoint_holds_the_critic_and_its_optimizer(tmp_path: Path) -> None:
    trainer = bandit_trainer(tmp_path, match_reward, max_steps=4, save_strategy="steps", save_steps=4)
    trainer.train()
    folder = tmp_path / "checkpoint-4"
    saved = load_file(folder / "critic.safetensors")
    assert saved.keys() == trainer.critic.state_dict().keys()
    assert torch.equal(saved["value.weight"], trainer.critic.value.weight)
    fresh = bandit_trainer(tmp_path, match_reward, max_steps=4)
    fresh.create_optimizer_and_scheduler(num_training_steps=4)
    fresh._load_optimizer_and_scheduler(str(folder))
    assert torch.equal(fresh.critic.value.weight, trainer.critic.value.weight)
    assert fresh.critic_optimizer.state_dict()["state"].keys() == trainer.critic_optimizer.state_dict()["state"].keys()
    assert fresh.critic_scheduler.last_epoch == 4


def test_the_output_layer_multiplies_all_rows_at_once(tmp_path: Path) -> None:
    """Its input without gaps: with gaps torch takes six times as long on a CPU, and nothing else tells."""
    trainer = bandit_trainer(tmp_path, match_reward, max_steps=1, beta=0.05)
    whole: list[bool] = []
    head = trainer.accelerator.unwrap_model(trainer.model).get_output_embeddings()
    head.register_forward_pre_hook(lambda module, inputs: whole.append(inputs[0].is_contiguous()))
    trainer.train()
    assert len(whole) > 2 and all(whole)


def test_what_the_writer_does_on_the_same_model_is_not_kept(tmp_path: Path) -> None:
    trainer = bandit_trainer(tmp_path, match_reward, max_steps=4, beta=0.05)
    trainer.train()
    head = trainer.accelerator.unwrap_model(trainer.model).get_output_embeddings()
    assert not head._forward_pre_hooks and trainer._hidden_states == [] and trainer._sampled is None


@pytest.mark.parametrize("minibatches", [1, 2])
def test_values_are_those_of_the_tuned_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minibatches: int) -> None:
    """Also with one step per rollout, where TRL runs the reference but not the policy."""
    sizes = {"steps_per_generation": minibatches, "per_device_train_batch_size": 64 // minibatches, "num_iterations": 1}
    trainer = bandit_trainer(tmp_path, match_reward, max_steps=1, beta=0.05, **sizes)
    with torch.no_grad():
        torch.nn.init.normal_(trainer.critic.value.weight)
        for name, parameter in trainer.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter)
    rollout, differences = trainer._generate_and_score_completions, []

    def compared(inputs: object) -> dict:
        output = rollout(inputs)
        ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
        length = output["completion_ids"].size(1)
        base = trainer.accelerator.unwrap_model(trainer.model)
        with torch.no_grad():
            states = base(input_ids=ids, output_hidden_states=True).hidden_states[-1][:, -length - 1 : -1]
            found = (trainer.critic(states) - output["old_values"])[output["completion_mask"].bool()]
        differences.append(found.abs().max().item())
        return output

    monkeypatch.setattr(trainer, "_generate_and_score_completions", compared)
    trainer.train()
    assert max(differences) < 1e-4


@pytest.mark.parametrize(("temperature", "passes"), [(1.0, 2), (0.7, 4)])
def test_old_log_probs_come_with_the_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temperature: float, passes: int
) -> None:
    """At temperature 1. They and the critic's states equal those of a pass of their own, which other temperatures need."""
    sizes = {"steps_per_generation": 2, "per_device_train_batch_size": 32, "num_iterations": 1}
    trainer = bandit_trainer(tmp_path, match_reward, max_steps=2, beta=0.05, temperature=temperature, **sizes)
    with torch.no_grad():
        torch.nn.init.normal_(trainer.critic.value.weight)
        for name, parameter in trainer.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter)
    rollout, score, sizes_seen, differences = trainer._generate_and_score_completions, trainer._score, [], []
    monkeypatch.setattr(trainer, "_score", lambda *arguments: (sizes_seen.append(len(arguments[1])), score(*arguments))[1])

    def compared(inputs: object) -> dict:
        output = rollout(inputs)
        seen = len(sizes_seen)
        ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
        mask = torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1)
        with torch.no_grad():
            own = score(trainer.accelerator.unwrap_model(trainer.model), ids, mask, output["completion_ids"].size(1), False)
            values = trainer.critic(own.hidden_states)
        real = output["completion_mask"].bool()
        for mine, other in ((output["old_per_token_logps"], own.logps), (output["old_values"], values)):
            differences.append((mine - other)[real].abs().max().item())
        assert seen == passes, "two minibatches of the reference, and of the old policy where it needs a pass"
        return output

    monkeypatch.setattr(trainer, "_generate_and_score_completions", compared)
    trainer.train()
    assert len(differences) == 2 and max(differences) < 1e-4


def trained_with_adapters(folder: Path, ours: bool) -> PPOTrainer:
    """A trainer of the tiny model after a few steps, with adapters made by us before it or by TRL within it."""
    model = (
        with_new_adapters(tiny_gpt2(), PolicyConfig(lora_rank=8, lora_alpha=16, lora_layers=1.0), seed=5)
        if ours
        else tiny_gpt2()
    )
    lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = PPOTrainer(
        model=model,
        reward_funcs=match_reward,
        args=ppo_config(folder, beta=0.05, seed=5, max_steps=8),
        train_dataset=Dataset.from_dict({"prompt": ["good :", "bad :"] * 200}),
        processing_class=word_tokenizer(),
        peft_config=None if ours else lora,
    )
    if ours:
        assert trainer.model is model, "TRL no longer trains the model that it is given: policy and writer must share it"
        copied = REF in model.peft_config
        assert copied, f"TRL no longer copies given adapters under the name '{REF}': see policy_trainer"
        model.delete_adapter(REF)
    trainer.train()
    return trainer


def test_our_adapters_without_the_copy_train_as_those_that_trl_makes(tmp_path: Path) -> None:
    """First weights, reference and training are the same to the last bit, and so are the names in a checkpoint."""
    ours, theirs = (trained_with_adapters(tmp_path, ours).model.state_dict() for ours in (True, False))
    assert ours.keys() == theirs.keys(), "the copy of the adapters is still there"
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), f"{name}: the reference or the adapters' first weights are others"
