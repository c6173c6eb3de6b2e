"""PPO's arithmetic against float64 loops, and PPO as a whole on a bandit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig
from transformers import GPT2Config, GPT2LMHeadModel, OPTConfig, OPTForCausalLM, SchedulerType
from trl import GRPOConfig

from distill.common.errors import InputError
from prompter.rl.ppo_config import PPOConfig
from prompter.rl.ppo_trainer import Critic, PPOTrainer, clipped_value_loss, gae, whiten
from prompter.rl.recorded import RecordedScores
from tests.prompter.tiny import WORDS, tiny_gpt2, word_tokenizer


def random_case(seed: int, batch: int = 5, width: int = 7) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, width + 1, batch)
    mask = (np.arange(width)[None] < lengths[:, None]).astype(float)
    case = {name: rng.normal(size=(batch, width)) for name in ("rewards", "values", "old_values", "returns")}
    return case | {"mask": mask, "lengths": lengths}


@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1))
def test_gae_equals_the_sum_of_discounted_td_errors(seed: int, gamma: float, lam: float) -> None:
    case = random_case(seed)
    expected = np.zeros_like(case["values"])
    for b, length in enumerate(case["lengths"]):
        values = [*case["values"][b, :length], 0.0]
        deltas = [case["rewards"][b, t] + gamma * values[t + 1] - values[t] for t in range(length)]
        for t in range(length):
            expected[b, t] = sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, length))
    tensors = {name: torch.tensor(case[name]) for name in ("rewards", "values", "mask")}
    advantages, returns = gae(**tensors, gamma=gamma, lam=lam)
    np.testing.assert_allclose(advantages.numpy(), expected, atol=1e-10)
    np.testing.assert_allclose(returns.numpy(), (expected + case["values"]) * case["mask"], atol=1e-10)


def test_gae_with_lambda_one_and_no_discount_is_return_minus_value() -> None:
    rewards = torch.tensor([[0.0, 0.0, 2.0, 9.0]])
    values = torch.tensor([[0.5, 1.0, 1.5, 7.0]])
    mask = torch.tensor([[1, 1, 1, 0]])
    advantages, returns = gae(rewards, values, mask, gamma=1.0, lam=1.0)
    assert advantages.tolist() == [[1.5, 1.0, 0.5, 0.0]]
    assert returns.tolist() == [[2.0, 2.0, 2.0, 0.0]]


@given(st.integers(0, 10**6), st.floats(0.01, 2))
def test_value_loss_equals_a_float64_loop(seed: int, cliprange: float) -> None:
    case = random_case(seed)
    total, count = 0.0, 0
    for b, length in enumerate(case["lengths"]):
        for t in range(length):
            value, old, target = (case[name][b, t] for name in ("values", "old_values", "returns"))
            clipped = min(max(value, old - cliprange), old + cliprange)
            total += 0.5 * max((value - target) ** 2, (clipped - target) ** 2)
            count += 1
    tensors = [torch.tensor(case[name]) for name in ("values", "old_values", "returns", "mask")]
    assert clipped_value_loss(*tensors, cliprange).item() == pytest.approx(total / count)


def test_whitening_ignores_padding() -> None:
    x = torch.tensor([[1.0, 3.0, 100.0], [5.0, 7.0, 9.0]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    white = whiten(x, mask)
    assert white[0, 2] == 0
    assert white[mask.bool()].mean().item() == pytest.approx(0, abs=1e-6)
    assert white[mask.bool()].var(unbiased=False).item() == pytest.approx(1, abs=1e-4)


def test_the_critic_reads_hidden_states_of_any_precision() -> None:
    critic, states = Critic(8, 4), torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    torch.nn.init.normal_(critic.value.weight)
    assert torch.equal(critic(states), critic(states.float())) and critic(states).shape == (2, 3)


def ppo_config(folder: Path, **changes: object) -> PPOConfig:
    settings = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 32,
        "steps_per_generation": 2,
        "num_generations": 32,
        "num_iterations": 2,
        "max_steps": 8,
        "max_completion_length": 4,
        "learning_rate": 1e-2,
        "beta": 0.0,
        "logging_steps": 4,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    return PPOConfig(**(settings | changes))  # type: ignore[arg-type]


def bandit_trainer(folder: Path, reward: object, lora: bool = True, **changes: object) -> PPOTrainer:
    lora_config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM") if lora else None
    if not lora:  # without adapters TRL loads the reference model from the folder that the model came from
        tiny_gpt2().save_pretrained(folder / "lm")
    return PPOTrainer(
        model=tiny_gpt2() if lora else GPT2LMHeadModel.from_pretrained(folder / "lm"),
        reward_funcs=reward,
        args=ppo_config(folder, **changes),
        train_dataset=Dataset.from_dict({"prompt": ["good :", "bad :"] * 200}),
        processing_class=word_tokenizer(),
        peft_config=lora_config,
    )


def match_reward(prompts: list[str], completions: list[str], **kwargs: object) -> list[float]:
    """The share of words that are the prompt's own: w1 after good, w2 after bad."""
    targets = {"good :": "w1", "bad :": "w2"}
    return [
        sum(word == targets[prompt] for word in completion.split()) / 4
        for prompt, completion in zip(prompts, completions, strict=True)
    ]


