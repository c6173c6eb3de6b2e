"""The topic policy: a causal language model that writes a short opening, the topic, for a target class.

A *class prompt* names the target (`prompter.generation.prompts`). The policy continues it with a few tokens, and these tokens
are the topic. Teacher and student never see the class prompt. Training changes LoRA adapters only, unless `lora_rank` is 0:
then it changes all weights, which pays for very small models. A sample made of topic and content follows PromptDFD
(arXiv 2205.07523); class prompt and LoRA are ours.
"""

import warnings
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from distill.common.errors import InputError
from distill.common.hub import check_vocabulary, load_model, load_tokenizer
from distill.common.precision import autocast, resolve_device
from distill.common.seeding import random_generator
from distill.language_models.special_tokens import end_tokens
from eval.toy import located
from prompter.decoding.loop import context_length, decode
from prompter.decoding.prefix import Prefix
from prompter.decoding.probe import check_writing
from prompter.generation.adapted import adapted_modules
from prompter.generation.config import NOTHING, PolicyConfig
from prompter.generation.prompts import class_prompts


class TopicPolicy:
    """A causal LM that writes topics for target classes.

    Args:
        model: The language model, with its LoRA adapters if `lora_rank` is above 0.
        tokenizer: Its tokenizer.
        labels: Class names of the teacher, in the order of its outputs.
        config: Settings.
        max_tokens: Most tokens of a completion: `topic_max_tokens`, or the length of a text if the policy writes whole texts.

    Raises:
        InputError: Two labels have the same name.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        tokenizer: PreTrainedTokenizerBase,
        labels: list[str],
        config: PolicyConfig,
        max_tokens: int,
    ) -> None:
        self.model, self.tokenizer, self.labels, self.config = model, tokenizer, labels, config
        self.max_tokens = max_tokens
        self.eos_token_ids = end_tokens(model.generation_config, tokenizer, model.get_input_embeddings().weight.shape[0])
        self.prompts = class_prompts(tokenizer, labels, config, subjects=config.writes == "subject")
        self._targets = {prompt: index for index, prompt in enumerate(self.prompts.texts)}

    @classmethod
    def load(
        cls,
        name_or_path: str,
        labels: list[str],
        config: PolicyConfig,
        max_tokens: int,
        device: str,
        seed: int = 0,
        quiet: bool = True,
    ) -> "TopicPolicy":
        """Load a model that is about to be trained, and add untrained LoRA adapters if `lora_rank` is above 0.

        Weights are float32, since they or their adapters are trained.

        Args:
            name_or_path: Model folder, hub id, or `toy`.
            labels: Class names of the teacher.
            config: Settings.
            max_tokens: Most tokens of a completion.
            device: Device of the model.
            seed: Seed of the adapters' first weights.
            quiet: Show no progress bar while a toy model is trained.

        Raises:
            InputError: See `distill.common.hub.load_model`; two labels have the same name, or one does not fit the model's
                context; the tokenizer has no EOS token; or the model takes no adapters, or cannot write.
        """
        name = located(name_or_path, "writer", quiet)
        model = load_model(AutoModelForCausalLM, name, "generator", device=resolve_device(device), dtype=torch.float32)
        tokenizer = load_tokenizer(name, "generator")
        check_vocabulary(model, tokenizer, f"generator: {name_or_path}")
        if tokenizer.eos_token_id is None:
            raise InputError(f"generator: the tokenizer of {name_or_path} has no EOS token; set its eos_token.")
        if config.lora_rank:
            try:
                model = with_new_adapters(model, config, seed)
            except (ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:  # PEFT refuses in many ways
                reason = " ".join(str(error).split())[:200]
                raise InputError(
                    f"generator: {name_or_path} takes no LoRA adapters ({reason}); set lora_rank to 0, or use another model."
                ) from error
        check_writing(model, tokenizer.eos_token_id, tokenizer.pad_token_id, name_or_path, trained=True)
        policy = cls(model, tokenizer, labels, config, max_tokens)
        policy.check_lengths()
        return policy

    def check_lengths(self) -> None:
        """Refuse class prompts that the model cannot read and continue.

        Raises:
            InputError: A prompt has no token, or is too long for the model's context.
        """
        context, setting = context_length(self.model), "request" if self.prompts.chat else "control"
        for prompt, ids in zip(self.prompts.texts, self.prompts.ids, strict=True):
            length = len(ids)
            shown = prompt if len(prompt) <= 40 else prompt[:40] + "..."
            if length == 0:
                raise InputError(
                    f"{setting}: the generator's tokenizer has no token for {shown!r}; give other --teacher_labels."
                )
            if context is not None and length + self.max_tokens > context:
                raise InputError(
                    f"{setting}: {shown!r} has {length} tokens, and {self.max_tokens} more are written, but the generator's "
                    f"context is {context} tokens; give shorter class names with --teacher_labels, or a shorter "
                    f"--task_description or --{setting}."
                )

    @property
    def has_adapters(self) -> bool:
        """Whether training changes LoRA adapters, and not the model's own weights."""
        return isinstance(self.model, PeftModel)

    def targets(self, prompts: list[Any]) -> Tensor:
        """Return the class index (N,) that each class prompt asks for; prompts are in TRL's form."""
        return torch.tensor([self._targets[prompt if isinstance(prompt, str) else prompt[0]["content"]] for prompt in prompts])

    def topics(self, targets: Tensor, seed: int, counter: int) -> list[str]:
        """Sample one topic per target; see `sample`."""
        return self.sample(targets, seed, counter)[0]

    def sample(self, targets: Tensor, seed: int, counter: int, purpose: str = "topics") -> tuple[list[str], Tensor]:
        """Sample one topic per target.

        Args:
            targets: (N,) class indices.
            seed: Seed of the run.
            counter: Number of this call. The same seed, counter and purpose give the same topics.
            purpose: Keeps the random numbers of different callers apart.

        Returns:
            N topics without the class prompt, and (N,) float32 on the CPU: the mean log-probability of their tokens under
            the policy at temperature 1. With `writes: nothing` the topics are empty, and that mean is NaN.
        """
        if self.config.writes == NOTHING:
            return [""] * len(targets), torch.full((len(targets),), torch.nan)
        device = self.model.device
        ids = [self.prompts.ids[index] for index in targets.tolist()]
        # Nothing follows a class prompt, so each is computed once.
        nothing = torch.empty(len(ids), 0, dtype=torch.long, device=device)
        self.model.eval()
        with torch.inference_mode(), autocast(device, trained=True):
            decoded = decode(
                self.model,
                nothing,
                nothing,
                prefix=Prefix.of(ids, self.tokenizer.pad_token_id, device),
                max_new_tokens=self.max_tokens,
                min_new_tokens=self.config.topic_min_tokens,
                eos_token_ids=self.eos_token_ids,
                pad_token_id=self.tokenizer.pad_token_id,
                temperature=self.config.temperature,
                random=random_generator(seed, purpose, counter, device=device),
            )
        assert decoded.logprobs is not None
        logprob_mean = (decoded.logprobs.sum(-1) / decoded.lengths).cpu()
        return clean(self.tokenizer.batch_decode(decoded.tokens, skip_special_tokens=True)), logprob_mean


def with_new_adapters(model: PreTrainedModel, config: PolicyConfig, seed: int) -> PeftModel:
    """Add LoRA adapters to a model; their first weights depend on the seed alone.

    Args:
        model: The base model. It is changed in place.
        config: Rank, scale and layers of the adapters.
        seed: Seed of the first weights.
    """
    targets = adapted_modules(model, config.lora_layers)
    lora = LoraConfig(r=config.lora_rank, lora_alpha=config.lora_alpha, target_modules=targets, task_type="CAUSAL_LM")
    devices = list(range(torch.cuda.device_count())) if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fan_in_fan_out.*")  # PEFT sets it right for GPT-2 by itself
        torch.manual_seed(seed)  # not `seeded`: TRL drew the adapters from this seed, and old runs are reproduced
        return get_peft_model(model, lora)


def clean(topics: list[str]) -> list[str]:
    """Put each topic on one line without surrounding space."""
    return [" ".join(topic.split()) for topic in topics]
