"""The policy on vLLM: the base model with the policy's adapter as a LoRA request, on the engine that also runs the writer.

The base weights are then in memory once, and no other copy of the model is loaded. As with the writer, equal arguments usually
give equal topics, but not always.
"""

from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from distill.common.errors import InputError
from distill.common.seeding import derive_seed
from prompter.generation.config import NOTHING, PolicyConfig
from prompter.generation.outside.vllm_writer import VLLMWriter
from prompter.generation.policy import clean
from prompter.generation.prompts import class_prompts


class VLLMPolicy:
    """A policy that writes topics with an adapter on vLLM.

    Args:
        writer: The writer on the same base model, whose engine takes adapters.
        tokenizer: Tokenizer of the saved prompter.
        labels: Class names of the teacher, in the order of its outputs.
        config: Settings of the policy.
        adapter: Folder of the adapter, as PEFT saves it. It is removed with the policy.

    Raises:
        InputError: A class prompt does not fit the model's context.
    """

    def __init__(
        self,
        writer: VLLMWriter,
        tokenizer: PreTrainedTokenizerBase,
        labels: Sequence[str],
        config: PolicyConfig,
        adapter: TemporaryDirectory[str],
    ) -> None:
        from vllm.lora.request import LoRARequest

        self.tokenizer, self.labels, self.config = tokenizer, list(labels), config
        self.prompts = class_prompts(tokenizer, labels, config, subjects=config.writes == "subject")
        self._writer, self._folder = writer, adapter
        self._adapter = LoRARequest("prompter", 1, adapter.name)
        longest, most = max(map(len, self.prompts.ids)), config.topic_max_tokens
        if writer.context_length is not None and longest + most > writer.context_length:
            raise InputError(
                f"base: a class prompt has {longest} tokens, and {most} more are written, but its context on vLLM is "
                f"{writer.context_length} tokens: give --writer transformers"
            )

    def sample(self, targets: Tensor, seed: int, counter: int, purpose: str = "topics") -> tuple[list[str], Tensor]:
        """Sample one topic per target; see `prompter.generation.policy.TopicPolicy.sample`."""
        config = self.config
        if config.writes == NOTHING:
            return [""] * len(targets), torch.full((len(targets),), torch.nan)
        sampling: list[dict[str, Any]] = [
            {
                "temperature": config.temperature,
                "max_tokens": config.topic_max_tokens,
                "min_tokens": config.topic_min_tokens,
                "seed": derive_seed(seed, purpose, counter, number),
            }
            for number in range(len(targets))
        ]
        ids = [self.prompts.ids[index] for index in targets.tolist()]
        outputs = self._writer.complete(ids, sampling, lora_request=self._adapter)
        new = [list(output.token_ids) for output in outputs]
        logprob = [output.cumulative_logprob / max(1, len(row)) for output, row in zip(outputs, new, strict=True)]
        return clean(self.tokenizer.batch_decode(new, skip_special_tokens=True)), torch.tensor(logprob)
