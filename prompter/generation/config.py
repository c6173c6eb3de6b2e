"""Settings of the policy and the writer."""

import json
from dataclasses import dataclass, field
from math import inf

from distill.common.errors import InputError


@dataclass
class PolicyConfig:
    """The policy, and how PPO (or TRL's GRPO or RLOO) tunes it.

    Raises:
        InputError: A field is out of its range.
    """

    policy: str | None = field(
        default=None, metadata={"help": "Causal LM that writes topics, folder or hub id; default: the generator."}
    )
    control: str = field(default="{label}:", metadata={"help": "Control text; {label} is the wanted class."})
    writes: str = field(
        default="topic", metadata={"help": "topic: the frozen writer continues it; text: the policy writes all of it."}
    )
    lora_rank: int = field(default=16, metadata={"help": "Rank of the LoRA adapters; 0 tunes all weights."})
    lora_alpha: int = field(default=32, metadata={"help": "LoRA's scale times its rank."})
    topic_min_tokens: int = field(default=2, metadata={"help": "Fewest tokens of a topic."})
    topic_max_tokens: int = field(default=6, metadata={"help": "Most tokens of a topic."})
    algorithm: str = field(default="ppo", metadata={"help": "ppo, grpo or rloo."})
    learning_rate: float = field(default=6e-4, metadata={"help": "Peak learning rate of the policy."})
    lr_scheduler_type: str = field(default="linear", metadata={"help": "Learning-rate schedule, a name of transformers."})
    rollout_size: int = field(default=256, metadata={"help": "Samples per rollout, rounded to a multiple of classes."})
    minibatch_size: int = field(default=64, metadata={"help": "Samples per optimizer step; divides rollout_size."})
    num_iterations: int = field(default=2, metadata={"help": "Passes over each rollout."})
    beta: float = field(default=0.05, metadata={"help": "Weight of the KL divergence to the untuned LM."})
    entropy_coef: float = field(default=0.0, metadata={"help": "Weight of the entropy bonus."})
    temperature: float = field(default=1.0, metadata={"help": "Sampling temperature of topics."})
    trainer_args: str = field(
        default="{}", metadata={"help": "Further fields of PPOConfig, GRPOConfig or RLOOConfig: a mapping, as JSON."}
    )

    def __post_init__(self) -> None:
        """Check ranges and choices."""
        choices = {"writes": ("topic", "text"), "algorithm": ("ppo", "grpo", "rloo")}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is '{getattr(self, name)}', expected one of: {', '.join(allowed)}")
        at_least = {"lora_rank": 0, "topic_min_tokens": 1, "rollout_size": 4, "minibatch_size": 2, "num_iterations": 1}
        for name, low in at_least.items():
            if getattr(self, name) < low:
                raise InputError(f"{name} is {getattr(self, name)}, expected a whole number >= {low}")
        if self.topic_max_tokens < self.topic_min_tokens:
            raise InputError(
                f"topic_max_tokens is {self.topic_max_tokens}, expected at least topic_min_tokens = {self.topic_min_tokens}"
            )
        for name in ("learning_rate", "temperature"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} is {getattr(self, name)}, expected a number above 0")
        for name in ("beta", "entropy_coef"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}, expected a number >= 0")
        try:
            mapping = isinstance(json.loads(self.trainer_args), dict)
        except ValueError:
            mapping = False
        if not mapping:
            raise InputError(f"trainer_args is '{self.trainer_args}', expected a mapping such as {{\"epsilon\": 0.1}}")
        if "{label}" not in self.control:
            raise InputError(f"control is '{self.control}', expected a text with {{label}} where the class name goes")


@dataclass
class WriterConfig:
    """How the writer samples.

    Raises:
        InputError: A field is out of its range.
    """

    writer_max_new_tokens: int = field(default=40, metadata={"help": "Most tokens the writer adds to a topic."})
    writer_min_new_tokens: int = field(default=8, metadata={"help": "Fewest tokens it adds; trimming leaves as many."})
    writer_temperature: float = field(default=1.0, metadata={"help": "Sampling temperature; 0: the likeliest token."})
    writer_top_p: float = field(default=0.95, metadata={"help": "Nucleus sampling's share of the mass; 1: off."})
    writer_top_k: int = field(default=0, metadata={"help": "Sample among the k likeliest tokens; 0: off."})
    writer_trim_sentence: bool = field(
        default=True, metadata={"help": "Cut a text that reached the length limit after its last whole sentence."}
    )
    writer_batch_size: int = field(default=256, metadata={"help": "Texts written at once."})

    def __post_init__(self) -> None:
        """Check ranges."""
        longest = self.writer_max_new_tokens
        checks = [
            ("writer_max_new_tokens", longest >= 1, "a whole number >= 1"),
            (
                "writer_min_new_tokens",
                0 <= self.writer_min_new_tokens <= longest,
                f"a whole number from 0 to writer_max_new_tokens = {longest}",
            ),
            ("writer_temperature", 0 <= self.writer_temperature < inf, "a number >= 0 (0 takes the likeliest token)"),
            ("writer_top_p", 0 < self.writer_top_p <= 1, "a number above 0 and up to 1 (1 switches it off)"),
            ("writer_top_k", self.writer_top_k >= 0, "a whole number >= 0 (0 switches it off)"),
            ("writer_batch_size", self.writer_batch_size >= 1, "a whole number >= 1"),
        ]
        for name, fine, expected in checks:
            if not fine:
                raise InputError(f"{name} is {getattr(self, name)}, expected {expected}")
