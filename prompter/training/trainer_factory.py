"""From our settings to a TRL trainer: PPO (ours), GRPO or RLOO (TRL's own), with the same rollouts and rewards."""

import copy
import dataclasses
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedModel, PrinterCallback, SchedulerType, TrainerCallback, get_scheduler
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer
from trl.trainer import grpo_trainer, rloo_trainer

from distill.common.errors import InputError, did_you_mean
from distill.common.precision import compute_dtype
from prompter.generation.config import PolicyConfig
from prompter.generation.policy import TopicPolicy
from prompter.generation.prompts import CHAT_OPTIONS
from prompter.rl.ppo_config import MEASURED_SCHEDULES, PPOConfig
from prompter.rl.ppo_trainer import PPOTrainer, without_dropout
from prompter.runtime.trackers import tracker_names
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
"""Fields of a trainer's configuration that rollouts depend on. With other values, the teacher would be asked and the student
trained at other times than the schedule says."""

NOT_RESUMED = {
    "save_only_model": "leaves out of checkpoints what the optimizer knows",
    "sync_ref_model": "changes the reference model, which no checkpoint holds",
    "ignore_data_skip": "gives the trainer other prompts than it would have had",
}
"""Fields with which a run that is stopped and goes on would end differently, and why."""

KEPT = 2
"""Checkpoints that stay where `trainer_args` do not say it."""

SCHEDULES = [name.value for name in SchedulerType if name.value not in MEASURED_SCHEDULES]
"""What `lr_scheduler_type` may be."""

REF = "ref"
"""TRL's name for its frozen copy of adapters."""


@dataclass(frozen=True)
class Schedule:
    """How a budget is divided into rollouts.

    Attributes:
        group: Samples per class in a rollout.
        size: Samples per rollout: `group` times the number of classes.
        minibatches: Optimizer steps per pass over a rollout.
        steps: Optimizer steps per rollout, over all passes.
        rollouts: Number of whole rollouts in the budget.
        rest: Queries that are left over. They are spent on samples from which the policy no longer learns.
    """

    group: int
    size: int
    minibatches: int
    steps: int
    rollouts: int
    rest: int

    @classmethod
    def of(cls, config: PolicyConfig, classes: int, budget: int, processes: int = 1) -> "Schedule":
        """Divide a budget of teacher queries into rollouts, whose minibatches the processes share equally.

        Raises:
            InputError: The budget is smaller than one rollout.
        """
        minibatches, group = _divided(config.rollout_size, config.minibatch_size, classes, processes)
        size = group * classes
        if budget < size:
            lower = range(config.rollout_size - 1, 3, -1)  # the setting takes 4 and more
            sizes = ((n, classes * _divided(n, config.minibatch_size, classes, processes)[1]) for n in lower)
            fits = next((n for n, needed in sizes if needed <= budget), None)
            remedy = f" or lower rollout_size to {fits}" if fits else ""
            why = "" if remedy else f" (two for each of the {classes} classes are the least)"
            raise InputError(f"budget is {budget}, expected at least one rollout of {size} queries{why}: raise budget{remedy}")
        return cls(group, size, minibatches, minibatches * config.num_iterations, budget // size, budget % size)


def _divided(rollout_size: int, minibatch_size: int, classes: int, processes: int) -> tuple[int, int]:
    """Return the minibatches of a rollout, and its samples of each class, so that the processes share minibatches equally."""
    minibatches = math.ceil(rollout_size / minibatch_size)
    group = max(2, round(rollout_size / classes))
    while group * classes % (minibatches * processes):
        group += 1
    return minibatches, group


def policy_trainer(
    settings: Settings,
    policy: TopicPolicy,
    schedule: Schedule,
    reward: Any,
    folder: Path,
    callbacks: list[TrainerCallback],
    processes: int = 1,
) -> GRPOTrainer | RLOOTrainer:
    """Make the trainer that trains the policy in place.

    Args:
        settings: All settings of the run.
        policy: The untrained policy, with its adapters.
        schedule: How the budget is divided.
        reward: Reward function in TRL's form.
        folder: Where TRL writes its checkpoints.
        callbacks: What happens between the optimizer steps.
        processes: How many of them train the policy together.

    Raises:
        InputError: `trainer_args` holds a key or value that the trainer's configuration does not accept, or a tracker of
            `report_to` is not installed.
    """
    trainer_class, _ = TRAINERS[settings.policy.algorithm]
    os.environ.setdefault("WANDB_PROJECT", "prompter")
    prompts = Dataset.from_dict({"prompt": policy.prompts.for_trainer() * schedule.rollouts})
    try:
        with _reference_copied(policy.model):
            trainer = trainer_class(
                model=policy.model,
                reward_funcs=reward,
                args=trainer_config(settings, policy, schedule, folder, processes),
                train_dataset=prompts,
                processing_class=policy.tokenizer,
                callbacks=callbacks,
            )
    except RuntimeError as error:  # how transformers says that a tracker's package is missing
        if settings.run.report_to and "installed" in str(error):
            raise InputError(f"report_to: {error}") from error
        raise
    if trainer.args.disable_dropout:
        without_dropout(policy.model)
    trainer.remove_callback(PrinterCallback)
    trainer.create_model_card = lambda *_, **__: None  # TRL's would call a checkpoint "a fine-tuned version of None"
    if policy.has_adapters and REF in policy.model.peft_config:
        # TRL takes adapters that it did not make itself for trained ones, and copies them as the reference. Ours are new:
        # the reference is the base model, which TRL uses if there is no copy.
        policy.model.delete_adapter(REF)
    return trainer


@contextmanager
def _reference_copied(model: PreTrainedModel | PeftModel) -> Iterator[None]:
    """Let TRL take a copy of the model as its reference, where all weights are tuned.

    By itself it loads the model again by its name, but a GGUF file, a pickle file and a merged adapter have none that it can.
    """
    with (
        patch.object(grpo_trainer, "create_model_from_path", lambda *_, **__: copy.deepcopy(model)),
        patch.object(rloo_trainer, "create_model_from_path", lambda *_, **__: copy.deepcopy(model)),
    ):
        yield


def trainer_config(
    settings: Settings, policy: TopicPolicy, schedule: Schedule, folder: Path, processes: int = 1
) -> GRPOConfig | RLOOConfig:
    """Make the configuration of the trainer; see `policy_trainer`."""
    config, device = settings.policy, policy.model.device
    _, config_class = TRAINERS[config.algorithm]
    if config.lr_scheduler_type not in SCHEDULES:
        raise InputError(
            f"lr_scheduler_type is '{config.lr_scheduler_type}', expected one of {', '.join(SCHEDULES)}."
            f"{did_you_mean(config.lr_scheduler_type, SCHEDULES)}"
        )
    extra = checked_trainer_args(config)
    arguments: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": schedule.size // schedule.minibatches // processes,
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
        "save_strategy": "no",  # the callback decides when: between two rollouts
        "report_to": tracker_names(settings.run.report_to),
        "seed": settings.run.seed,
        "use_cpu": device.type == "cpu",
        "bf16": compute_dtype(device, trained=True) == torch.bfloat16,
        "disable_dropout": True,
        "disable_tqdm": True,
        "gradient_checkpointing": False,
        "shuffle_dataset": False,
        "logging_nan_inf_filter": False,
        "dataloader_pin_memory": device.type == "cuda",
    }
    if policy.prompts.chat:
        arguments["chat_template_kwargs"] = CHAT_OPTIONS
    if config.algorithm != "rloo":
        arguments |= {"loss_type": "bnpo", "entropy_coef": config.entropy_coef}
    try:
        # The callback deletes old checkpoints itself: the trainer would before it has completed the new one.
        made = config_class(**(arguments | extra | {"save_total_limit": None}))
    except (TypeError, ValueError) as error:
        raise InputError(f"trainer_args: {error}") from error
    _check_schedule(made)
    if made.device.type == "cuda":
        _use_device(made, device)
    return made