def test_bandit_reaches_95_percent_of_the_optimum_and_the_critic_learns(tmp_path: Path) -> None:
    trainer = bandit_trainer(tmp_path, match_reward, lora=False, max_steps=200, learning_rate=2e-3)
    trainer.train()
    rows = [row for row in trainer.state.log_history if "reward" in row]
    assert rows[0]["reward"] < 0.2
    assert np.mean([row["reward"] for row in rows[-5:]]) >= 0.95
    losses = [row["critic/loss"] for row in rows]
    assert np.mean(losses[-5:]) < 0.5 * max(losses)


def test_policy_loss_equals_a_float64_loop(tmp_path: Path) -> None:
    trainer = bandit_trainer(tmp_path, match_reward, lora=False, epsilon=0.1, beta=0.3, entropy_coef=0.2)
    prompt_ids, completion_ids = torch.tensor([[3, 5], [4, 5]]), torch.tensor([[8, 9, 10], [9, 0, 1]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    rng = np.random.default_rng(0)
    advantages, shift, apart = rng.normal(size=(2, 3)), *rng.normal(size=(2, 2, 3)) * 0.3
    with torch.no_grad():
        logits = trainer.model(torch.cat([prompt_ids, completion_ids], 1)).logits[:, 1:-1].double()
    everything = logits.log_softmax(-1).numpy()
    log_probs = np.take_along_axis(everything, completion_ids[..., None].numpy(), axis=-1)[..., 0]
    total = 0.0
    for b in range(2):
        for t in range(3):
            ratio = np.exp(-shift[b, t])  # old = new + shift
            clipped = min(max(ratio, 0.9), 1.1)
            kl = (np.exp(apart[b, t]) - 1 - apart[b, t]) * ratio  # reference = new + apart
            bonus = -sum(np.exp(everything[b, t]) * everything[b, t])
            loss = -min(ratio * advantages[b, t], clipped * advantages[b, t]) + 0.3 * kl - 0.2 * bonus
            total += loss * mask[b, t].item()
    inputs = {
        "prompt_ids": prompt_ids,
        "prompt_mask": torch.ones_like(prompt_ids),
        "completion_ids": completion_ids,
        "completion_mask": mask,
        "advantages": torch.tensor(advantages, dtype=torch.float32),
        "old_per_token_logps": torch.tensor(log_probs + shift, dtype=torch.float32),
        "ref_per_token_logps": torch.tensor(log_probs + apart, dtype=torch.float32),
        "old_values": torch.zeros(2, 3),
        "returns": torch.zeros(2, 3),
        "num_items_in_batch": mask.sum(),
    }
    trainer.current_gradient_accumulation_steps = 1
    found = trainer._compute_loss(trainer.model, inputs)
    assert found.item() == pytest.approx(total / mask.sum().item(), rel=1e-4)


def test_advantages_and_returns_follow_from_the_weighted_rewards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[float | None]] = [[], []]
    lengths: list[int] = []

    def first(completions: list[str], completion_ids: list[list[int]], **kwargs: object) -> list[float | None]:
        lengths.extend(map(len, completion_ids))
        given[0] += [None if i % 4 == 0 else float(len(text)) for i, text in enumerate(completions)]
        return given[0]

    def second(completions: list[str], **kwargs: object) -> list[float | None]:
        given[1] += [None if i % 8 == 0 else float(i % 3) for i in range(len(completions))]
        return given[1]

    numbers = {"gamma": 0.9, "lam": 0.7, "reward_weights": [0.5, -2.0]}
    trainer = bandit_trainer(tmp_path, [first, second], max_steps=1, **numbers)
    with torch.no_grad():
        torch.nn.init.normal_(trainer.critic.value.weight)
    rollout, outputs = trainer._generate_and_score_completions, []
    monkeypatch.setattr(
        trainer, "_generate_and_score_completions", lambda inputs: outputs.append(rollout(inputs)) or outputs[-1]
    )
    trainer.train()
    (output,) = outputs
    assert len(set(lengths)) > 1 and len(lengths) == 64
    advantages, returns, real = (np.zeros(output["old_values"].shape) for _ in range(3))
    for row, length in enumerate(lengths):
        one, other = given[0][row], given[1][row]
        if one is None and other is None:
            continue
        reward, after = 0.5 * (one or 0.0) - 2.0 * (other or 0.0), 0.0
        values = [*output["old_values"][row, :length].double().tolist(), 0.0]
        for t in reversed(range(length)):
            after = (reward if t == length - 1 else 0.0) + 0.9 * values[t + 1] - values[t] + 0.9 * 0.7 * after
            advantages[row, t], returns[row, t], real[row, t] = after, after + values[t], 1
    counted = advantages[real == 1]
    np.testing.assert_array_equal(output["completion_mask"].numpy(), real)
    np.testing.assert_allclose(output["returns"].numpy(), returns, atol=1e-4)
    white = np.where(real == 1, (advantages - counted.mean()) / counted.std(), 0.0)
    np.testing.assert_allclose(output["advantages"].numpy(), white, atol=1e-4)


def test_a_completion_without_reward_teaches_nothing(tmp_path: Path) -> None:
    """All rewards are missing: no policy weight moves, the critic stays at zero, and nothing becomes NaN."""
    trainer = bandit_trainer(tmp_path, lambda completions, **kwargs: [None] * len(completions), weight_decay=0.0, beta=0.0)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not any(value.any() for value in (trainer.critic.value.weight, trainer.critic.value.bias))


def test_one_missing_reward_does_not_poison_the_rest(tmp_path: Path) -> None:
    def reward(prompts: list[str], completions: list[str], **kwargs: object) -> list[float | None]:
        return [None, *match_reward(prompts, completions)[1:]]

    trainer = bandit_trainer(tmp_path, reward, lora=False, max_steps=60, learning_rate=2e-3)
    trainer.train()
    rows = [row for row in trainer.state.log_history if "reward" in row]
    assert rows[-1]["reward"] > rows[0]["reward"] + 0.1
    assert all(torch.isfinite(value).all() for value in trainer.model.state_dict().values())


@pytest.mark.parametrize("lora", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_resume_is_bit_identical(tmp_path: Path, lora: bool) -> None:
    def run(folder: Path, resume: bool) -> PPOTrainer:
        trainer = bandit_trainer(folder, match_reward, lora=lora, max_steps=16, beta=0.02, save_strategy="steps", save_steps=8)
        trainer.train(resume_from_checkpoint=str(folder / "checkpoint-8") if resume else None)
        return trainer

    whole = run(tmp_path / "a", resume=False)
    torch.manual_seed(99)  # a resumed process does not start with the same generator state
    resumed = run(tmp_path / "a", resume=True)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    for name, value in whole.critic.state_dict().items():
        assert torch.equal(value, resumed.critic.state_dict()[name]), name


def critic_rates(trainer: PPOTrainer) -> list[float]:
    """The critic's learning rate at each of its steps."""
    rates: list[float] = []
    trainer.critic_optimizer.register_step_pre_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    trainer.train()
    return rates


@pytest.mark.slow
def test_the_critic_learns_as_long_as_the_policy_where_epochs_say_how_long(tmp_path: Path) -> None:
    trainer = bandit_trainer(tmp_path, match_reward, max_steps=-1, num_train_epochs=0.1)
    rates = critic_rates(trainer)
    assert len(rates) == trainer.state.global_step > 4
    expected = np.linspace(trainer.args.critic_learning_rate, 0, len(rates) + 1)[:-1]
    np.testing.assert_allclose(rates, expected)


def test_the_critic_follows_the_arguments_of_the_schedule(tmp_path: Path) -> None:
    trainer = bandit_trainer(
        tmp_path, match_reward, lr_scheduler_type="cosine_with_min_lr", lr_scheduler_kwargs={"min_lr_rate": 0.5}
    )
    rates = critic_rates(trainer)
    assert rates[0] == trainer.args.critic_learning_rate and rates[-1] >= rates[0] / 2 and rates == sorted(rates)[::-1]


@pytest.mark.parametrize("family", ["gpt2", "opt"])  # a module of torch, and a number
def test_the_first_update_is_that_of_the_policy_that_sampled(family: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    common = {"vocab_size": len(WORDS), "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
    sizes = {"hidden_size": 16, "ffn_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "word_embed_proj_dim": 16}
    gpt2 = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=2, **common))
    opt = OPTForCausalLM(OPTConfig(max_position_embeddings=64, **sizes, **common))
    (gpt2 if family == "gpt2" else opt).save_pretrained(tmp_path / "lm")
    trainer = PPOTrainer(
        model=str(tmp_path / "lm"),
        reward_funcs=match_reward,
        args=ppo_config(tmp_path, max_steps=1, logging_steps=1, beta=0.1),
        train_dataset=Dataset.from_dict({"prompt": ["good :", "bad :"] * 32}),
        processing_class=word_tokenizer(),
    )
    model, ids = trainer.model, torch.arange(3, 13)[None]
    with torch.no_grad():
        sampling, training = model.eval()(input_ids=ids).logits, model.train()(input_ids=ids).logits
    assert torch.equal(sampling, training)
    trainer.train()
    assert trainer.state.log_history[0]["kl"] == pytest.approx(0, abs=1e-9)


def test_without_clipping_the_critic_learns(tmp_path: Path) -> None:
    trainer = bandit_trainer(tmp_path, match_reward, max_grad_norm=0.0)
    trainer.train()
    assert trainer.critic.value.weight.abs().max() > 0


def test_each_part_of_a_step_that_accumulates_gradients_has_its_own_completions(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def reward(completions: list[str], **kwargs: object) -> list[float]:
        seen.append(list(completions))
        return [float(len(text)) for text in completions]

    changes = {"gradient_accumulation_steps": 4, "steps_per_generation": 1, "num_iterations": 1, "max_steps": 2}
    bandit_trainer(tmp_path / "a", reward, **changes).train()
    assert len(seen) == len({tuple(texts) for texts in seen}) == 8
    first, seen = seen, []
    bandit_trainer(tmp_path / "b", reward, **changes).train()
    assert seen == first


@pytest.mark.parametrize(
    "field, value",
    [
        ("gamma", 1.5), ("gamma", "1"), ("lam", -0.1), ("cliprange_value", 0.0), ("critic_learning_rate", "1e-3"),
        ("critic_hidden_size", 2.5), ("temperature", 0), ("num_iterations", 0), ("whiten_advantages", "no"),
    ],
)  # fmt: skip
def test_config_refuses_what_is_out_of_range(tmp_path: Path, field: str, value: object) -> None:
    with pytest.raises(InputError, match=f"{field} is {value!r}, expected"):
        ppo_config(tmp_path, **{field: value})


@pytest.mark.parametrize("schedule", ["reduce_lr_on_plateau", SchedulerType.GREEDY])
def test_config_refuses_rates_that_follow_a_measured_loss(tmp_path: Path, schedule: str) -> None:
    with pytest.raises(InputError, match="lr_scheduler_type is '.*', which follows a measured loss.*: choose another one"):
        ppo_config(tmp_path, lr_scheduler_type=schedule)


def test_config_refuses_vllm_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="use_vllm is true, but PPO samples .* in a loop of its own.*: leave it out"):
        ppo_config(tmp_path, use_vllm=True)


def test_it_works_by_itself_for_any_reward(tmp_path: Path) -> None:
    """As TRL's users would call it: a folder, prompts, a reward on strings, and nothing else of this package."""
    import prompter.rl

    tiny_gpt2().save_pretrained(tmp_path / "lm")
    word_tokenizer().save_pretrained(tmp_path / "lm")

    def different_words(completions: list[str], **kwargs: object) -> list[float]:
        return [len(set(text.split())) / 4 for text in completions]

    settings = {"max_completion_length": 4, "max_steps": 60, "num_generations": 2, "learning_rate": 5e-3}
    batch = {"per_device_train_batch_size": 16, "steps_per_generation": 2, "logging_steps": 2, "beta": 0.0}
    machine = {"use_cpu": True, "bf16": False, "report_to": "none", "save_strategy": "no", "disable_tqdm": True}
    trainer = prompter.rl.PPOTrainer(
        model=str(tmp_path / "lm"),
        reward_funcs=different_words,
        args=prompter.rl.PPOConfig(output_dir=str(tmp_path / "run"), **settings, **batch, **machine),
        train_dataset=Dataset.from_dict({"prompt": ["w1 w2", "good", "w5 w6 w7"] * 200}),
    )
    trainer.train()
    rewards = [row["reward"] for row in trainer.state.log_history if "reward" in row]
    assert np.mean(rewards[-3:]) > rewards[0]
    assert all("critic/loss" in row for row in trainer.state.log_history if "reward" in row)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"min_p": 0.1}, "min_p is 0.1, which PPOTrainer does not support"),
        ({"repetition_penalty": 1.2}, "repetition_penalty is 1.2"),
        ({"generation_kwargs": {"num_beams": 2}}, "generation_kwargs names num_beams"),
    ],
)
def test_what_would_be_ignored_is_refused(tmp_path: Path, changes: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        bandit_trainer(tmp_path, match_reward, **changes)


def test_arguments_of_another_trainer_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"args is of type NoneType, expected a PPOConfig: args=PPOConfig\("):
        PPOTrainer(model=tiny_gpt2(), reward_funcs=match_reward)
    with pytest.raises(InputError, match="args is of type GRPOConfig"):
        PPOTrainer(tiny_gpt2(), match_reward, GRPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False))


