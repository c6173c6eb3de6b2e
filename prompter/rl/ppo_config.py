"""Settings of `PPOTrainer`: the settings of TRL's GRPO trainer, and those of a critic.

GRPO's settings cover most of PPO: `epsilon` is the clip range of the policy, `num_iterations` the number of epochs over a
rollout, `beta` the KL coefficient, `entropy_coef` the entropy bonus. This file adds what GRPO does not need, and changes
defaults that were chosen for much larger language models.
"""

from dataclasses import dataclass, field
from numbers import Integral, Real

from trl import GRPOConfig

from distill.common.errors import InputError

MEASURED_SCHEDULES = ("reduce_lr_on_plateau", "greedy")
"""Learning rates that depend on what is measured, and not on the step alone."""


@dataclass
class PPOConfig(GRPOConfig):
    """Configuration of `PPOTrainer`. It takes every field of `trl.GRPOConfig`, too.

    Raises:
        InputError: A field of PPO is of another type or out of its range, `use_vllm` is on, or the learning rate follows a
            measured loss. `InputError` is a `ValueError`.

    References:
        Schulman et al., *Proximal Policy Optimization Algorithms*, arXiv 1707.06347;
        Schulman et al., *High-Dimensional Continuous Control Using Generalized Advantage Estimation*, arXiv 1506.02438.
    """

    gamma: float = field(default=1.0, metadata={"help": "Discount per token, in [0, 1]."})
    lam: float = field(default=0.95, metadata={"help": "GAE's lambda, in [0, 1]."})
    cliprange_value: float = field(default=0.2, metadata={"help": "Clip range of the value loss, > 0."})
    whiten_advantages: bool = field(
        default=True, metadata={"help": "Shift and scale the advantages of a rollout to mean 0 and variance 1."}
    )
    critic_learning_rate: float = field(default=1e-3, metadata={"help": "Learning rate of the critic, > 0."})
    critic_hidden_size: int = field(default=128, metadata={"help": "Width of the critic's hidden layer."})

    loss_type: str = field(default="bnpo", metadata={"help": "How token losses are averaged; bnpo: over all tokens."})
    gradient_checkpointing: bool = field(
        default=False, metadata={"help": "Recompute activations to save memory; off, since short completions do not need it."}
    )
    shuffle_dataset: bool | None = field(
        default=False, metadata={"help": "Shuffle the prompts; off, so that each rollout takes them in the given order."}
    )
    disable_dropout: bool = field(
        default=True, metadata={"help": "No dropout in the policy; on, since completions are sampled without dropout."}
    )

    def __post_init__(self) -> None:
        """Check the fields of PPO, then let TRL check the rest."""
        for name in ("gamma", "lam"):
            value = getattr(self, name)
            if not (isinstance(value, Real) and 0 <= float(value) <= 1):
                raise InputError(f"{name} is {value!r}, expected a number from 0 to 1")
        for name, kind in (
            ("cliprange_value", Real), ("critic_learning_rate", Real), ("temperature", Real),
            ("critic_hidden_size", Integral), ("num_iterations", Integral),
        ):  # fmt: skip
            value = getattr(self, name)
            if not (isinstance(value, kind) and float(value) > 0):
                raise InputError(f"{name} is {value!r}, expected a {'whole ' if kind is Integral else ''}number above 0")
        if not isinstance(self.whiten_advantages, bool):
            raise InputError(f"whiten_advantages is {self.whiten_advantages!r}, expected True or False")
        if self.lr_scheduler_type in MEASURED_SCHEDULES:
            raise InputError(
                f"lr_scheduler_type is '{self.lr_scheduler_type}', which follows a measured loss, but policy and critic have "
                "losses of their own: choose another one, such as linear or cosine"
            )
        if self.use_vllm:
            raise InputError(
                "use_vllm is true, but PPO samples its completions in a loop of its own, which does not use vLLM: leave it "
                "out (prompter train runs the frozen writer on vLLM: --writer vllm)"
            )
        super().__post_init__()
