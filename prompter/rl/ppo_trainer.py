"""Proximal policy optimization on TRL's maintained `GRPOTrainer`.

TRL deleted its PPO trainer in version 1.13. Its GRPO trainer has nearly all of PPO: the clipped surrogate loss, several
epochs over a rollout, minibatches, KL to a reference model, an entropy bonus, Python functions as rewards, LoRA, resume,
trackers. This file adds the five differences between PPO and GRPO:

1. **A critic**: a small MLP that reads the policy's last hidden state (detached) before each token.
2. **Advantages per token** by GAE, with the reward on the last token of a completion. GRPO has one number per completion.
3. **A clipped value loss** trains the critic with its own optimizer. It uses the hidden states of the forward pass of the
   policy loss, so the critic needs no pass of its own.
4. **Checkpoints hold the critic**, its optimizer and its schedule.
5. **Speed for short completions**: our decode loop samples, and its log-probabilities are the old ones. Different prompts
   are computed once per minibatch, and logits for completions alone (`prompter.rl.completions`). On a GPU, where starting the
   kernels of a small model takes longer than running them, the passes are recorded graphs (`prompter.rl.recorded`).

Each private TRL method that is overridden here has a test in `tests/prompter/rl/test_trl_hooks.py`. If a new version of TRL
changes the method, that test says what broke.
"""

from collections.abc import Sized
from pathlib import Path
from typing import Any

import torch
from accelerate import DistributedType
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import get_scheduler
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import GRPOTrainer

from distill.common.errors import InputError
from distill.common.seeding import random_generator, seeded
from distill.processes.group import Processes
from prompter.decoding.loop import Decoded, decode
from prompter.decoding.prefix import Prefix
from prompter.rl.completions import Scores, score_completions
from prompter.rl.critic import Critic, clipped_value_loss, gae, variance, whiten
from prompter.rl.ppo_config import PPOConfig
from prompter.rl.recorded import RecordedScores