def _check_schedule(config: GRPOConfig | RLOOConfig) -> None:
    """Make the learning rate's schedule once. The trainer would make it when the run has begun.

    Raises:
        InputError: It lacks what it needs, or gets what it does not know.
    """
    warmup, further = config.get_warmup_steps(config.max_steps), dict(config.lr_scheduler_kwargs or {})
    optimizer = torch.optim.SGD([torch.zeros(1)])
    try:
        get_scheduler(config.lr_scheduler_type, optimizer, warmup, config.max_steps, further)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"lr_scheduler_type is '{SchedulerType(config.lr_scheduler_type).value}', which cannot be made ({error}): correct "
            'lr_scheduler_kwargs in trainer_args (for cosine_with_min_lr: {"lr_scheduler_kwargs": {"min_lr": 1e-5}}), or '
            "choose another schedule"
        ) from error


def checked_trainer_args(config: PolicyConfig) -> dict[str, Any]:
    """Return the further fields of the trainer's configuration.

    Raises:
        InputError: A field is unknown, or follows from the settings of the run.
    """
    extra: dict[str, Any] = json.loads(config.trainer_args)
    _, config_class = TRAINERS[config.algorithm]
    known = {field.name for field in dataclasses.fields(config_class)}
    for key in extra:
        if key not in known:
            raise InputError(f"trainer_args: {config_class.__name__} has no field '{key}'.{did_you_mean(key, known)}")
        if key in FIXED:
            raise InputError(
                f"trainer_args: '{key}' follows from the settings of the run and cannot be given here: leave it out "
                "(minibatch_size, rollout_size and num_iterations decide the steps; less memory: a smaller minibatch_size)"
            )
        if extra[key] and key in NOT_RESUMED:
            raise InputError(
                f"trainer_args: '{key}' {NOT_RESUMED[key]}, so a stopped run could not go on as it was: leave it out"
            )
    return extra


def kept_checkpoints(config: PolicyConfig) -> int:
    """Return how many checkpoints stay, by transformers' `save_total_limit`; 0: all of them.

    Raises:
        InputError: `trainer_args` give something else than a whole number.
    """
    limit = json.loads(config.trainer_args).get("save_total_limit", KEPT)
    if not isinstance(limit, int | None):
        raise InputError(f"trainer_args: 'save_total_limit' is {limit!r}, expected a whole number (0: keep all checkpoints)")
    return max(0, limit or 0)


def _use_device(config: GRPOConfig | RLOOConfig, device: torch.device) -> None:
    """Let the trainer use the policy's GPU alone. By itself, transformers uses the first GPU, or all of them at once."""
    index = torch.cuda.current_device() if device.index is None else device.index
    torch.cuda.set_device(index)  # what `accelerate` calls "cuda" is the current GPU
    config.__dict__["_setup_devices"] = torch.device("cuda", index)  # the cached value behind `config.device`
    config._n_gpu = 1