def test_too_few_prompts_for_one_rollout_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="train_dataset holds 400 prompts, expected at least 512: a rollout of 1024"):
        bandit_trainer(tmp_path, match_reward, num_generations=2, steps_per_generation=32)


def test_a_checkpoint_without_a_critic_is_refused(tmp_path: Path) -> None:
    changes = {"save_strategy": "steps", "save_steps": 4, "max_steps": 4}
    bandit_trainer(tmp_path, match_reward, **changes).train()
    (tmp_path / "checkpoint-4" / "critic.safetensors").unlink()
    with pytest.raises(InputError, match="checkpoint-4 has no critic.safetensors: give one of PPOTrainer"):
        bandit_trainer(tmp_path, match_reward, **changes | {"max_steps": 8}).train(
            resume_from_checkpoint=str(tmp_path / "checkpoint-4")
        )


def trained(trainer: PPOTrainer) -> dict[str, torch.Tensor]:
    trainer.train()
    return {name: value.detach().cpu() for name, value in trainer._base.named_parameters() if value.requires_grad}


def test_without_the_autocast_of_accelerate_bfloat16_trains_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without = bandit_trainer(tmp_path, match_reward, bf16=True, beta=0.05)
    weights = trained(without)
    assert without.accelerator.mixed_precision == "bf16" and "_original_forward" not in vars(without._base)
    monkeypatch.setattr(PPOTrainer, "_without_second_autocast", lambda trainer: None)
    other = bandit_trainer(tmp_path, match_reward, bf16=True, beta=0.05)
    expected = trained(other)
    assert "_original_forward" in vars(other._base) and len(weights) > 8
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