class PPOTrainer(GRPOTrainer):
    """PPO with a critic and GAE, for any causal language model and any reward function.

    It takes the arguments of `trl.GRPOTrainer`, and a `PPOConfig` as `args`.

    - Supported: LoRA (`peft_config`) or full fine-tuning, several reward functions with weights, KL to the reference, an
      entropy bonus, minibatches and epochs, gradient accumulation, resume, trackers, bf16, CPU and GPU.
    - Several processes, each with its own GPU or CPU (`accelerate launch`, `torchrun`). Each samples and judges its part of a
      rollout, and the gradients are added up. Advantages are whitened over the whole rollout, and losses are means over all
      tokens of a minibatch, so an update is that of one process. Only `top_entropy_quantile` together with an entropy bonus
      takes the mean of the processes' means, as TRL does.
    - A reward function may return `None` or NaN for a completion. Policy and critic do not learn from this completion.
    - Sampling takes `temperature`, `top_k`, `top_p`, and `min_new_tokens` in `generation_kwargs`.
    - Not supported: models divided over devices (DeepSpeed, FSDP), vLLM, Liger kernels, images, tools.
    - `num_generations` is the number of completions per prompt, as in GRPO. PPO compares no groups, so 2, the least that
      TRL takes, leaves room for the most prompts.
    - Save checkpoints between two rollouts: at multiples of `steps_per_generation * num_iterations` steps. TRL does not
      save a rollout that it still trains on.

    Raises:
        InputError: `args` is no `PPOConfig`, or asks for something that is not supported. `InputError` is a `ValueError`.

    Examples:
        ```python
        from datasets import Dataset
        from prompter.rl import PPOConfig, PPOTrainer

        def vowels(completions, **kwargs):
            return [sum(letter in "aeiou" for letter in text) / max(1, len(text)) for text in completions]

        trainer = PPOTrainer(
            model="Qwen/Qwen2.5-0.5B",
            reward_funcs=vowels,
            args=PPOConfig(output_dir="runs/vowels", max_completion_length=16, max_steps=100),
            train_dataset=Dataset.from_dict({"prompt": ["Once upon a time", "The weather today"] * 400}),
        )
        trainer.train()
        ```
    """

    args: PPOConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        config = kwargs.get("args", args[2] if len(args) > 2 else None)
        if not isinstance(config, PPOConfig):
            raise InputError(f"args is of type {type(config).__name__}, expected a PPOConfig: args=PPOConfig(output_dir=...)")
        super().__init__(*args, **kwargs)
        self._processes = Processes(self.accelerator.process_index, self.accelerator.num_processes)
        self._refuse_unsupported()
        self._base = self.accelerator.unwrap_model(self.model)  # once: it looks through all modules
        if self.args.disable_dropout:
            without_dropout(self._base)
        head = self._base.get_output_embeddings()
        with seeded(self.args.seed, "critic"):
            self.critic = Critic(head.weight.size(1), self.args.critic_hidden_size).to(self.accelerator.device)
        self.critic_optimizer = torch.optim.AdamW(
            self.critic.parameters(), lr=self.args.critic_learning_rate, eps=1e-5, weight_decay=0.0
        )
        self._adapters = self._base.active_adapters if self._is_peft else None  # those that are trained
        self._recorded = RecordedScores(self._base, self.max_completion_length, self._tokenizer.pad_token_id)
        self._sampled: Decoded | None = None  # the present rollout, if its log-probabilities are those that the loss needs
        self._hidden_states: list[Tensor] = []  # one (B, T, H) per pass of the policy, newest last
        self._rewards = torch.empty(0)
        self._now, self._part = (True, -1), 0  # mode and step, and which of its batches is at hand

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> Any:
        """Make the policy's schedule, and the critic's: the same without a warm-up."""
        self.critic_scheduler = get_scheduler(
            self.args.lr_scheduler_type,
            self.critic_optimizer,
            num_warmup_steps=0,
            num_training_steps=num_training_steps,
            scheduler_specific_kwargs=dict(self.args.lr_scheduler_kwargs or {}),
        )
        return super().create_scheduler(num_training_steps, optimizer)

    def _refuse_unsupported(self) -> None:
        """Refuse what would silently be ignored or be wrong.

        Raises:
            InputError: The configuration asks for something that is not supported.
        """
        config = self.args
        wrong = {
            "use_liger_kernel": config.use_liger_kernel,
            "use_transformers_continuous_batching": config.use_transformers_continuous_batching,
            "min_p": config.min_p is not None,
            "repetition_penalty": config.repetition_penalty != 1.0,
        }
        for name, given in wrong.items():
            if given:
                raise InputError(f"{name} is {getattr(config, name)}, which PPOTrainer does not support: leave it out")
        if unknown := sorted(set(config.generation_kwargs or {}) - {"min_new_tokens"}):
            raise InputError(
                f"generation_kwargs names {', '.join(unknown)}, but PPOTrainer takes only min_new_tokens there: leave it out"
            )
        needed, prompts = config.generation_batch_size // config.num_generations, self.train_dataset
        if isinstance(prompts, Sized) and len(prompts) < needed:  # TRL would leave out the rollout, and train nothing
            raise InputError(
                f"train_dataset holds {len(prompts)} prompts, expected at least {needed}: a rollout of "
                f"{config.generation_batch_size} completions takes {config.num_generations} of each prompt (num_generations)"
            )
        if self._is_vlm:
            raise InputError("model reads images, which PPOTrainer does not support: give a causal language model of text")
        if self.accelerator.distributed_type not in (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU):
            raise InputError(
                f"accelerate is set up for {self.accelerator.distributed_type}, but PPOTrainer holds the model whole in each "
                "process: choose plain multi-GPU or multi-CPU with accelerate config"
            )

    @property
    def _is_peft(self) -> bool:
        return bool(getattr(self._base, "peft_config", None))

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        # The seed depends on the step and not on earlier draws, so that a resumed run draws the same numbers.
        now = (self.model.training, self.state.global_step)
        self._part, self._now = self._part + 1 if now == self._now else 0, now
        with seeded(self.args.seed, self._purpose("ppo"), self.state.global_step):
            return super()._prepare_inputs(generation_batch)

    def _purpose(self, name: str) -> str:
        """Return what random numbers are for: each part of a step that accumulates gradients has its own."""
        return f"{name} {self._part}" if self._part else name

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], images: Any, multimodal_fields: Any, num_generations: int, *args: Any
    ) -> tuple[list[list[int]], None]:
        device = self.accelerator.device
        # Nothing follows a prompt, and few of them differ: each is computed once.
        nothing = torch.empty(len(prompt_ids), 0, dtype=torch.long, device=device)
        with self.accelerator.autocast():
            decoded = decode(
                self._base,
                nothing,
                nothing,
                prefix=Prefix.of(prompt_ids, self._tokenizer.pad_token_id, device),
                max_new_tokens=self.max_completion_length,
                min_new_tokens=(self.args.generation_kwargs or {}).get("min_new_tokens", 0),
                eos_token_ids=self.eos_token_ids,
                pad_token_id=self._tokenizer.pad_token_id,
                temperature=self.temperature,
                top_k=self.top_k or 0,
                top_p=self.top_p,
                random=random_generator(
                    self.args.seed,
                    self._processes.purpose(self._purpose("completions")),
                    self.state.global_step,
                    device=device,
                ),
                return_hidden_states=self.temperature == 1,
            )
        # At temperature 1 the log-probabilities before the update come with the tokens, and so does what the critic reads.
        self._sampled = decoded if self.temperature == 1 else None
        tokens, lengths = decoded.tokens.tolist(), decoded.lengths.tolist()
        return [row[:length] for row, length in zip(tokens, lengths, strict=True)], None

    def _get_per_token_logps_and_entropies(
        self,
        model: nn.Module,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None, None]:
        # Without Triton, TRL's version computes logits of the prompt, too, and left padding shifts its absolute positions.
        # Completions are short here, so plain logits fit into memory.
        of_policy = self._is_policy(model)
        if of_policy and self._sampled is not None and not torch.is_grad_enabled() and not compute_entropy:
            assert self._sampled.logprobs is not None and self._sampled.hidden_states is not None
            missing = logits_to_keep - self._sampled.logprobs.size(1)  # TRL may pad completions to a multiple
            self._hidden_states.append(nn.functional.pad(self._sampled.hidden_states, (0, 0, 0, missing)))
            return nn.functional.pad(self._sampled.logprobs, (0, missing)), None, None
        scores = []
        for ids, mask in zip(
            input_ids.split(batch_size or len(input_ids)),
            attention_mask.split(batch_size or len(attention_mask)),
            strict=True,
        ):
            with self.accelerator.autocast():
                scores.append(self._score(self._unwrapped(model), ids, mask, logits_to_keep, compute_entropy))
        if of_policy:
            self._hidden_states.append(torch.cat([scored.hidden_states for scored in scores]))
        entropies = [scored.entropies for scored in scores if scored.entropies is not None]
        return torch.cat([scored.logps for scored in scores]), torch.cat(entropies) if entropies else None, None

    def _score(self, model: nn.Module, ids: Tensor, mask: Tensor, length: int, entropy: bool) -> Scores:
        """Score completions of `length` tokens under a model; see `score_completions`."""
        options: dict[str, Any] = {"temperature": self.temperature, "entropy": entropy}
        options["entropy_gradient"] = torch.is_grad_enabled() and self._entropy_bonus_enabled
        # Each replay writes its gradients to the same memory, so they cannot be added up over several.
        accumulates = torch.is_grad_enabled() and self.args.gradient_accumulation_steps > 1
        if model is self._base and length <= self.max_completion_length and not accumulates:
            return self._recorded(ids, mask, length, **options)
        return score_completions(model, ids, mask, length, **options)

    def _is_policy(self, model: nn.Module) -> bool:
        """Return whether a model is the policy as it is trained: TRL's reference is another model, or other adapters."""
        if self._unwrapped(model) is not self._base:
            return False
        if self._adapters is None:
            return True
        layer = next(module for module in self._base.modules() if isinstance(module, BaseTunerLayer))
        return not layer.disable_adapters and layer.active_adapters == self._adapters

    def _unwrapped(self, model: nn.Module) -> Any:
        return self._base if model is self.model or model is self._base else self.accelerator.unwrap_model(model)

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Tensor:
        rewards_per_func = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        weights = self.reward_weights.to(rewards_per_func.device)
        rewards = (rewards_per_func * weights).nansum(dim=1)
        rewards[torch.isnan(rewards_per_func).all(dim=1)] = torch.nan
        self._rewards = rewards[self._processes.part(len(rewards))]  # TRL has gathered those of all processes
        return rewards_per_func

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        self._without_second_autocast()
        self._hidden_states.clear()
        output = super()._generate_and_score_completions(inputs)
        # A completion without a reward does not enter any mean, KL and entropy included.
        output["completion_mask"] = output["completion_mask"] * torch.isfinite(self._rewards)[:, None]
        mask = output["completion_mask"]
        if not self._hidden_states:  # with one step per rollout, TRL runs the reference at most
            with torch.no_grad():
                self._get_per_token_logps_and_entropies(
                    self.model,
                    torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1),
                    torch.cat([output["prompt_mask"], mask], dim=1),
                    mask.size(1),
                    batch_size=self.args.per_device_train_batch_size,
                )
        hidden_states = self._hidden_states.pop()
        self._sampled = None
        with torch.no_grad():
            values = self.critic(hidden_states)
        rewards = torch.zeros_like(values)
        last = (mask.sum(dim=1) - 1).clamp(min=0)
        rewards[torch.arange(len(rewards)), last] = self._rewards.nan_to_num(0.0)
        advantages, returns = gae(rewards, values, mask, self.args.gamma, self.args.lam)
        output["advantages"] = whiten(advantages, mask, self._total) if self.args.whiten_advantages else advantages
        output["old_values"], output["returns"] = values, returns

        mode = "train" if self.model.training else "eval"
        unmasked = mask.bool()
        if self._processes.size > 1:
            returns, values = (torch.cat(self._processes.gather(part[unmasked].cpu())) for part in (returns, values))
            unmasked = torch.ones_like(returns, dtype=torch.bool)
        unexplained = variance((returns - values)[unmasked]) / variance(returns[unmasked]).clamp(min=1e-8)
        self._metrics[mode]["critic/explained_variance"].append(1.0 - unexplained.item())
        self._metrics[mode]["critic/value_mean"].append(values[unmasked].mean().item())
        return output

    def _compute_loss(self, model: nn.Module, inputs: dict[str, Any]) -> Tensor:
        self._hidden_states.clear()
        loss = super()._compute_loss(model, inputs)
        values = self.critic(self._hidden_states.pop())
        mask = inputs["completion_mask"]
        value_loss = clipped_value_loss(values, inputs["old_values"], inputs["returns"], mask, self.args.cliprange_value)
        several = self._processes.size > 1
        if several:  # means over the rows of this process become its parts of the means over all rows
            share = mask.sum() / self._total(mask.sum()).clamp(min=1.0)
            value_loss = value_loss * share
            loss = loss * (share if self.loss_type == "bnpo" else 1 / self._processes.size)
        mode = "train" if self.model.training else "eval"
        self._metrics[mode]["critic/loss"].append((self._total(value_loss.detach()) if several else value_loss).item())
        if mode == "train":
            # The critic reads detached states, so its step does not affect the policy's, which follows.
            (value_loss / self.current_gradient_accumulation_steps).backward()
            if self.accelerator.sync_gradients:
                self._processes.sum_gradients(self.critic.parameters(), value_loss)
                if self.args.max_grad_norm:  # 0 and None mean no clipping, as to transformers
                    nn.utils.clip_grad_norm_(self.critic.parameters(), self.args.max_grad_norm)
                self.critic_optimizer.step()
                self.critic_scheduler.step()
                self.critic_optimizer.zero_grad(set_to_none=True)
        return loss

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train; see transformers. Afterwards the memory of recorded passes is free."""
        try:
            return super().train(*args, **kwargs)
        finally:
            self._recorded.passes.clear()

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Compute the gradients of a minibatch, and add up those of all processes.

        The hooks of torch's DistributedDataParallel rest, since we call the model inside it, and several times for a loss.
        """
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self.accelerator.sync_gradients:
            self._processes.sum_gradients(self.model.parameters(), loss)
        return loss * self._processes.size  # transformers logs the mean over the processes

    def _without_second_autocast(self) -> None:
        """Take back the autocast in which accelerate wraps the `forward` of a model that it prepares for bfloat16 or float16.

        All passes here are in one already (`accelerator.autocast()`), and a pass that is recorded within accelerate's cannot
        be kept (`prompter.decoding.graphs.is_lasting`).
        """
        if self.accelerator.mixed_precision in ("bf16", "fp16") and "_original_forward" in vars(self._base):
            self._base.forward = vars(self._base).pop("_original_forward")

    def _total(self, part: Tensor) -> Tensor:
        """Return the sum of a number over all processes."""
        return self.accelerator.reduce(part, reduction="sum") if self._processes.size > 1 else part

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if not self.args.should_save:
            return
        folder = Path(self._get_output_dir(trial=trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        save_file(self.critic.state_dict(), folder / "critic.safetensors")
        torch.save(
            {"optimizer": self.critic_optimizer.state_dict(), "scheduler": self.critic_scheduler.state_dict()},
            folder / "critic_optimizer.pt",
        )

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        if not (Path(checkpoint) / "critic.safetensors").is_file():
            raise InputError(
                f"resume_from_checkpoint: {checkpoint} has no critic.safetensors: give one of PPOTrainer; to train on from "
                "another one, load its model and train anew"
            )
        self.critic.load_state_dict(load_file(Path(checkpoint) / "critic.safetensors"))
        state = torch.load(Path(checkpoint) / "critic_optimizer.pt", weights_only=True, map_location="cpu")
        self.critic_optimizer.load_state_dict(state["optimizer"])
        self.critic_scheduler.load_state_dict(state["scheduler"])


def without_dropout(model: nn.Module) -> None:
    """Switch off the dropout that is a number of a module: TRL switches off modules of torch alone.

    OPT and XGLM drop a tenth of their states in this way, and Granite of its attention. Old log-probabilities, which come from
    sampling, would be those of another model than new ones.
    """
    for module in model.modules():
        for name, value in list(vars(module).items()):
            if "drop" in name and isinstance(value, float):
                setattr(module, name, 0.0)
