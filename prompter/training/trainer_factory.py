"""From our settings to a TRL trainer: PPO (ours), GRPO or RLOO (TRL's own), with the same rollouts and rewards."""

import dataclasses
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from distill.common.errors import InputError, did_you_mean
from distill.common.precision import compute_dtype
from prompter.generation.config import PolicyConfig
from prompter.generation.policy import TopicPolicy
from prompter.rl.ppo_config import PPOConfig
from prompter.rl.ppo_trainer import PPOTrainer
from prompter.training.settings import Settings

TRAINERS: dict[str, tuple[type, type]] = {
    "ppo": (PPOTrainer, PPOConfig),
    "grpo": (GRPOTrainer, GRPOConfig),
    "rloo": (RLOOTrainer, RLOOConfig),
}

FIXED = {
    "gradient_accumulation_steps", "steps_per_generation", "generation_batch_size", "num_generations", "num_iterations",
    "per_device_train_batch_size", "max_steps", "num_train_epochs", "max_completion_length", "logging_steps",
    "logging_strategy", "save_steps", "save_strategy", "output_dir", "seed", "use_cpu",
}  # fmt: skip
"""Fields of a trainer's configuration that the rounds rely on: with others, teacher and student would be asked and taught at
other times than they are counted."""


@dataclass(frozen=True)
class Schedule:
    """How a budget is cut into rollouts.

    Attributes:
        group: Samples per class in a rollout.
        size: Samples per rollout, `group` times the number of classes.
        minibatches: Optimizer steps per pass over a rollout.
        steps: Optimizer steps per rollout, over all passes.
        rollouts: Whole rollouts in the budget.
        rest: Queries left over; they are spent on samples that the policy no longer learns from.
    """

    group: int
    size: int
    minibatches: int
    steps: int
    rollouts: int
    rest: int

    @classmethod
    def of(cls, config: PolicyConfig, classes: int, budget: int) -> "Schedule":
        """The schedule of a budget.

        Raises:
            InputError: The budget is smaller than one rollout.
        """
        minibatches = max(1, config.rollout_size // config.minibatch_size)
        group = max(2, round(config.rollout_size / classes))
        while group * classes % minibatches:
            group += 1
        size = group * classes
        if budget < size:
            raise InputError(
                f"budget is {budget}, expected at least one rollout of {size} queries: raise budget or lower rollout_size"
            )
        return cls(group, size, minibatches, minibatches * config.num_iterations, budget // size, budget % size)


def policy_trainer(
    settings: Settings,
    policy: TopicPolicy,
    schedule: Schedule,
    reward: Any,
    folder: Path,
    callbacks: list[TrainerCallback],
) -> GRPOTrainer | RLOOTrainer:
    """A trainer that tunes the policy; afterwards `policy.model` is the model with its adapters.

    Args:
        settings: All settings of the run.
        policy: The untuned policy.
        schedule: How the budget is cut.
        reward: Reward function in TRL's form.
        folder: Where TRL writes its checkpoints.
        callbacks: What happens between the steps.

    Raises:
        InputError: `trainer_args` holds a key or value that the trainer's configuration does not take.
    """
    config = settings.policy
    trainer_class, config_class = TRAINERS[config.algorithm]
    extra = json.loads(config.trainer_args)
    known = {field.name for field in dataclasses.fields(config_class)}
    for key in extra:
        if key not in known:
            raise InputError(f"trainer_args: {config_class.__name__} has no field '{key}'.{did_you_mean(key, known)}")
        if key in FIXED:
            raise InputError(
                f"trainer_args: '{key}' follows from the settings of the run and cannot be given here: leave it out "
                "(minibatch_size, rollout_size and num_iterations decide the steps; less memory: a smaller minibatch_size)"
            )
    arguments: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": schedule.size // schedule.minibatches,
        "steps_per_generation": schedule.minibatches,
        "num_generations": schedule.group,
        "num_iterations": config.num_iterations,
        "max_steps": schedule.rollouts * schedule.steps,
        "logging_steps": schedule.steps,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.lr_scheduler_type,
        "beta": config.beta,
        "temperature": config.temperature,
        "max_completion_length": policy.max_tokens,
        "generation_kwargs": {"min_new_tokens": config.topic_min_tokens},
        "save_strategy": "no",  # the rounds say when: on rollout boundaries
        "save_total_limit": 2,
        "report_to": settings.run.report_to,
        "seed": settings.run.seed,
        "use_cpu": policy.model.device.type == "cpu",
        "bf16": compute_dtype(policy.model.device, trained=True) == torch.bfloat16,
        "disable_dropout": True,
        "disable_tqdm": True,
        "gradient_checkpointing": False,
        "shuffle_dataset": False,
        "logging_nan_inf_filter": False,
        "dataloader_pin_memory": policy.model.device.type == "cuda",
    }
    if config.algorithm != "rloo":
        arguments |= {"loss_type": "bnpo", "entropy_coef": config.entropy_coef}
    try:
        trainer_config = config_class(**(arguments | extra))
    except (TypeError, ValueError) as error:
        raise InputError(f"trainer_args: {error}") from error
    if trainer_config.device.type == "cuda":
        trainer_config._n_gpu = 1  # the run is of one device; TRL refuses to spread it over all that there are
    os.environ.setdefault("WANDB_PROJECT", "prompter")
    prompts = Dataset.from_dict({"prompt": policy.class_prompts * schedule.rollouts})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fan_in_fan_out.*")
        trainer = trainer_class(
            model=policy.model,
            reward_funcs=reward,
            args=trainer_config,
            train_dataset=prompts,
            processing_class=policy.tokenizer,
            peft_config=policy.lora,
            callbacks=callbacks,
        )
    trainer.remove_callback(PrinterCallback)
    policy.model = trainer.model
    return trainer
