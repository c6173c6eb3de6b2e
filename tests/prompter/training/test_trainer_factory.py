"""The schedule of a budget, and the trainer made for it."""

import inspect
import re
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import OPTConfig, OPTForCausalLM
from trl.trainer import grpo_trainer, rloo_trainer

from distill.common.errors import InputError
from prompter.generation.config import PolicyConfig
from prompter.generation.policy import TopicPolicy
from prompter.training.settings import Settings, parse_settings
from prompter.training.trainer_factory import REF, TRAINERS, Schedule, _use_device, policy_trainer
from tests.prompter.tiny import WORDS, word_tokenizer


@pytest.fixture
def settings_of(arguments):
    """Settings of a small run; keyword arguments change them."""
    return lambda **changes: parse_settings(arguments(**changes))


def constant_reward(completions: list[str], **known: object) -> list[float]:
    return [0.5] * len(completions)


def trainer_of(settings: Settings, folder: Path) -> tuple[TopicPolicy, Any]:
    policy = TopicPolicy.load(settings.run.generator, ["good", "bad"], settings.policy, 3, "cpu")
    schedule = Schedule.of(settings.policy, 2, settings.run.budget)
    return policy, policy_trainer(
        settings, policy, schedule, lambda completions, **known: [0.5] * len(completions), folder, []
    )


@pytest.mark.parametrize(
    "classes, budget, expected",
    [
        (2, 1000, Schedule(group=128, size=256, minibatches=4, steps=8, rollouts=3, rest=232)),
        (3, 258, Schedule(group=88, size=264, minibatches=4, steps=8, rollouts=0, rest=0)),
        (4, 256, Schedule(group=64, size=256, minibatches=4, steps=8, rollouts=1, rest=0)),
    ],
)
def test_a_budget_is_divided_into_whole_rollouts(classes: int, budget: int, expected: Schedule) -> None:
    config = PolicyConfig(rollout_size=256, minibatch_size=64)
    if not expected.rollouts:
        with pytest.raises(InputError, match=f"budget is {budget}, expected at least one rollout of {expected.size}"):
            Schedule.of(config, classes, budget)
    else:
        assert Schedule.of(config, classes, budget) == expected


def test_advice_on_a_small_budget_works() -> None:
    with pytest.raises(InputError, match="of 300 queries .two for each of the 150 classes are the least.: raise budget$"):
        Schedule.of(PolicyConfig(), 150, 128)
    with pytest.raises(InputError, match="of 70 queries: raise budget or lower rollout_size to 62$"):
        Schedule.of(PolicyConfig(), 5, 64)
    assert Schedule.of(PolicyConfig(rollout_size=62), 5, 64).size == 60


@given(st.integers(2, 40), st.integers(2, 40), st.integers(2, 100), st.integers(1, 3))
def test_so_does_advice_where_minibatches_are_small(classes: int, minibatch: int, budget: int, processes: int) -> None:
    try:
        Schedule.of(PolicyConfig(minibatch_size=minibatch), classes, budget, processes)
    except InputError as error:
        advice = re.search(r"lower rollout_size to (\d+)", str(error))
        sizes = range(4, 64) if advice is None else [int(advice[1])]
        for size in sizes:
            config = PolicyConfig(rollout_size=size, minibatch_size=minibatch)
            with pytest.raises(InputError) if advice is None else nullcontext():
                Schedule.of(config, classes, budget, processes)


@given(st.integers(1, 64), st.integers(2, 300))
def test_no_minibatch_is_larger_than_asked_for(rollout: int, minibatch: int) -> None:
    schedule = Schedule.of(PolicyConfig(rollout_size=4 * rollout, minibatch_size=minibatch), 2, 10_000)
    assert schedule.size % schedule.minibatches == 0 and schedule.size - 4 * rollout < 2 * schedule.minibatches
    assert schedule.size > 4 * rollout or schedule.size // schedule.minibatches <= minibatch


@pytest.mark.parametrize("algorithm", TRAINERS)
def test_the_trainer_trains_the_policy_in_place_without_a_copy_of_its_adapters(
    algorithm: str, settings_of, tmp_path: Path
) -> None:
    policy, trainer = trainer_of(settings_of(algorithm=algorithm), tmp_path)
    assert trainer.model is policy.model and policy.has_adapters
    assert REF not in policy.model.peft_config
    trained = {name for name, weight in policy.model.named_parameters() if weight.requires_grad}
    assert trained and all("lora_" in name and ".default." in name for name in trained)


def test_adapters_depend_on_the_seed(settings_of, lm_folder: Path) -> None:
    def first_weights(seed: int) -> torch.Tensor:
        policy = TopicPolicy.load(str(lm_folder), ["good", "bad"], PolicyConfig(), 3, "cpu", seed)
        return torch.cat([weight.flatten() for name, weight in policy.model.named_parameters() if "lora_A" in name])

    state = torch.get_rng_state()
    assert torch.equal(first_weights(1), first_weights(1))
    assert not torch.equal(first_weights(1), first_weights(2))
    assert torch.equal(torch.get_rng_state(), state)  # nothing else is drawn from another place


@pytest.mark.parametrize("algorithm", TRAINERS)
def test_no_dropout_is_left_in_a_model_that_keeps_it_as_a_number(algorithm: str, settings_of, tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "ffn_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "word_embed_proj_dim": 16}
    config = OPTConfig(vocab_size=len(WORDS), max_position_embeddings=64, bos_token_id=0, eos_token_id=0, **sizes)
    assert config.dropout == 0.1
    OPTForCausalLM(config).save_pretrained(tmp_path / "opt")
    word_tokenizer().save_pretrained(tmp_path / "opt")
    policy, _ = trainer_of(settings_of(algorithm=algorithm, generator=tmp_path / "opt"), tmp_path)
    ids = torch.arange(3, 13)[None]
    with torch.no_grad():
        before, now = policy.model.eval()(input_ids=ids).logits, policy.model.train()(input_ids=ids).logits
    assert torch.equal(before, now)


@pytest.mark.parametrize("names", [["none"], []])
def test_no_tracker_is_none(names: list[str], settings_of, tmp_path: Path) -> None:
    _, trainer = trainer_of(settings_of(**({"report_to": names} if names else {})), tmp_path)
    assert trainer.args.report_to == []


def test_a_tracker_that_is_not_installed_is_named(settings_of, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="report_to: .*[Cc]omet"):
        trainer_of(settings_of(report_to=["comet_ml"]), tmp_path)


def test_the_trainer_can_use_another_gpu_than_the_first(monkeypatch: pytest.MonkeyPatch, settings_of, tmp_path: Path) -> None:
    """What we rely on in transformers: the device of a configuration is a cached value that can be set."""
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    _, trainer = trainer_of(settings_of(), tmp_path)
    _use_device(trainer.args, torch.device("cuda", 1))
    assert trainer.args.device == torch.device("cuda", 1), "transformers keeps a configuration's device elsewhere"
    assert trainer.args.n_gpu == 1 and chosen == [1]


@pytest.mark.parametrize("module", [grpo_trainer, rloo_trainer])
def test_where_trl_loads_its_reference(module: ModuleType) -> None:
    """`_reference_copied` replaces this function of TRL."""
    assert "self.ref_model = create_model_from_path(" in inspect.getsource(module), "TRL makes its reference elsewhere"
