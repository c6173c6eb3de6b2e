"""The topic policy: a causal language model that writes short openings for a class it is asked for.

A *control text* names the wanted class (`"Sports:"`), the policy continues it with a few tokens, and those tokens are the
topic. The control text itself never reaches the writer, the teacher or the student. Tuned are LoRA adapters only, unless
the model is so small that full fine-tuning is affordable (`lora_rank: 0`). The shape of the sample, topic and content,
is that of PromptDFD (arXiv 2205.07523); the control text and LoRA are ours.
"""

import re

import torch
from peft import LoraConfig
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from distill.common.errors import InputError
from distill.common.hub import load_model, load_tokenizer
from distill.common.precision import autocast, resolve_device
from distill.common.seeding import random_generator
from prompter.generation.config import PolicyConfig
from prompter.generation.decoding import decode, left_padded


def class_names(labels: list[str]) -> list[str]:
    """Names to ask for: the labels themselves, or `class 0`, `class 1`, ... where they are mere placeholders.

    Examples:
        >>> class_names(["World", "Sci/Tech"])
        ['World', 'Sci/Tech']
        >>> class_names(["LABEL_0", "LABEL_1"])
        ['class 0', 'class 1']
    """
    if all(re.fullmatch(r"(LABEL_)?\d+", label) for label in labels):
        return [f"class {index}" for index in range(len(labels))]
    return list(labels)


class TopicPolicy:
    """A causal LM that writes topics for wanted classes.

    Args:
        model: The language model, with or without adapters.
        tokenizer: Its tokenizer.
        labels: Class names of the teacher, in its order.
        config: Settings.
        max_tokens: Most tokens of a completion: `topic_max_tokens`, or a whole text's length where the policy writes texts.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        labels: list[str],
        config: PolicyConfig,
        max_tokens: int,
    ) -> None:
        self.model, self.tokenizer, self.labels, self.config = model, tokenizer, labels, config
        self.max_tokens = max_tokens
        self.class_prompts = [config.control.replace("{label}", name) for name in class_names(labels)]
        if len(set(self.class_prompts)) < len(self.class_prompts):
            raise InputError(f"labels {labels} are not distinct: give the teacher's config an id2label with distinct names")
        self._targets = {control: index for index, control in enumerate(self.class_prompts)}

    @classmethod
    def load(cls, name_or_path: str, labels: list[str], config: PolicyConfig, max_tokens: int, device: str) -> "TopicPolicy":
        """Load the untuned model. Weights stay float32: they (or their adapters) are about to be trained."""
        model = load_model(AutoModelForCausalLM, name_or_path, "generator", device=resolve_device(device), dtype=torch.float32)
        return cls(model, load_tokenizer(name_or_path, "generator"), labels, config, max_tokens)

    @property
    def lora(self) -> LoraConfig | None:
        """Adapters to train, or None for full fine-tuning."""
        if self.config.lora_rank == 0:
            return None
        return LoraConfig(
            r=self.config.lora_rank,
            lora_alpha=self.config.lora_alpha,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )

    def targets(self, class_prompts: list[str]) -> Tensor:
        """The class index (N,) that each control text asks for."""
        return torch.tensor([self._targets[control] for control in class_prompts])

    def topics(self, targets: Tensor, seed: int, counter: int) -> list[str]:
        """Sample one topic per wanted class; see `sample`."""
        return self.sample(targets, seed, counter)[0]

    def sample(self, targets: Tensor, seed: int, counter: int, purpose: str = "topics") -> tuple[list[str], Tensor]:
        """Sample one topic per wanted class.

        Args:
            wanted: (N,) class indices.
            seed: Seed of the run.
            counter: Number of this call; the same seed, counter and purpose give the same topics.
            purpose: Keeps the random numbers of different callers apart.

        Returns:
            N topics without the control text, and (N,) float32 on the CPU: mean log-probability of their tokens under the
            policy at temperature 1.
        """
        device = self.model.device
        ids = self.tokenizer([self.class_prompts[index] for index in targets.tolist()])["input_ids"]
        input_ids, attention_mask = left_padded(ids, self.tokenizer.pad_token_id)
        self.model.eval()
        with torch.inference_mode(), autocast(device, trained=True):
            decoded = decode(
                self.model,
                input_ids.to(device),
                attention_mask.to(device),
                max_new_tokens=self.max_tokens,
                min_new_tokens=self.config.topic_min_tokens,
                eos_token_ids=[self.tokenizer.eos_token_id],
                pad_token_id=self.tokenizer.pad_token_id,
                temperature=self.config.temperature,
                generator=random_generator(seed, purpose, counter, device=device),
            )
        assert decoded.logprobs is not None
        logprob_mean = (decoded.logprobs.sum(-1) / decoded.lengths).cpu()
        return clean(self.tokenizer.batch_decode(decoded.tokens, skip_special_tokens=True)), logprob_mean


def clean(topics: list[str]) -> list[str]:
    """Topics on one line without surrounding space."""
    return [" ".join(topic.split()) for topic in topics]
