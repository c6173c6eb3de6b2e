"""Reinforcement learning: from topics to texts, scores and rewards, and PPO on TRL's trainer.

`PPOTrainer` and `PPOConfig` also work by themselves, for any task with a reward function.

May import `generation`, `pairs`, `decoding` and `runtime`, and `distill`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prompter.rl.ppo_config import PPOConfig
    from prompter.rl.ppo_trainer import PPOTrainer

__all__ = ["PPOConfig", "PPOTrainer"]


def __getattr__(name: str) -> Any:
    """Import the trainer and its configuration on first use, since they import torch and TRL."""
    if name == "PPOConfig":
        from prompter.rl.ppo_config import PPOConfig

        return PPOConfig
    if name == "PPOTrainer":
        from prompter.rl.ppo_trainer import PPOTrainer

        return PPOTrainer
    raise AttributeError(f"module 'prompter.rl' has no attribute {name!r}")