@pytest.mark.gpu
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("lora", [False, True])
def test_recorded_updates_train_as_usual_ones_on_a_gpu(
    tmp_path: Path, lora: bool, bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings: list[object] = []
    compared = RecordedScores._compared
    monkeypatch.setattr(RecordedScores, "_compared", lambda *args: recordings.append(args) or compared(*args))
    changes = {"use_cpu": False, "bf16": bf16, "beta": 0.05, "disable_dropout": True, "entropy_coef": 0.01, "max_steps": 16}
    recorded = bandit_trainer(tmp_path, match_reward, lora, **changes)
    weights = trained(recorded)
    assert recordings and not recorded._recorded.refused
    assert not recorded._recorded.passes  # their memory is free again
    usual = bandit_trainer(tmp_path, match_reward, lora, **changes)
    usual._recorded.refused = True
    expected = trained(usual)
    rows = [[row for row in trainer.state.log_history if "reward" in row] for trainer in (recorded, usual)]
    assert rows[0][0]["reward"] == rows[1][0]["reward"]  # before an update, both draw the same
    assert rows[0][1]["grad_norm"] == pytest.approx(rows[1][1]["grad_norm"], rel=0.2 if bf16 else 0.01)
    moved = sum(float((weights[name] - expected[name]).norm()) ** 2 for name in expected) ** 0.5
    assert moved < 0.1 * sum(float(value.norm()) ** 2 for value in expected.values()) ** 0.5


def test_words_fit_the_model() -> None:
    assert tiny_gpt2().config.vocab_size == len(WORDS)
