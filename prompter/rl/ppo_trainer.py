"""Proximal policy optimization on TRL's maintained `GRPOTrainer`.

TRL deleted its own PPO trainer in 1.13. Its GRPO trainer keeps nearly all of PPO: the clipped surrogate, several epochs
over a rollout, minibatches, KL to a reference, an entropy bonus, plain Python rewards, LoRA, resume, trackers. Five things
differ from GRPO, and this file is those five:

1. **A critic**: a small MLP that reads the policy's (detached) last hidden state before each token.
2. **Advantages per token** by GAE, with the reward on a completion's last token, instead of one group-relative number.
3. **A clipped value loss** trains the critic with an optimizer of its own, on the hidden states of the very forward pass
   that the policy loss makes, so the critic costs no extra pass.
4. **Checkpoints hold the critic**, its optimizer and its schedule.
5. **Speed for short completions**: logits are computed for the completion only, and sampling uses our decode loop.

Every private TRL method overridden here has a test in `tests/prompter/test_trl_hooks.py` that says what broke when TRL moves.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import get_scheduler
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import GRPOTrainer

from distill.common.seeding import random_generator, seeded
from prompter.generation.decoding import decode
from prompter.rl.ppo_config import PPOConfig


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalized advantage estimation over the tokens of each completion.

    Args:
        rewards: (B, T) reward received after each token.
        values: (B, T) the critic's estimate before each token.
        mask: (B, T) 1 for the tokens of the completion, 0 for the padding on the right.
        gamma: Discount per token, in [0, 1].
        lam: GAE's lambda, in [0, 1].

    Returns:
        Advantages and returns, both (B, T), zero where the mask is zero.

    References:
        arXiv 1506.02438, equations 11 and 16. The value after the last token is zero: a completion is an episode.
    """
    mask = mask.to(values.dtype)
    advantages = torch.zeros_like(values)
    following_advantage = torch.zeros_like(values[:, 0])
    following_value = torch.zeros_like(values[:, 0])
    for t in reversed(range(values.size(1))):
        delta = rewards[:, t] + gamma * following_value - values[:, t]
        # The mask keeps padding from leaking into the episode's last token.
        following_advantage = (delta + gamma * lam * following_advantage) * mask[:, t]
        following_value = values[:, t] * mask[:, t]
        advantages[:, t] = following_advantage
    return advantages, (advantages + values) * mask


def whiten(x: Tensor, mask: Tensor) -> Tensor:
    """Shift and scale the unmasked entries of `x` (B, T) to mean 0 and variance 1; the others become 0."""
    mask = mask.to(x.dtype)
    count = mask.sum().clamp(min=1.0)
    mean = (x * mask).sum() / count
    variance = ((x - mean).square() * mask).sum() / count
    return (x - mean) * torch.rsqrt(variance + 1e-8) * mask


def clipped_value_loss(values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, cliprange: float) -> Tensor:
    """PPO's value loss: half the larger of the plain and the clipped squared error, averaged over tokens.

    Args:
        values: (B, T) the critic's present estimates.
        old_values: (B, T) its estimates when the rollout was made.
        returns: (B, T) targets.
        mask: (B, T) 1 for tokens that count.
        cliprange: How far a value may move from its old one before its gradient stops, > 0.

    Returns:
        A scalar.

    References:
        Not in the PPO paper; the form of OpenAI's baselines, which TRL's last PPO trainer used as well.
    """
    clipped = old_values + (values - old_values).clamp(-cliprange, cliprange)
    losses = torch.maximum((values - returns).square(), (clipped - returns).square())
    mask = mask.to(values.dtype)
    return 0.5 * (losses * mask).sum() / mask.sum().clamp(min=1.0)


class Critic(nn.Module):
    """A state-value estimate from the policy's hidden state.

    The last layer starts at zero, so the first advantages are the rewards themselves.

    Args:
        input_size: Width of the policy's hidden states.
        hidden_size: Width of the one hidden layer.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(input_size)
        self.hidden = nn.Linear(input_size, hidden_size)
        self.value = nn.Linear(hidden_size, 1)
        nn.init.zeros_(self.value.weight)
        nn.init.zeros_(self.value.bias)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Values (B, T) of hidden states (B, T, H)."""
        return self.value(torch.tanh(self.hidden(self.norm(hidden_states.float())))).squeeze(-1)


def variance(values: Tensor) -> Tensor:
    """Mean squared distance from the mean; NaN where there is nothing (`Tensor.var` would warn)."""
    return (values - values.mean()).square().mean()


class PPOTrainer(GRPOTrainer):
    """PPO with a critic and GAE, for one process.

    Takes the arguments of `trl.GRPOTrainer`; `args` is a [`PPOConfig`]. A reward function may answer `None` (or NaN) for a
    completion: it then teaches neither policy nor critic. Checkpoint on rollout boundaries, that is at multiples of
    `steps_per_generation * num_iterations` steps, because TRL does not save the rollout it is working on.
    """

    args: PPOConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        base = self.accelerator.unwrap_model(self.model)
        head = base.get_output_embeddings()
        with seeded(self.args.seed, "critic"):
            self.critic = Critic(head.weight.size(1), self.args.critic_hidden_size).to(self.accelerator.device)
        self.critic_optimizer = torch.optim.AdamW(
            self.critic.parameters(), lr=self.args.critic_learning_rate, eps=1e-5, weight_decay=0.0
        )
        self.critic_scheduler = get_scheduler(
            self.args.lr_scheduler_type,
            self.critic_optimizer,
            num_warmup_steps=0,
            num_training_steps=max(1, self.args.max_steps),
        )
        self._head_inputs: list[Tensor] = []
        self._noting = False
        head.register_forward_pre_hook(self._before_head)
        self._hidden_states: list[Tensor] = []  # one (B, T, H) per policy forward, newest last
        self._rewards = torch.empty(0)
        inner = base.get_base_model() if self._is_peft else base
        accepted = inspect.signature(type(inner).forward).parameters
        self._takes_position_ids = "position_ids" in accepted
        self._takes_logits_to_keep = "logits_to_keep" in accepted

    def _before_head(self, head: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        """Note the input of the output layer, where asked to: it is the hidden state that the critic reads."""
        # The last tokens of each row are a slice with gaps, which torch multiplies with the vocabulary row by row, six times
        # as slowly as all at once; the figures are the same to the last bit.
        states = inputs[0].contiguous()
        if self._noting:
            self._head_inputs.append(states)
        return (states,)

    @contextmanager
    def _head_inputs_noted(self) -> Iterator[None]:
        # Only here: the frozen writer runs on the same model, and all that it writes would stay in memory.
        self._noting = True
        try:
            yield
        finally:
            self._noting = False

    @property
    def _is_peft(self) -> bool:
        return bool(getattr(self.accelerator.unwrap_model(self.model), "peft_config", None))

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        # Seeded by the step and not by what was drawn before it, so that a resumed run draws the same numbers.
        with seeded(self.args.seed, "ppo", self.state.global_step):
            return super()._prepare_inputs(generation_batch)

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], images: Any, multimodal_fields: Any, num_generations: int, *args: Any
    ) -> tuple[list[list[int]], None]:
        device = self.accelerator.device
        width = max(len(ids) for ids in prompt_ids)
        input_ids = torch.full((len(prompt_ids), width), self._tokenizer.pad_token_id, dtype=torch.long)
        attention_mask = torch.zeros_like(input_ids)
        for row, ids in enumerate(prompt_ids):
            input_ids[row, width - len(ids) :] = torch.tensor(ids)
            attention_mask[row, width - len(ids) :] = 1
        model = self.accelerator.unwrap_model(self.model)
        was_training = model.training
        model.eval()
        with self.accelerator.autocast():
            decoded = decode(
                model,
                input_ids.to(device),
                attention_mask.to(device),
                max_new_tokens=self.max_completion_length,
                min_new_tokens=(self.args.generation_kwargs or {}).get("min_new_tokens", 0),
                eos_token_ids=self.eos_token_ids,
                pad_token_id=self._tokenizer.pad_token_id,
                temperature=self.temperature,
                top_k=self.top_k or 0,
                top_p=self.top_p,
                generator=random_generator(self.args.seed, "completions", self.state.global_step, device=device),
            )
        model.train(was_training)
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
        # TRL's own version projects the prompt too wherever Triton is missing, and lets left-padded prompts of different
        # lengths shift absolute positions. Completions are short here, so plain logits are small.
        extra: dict[str, Any] = {}
        if self._takes_logits_to_keep:
            extra["logits_to_keep"] = logits_to_keep + 1
        logps, entropies, hidden_states = [], [], []
        for ids, mask in zip(
            input_ids.split(batch_size or len(input_ids)),
            attention_mask.split(batch_size or len(attention_mask)),
            strict=True,
        ):
            if self._takes_position_ids:
                extra["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
            with self.accelerator.autocast(), self._head_inputs_noted():
                logits = model(input_ids=ids, attention_mask=mask, use_cache=False, **extra).logits
            logits = logits[:, -logits_to_keep - 1 : -1].float()
            log_probs = (logits if self.temperature == 1 else logits / self.temperature).log_softmax(-1)
            logps.append(log_probs.gather(-1, ids[:, -logits_to_keep:, None]).squeeze(-1))
            if compute_entropy:
                if torch.is_grad_enabled() and self._entropy_bonus_enabled:
                    entropies.append(-(log_probs.exp() * log_probs).sum(-1))
                else:  # it is only logged: no graph over the vocabulary, and no second tensor of its size
                    entropies.append(-log_probs.detach().exp().mul_(log_probs.detach()).sum(-1))
            if self._head_inputs:  # none from a reference model of its own, which the critic has no use for
                hidden_states.append(self._head_inputs.pop()[:, -logits_to_keep - 1 : -1].detach())
        if hidden_states:
            self._hidden_states.append(torch.cat(hidden_states))
        return torch.cat(logps), torch.cat(entropies) if compute_entropy else None, None

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Tensor:
        rewards_per_func = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        weights = self.reward_weights.to(rewards_per_func.device)
        self._rewards = (rewards_per_func * weights).nansum(dim=1)
        self._rewards[torch.isnan(rewards_per_func).all(dim=1)] = torch.nan
        return rewards_per_func

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        self._hidden_states.clear()
        output = super()._generate_and_score_completions(inputs)
        # A completion without a reward is taken out of every mean, the KL's and the entropy's included.
        output["completion_mask"] = output["completion_mask"] * torch.isfinite(self._rewards)[:, None]
        mask = output["completion_mask"]
        if output.get("old_per_token_logps") is None:  # one step per rollout: TRL then needs none, the reference's at most
            self._hidden_states.clear()
            with torch.no_grad():
                self._get_per_token_logps_and_entropies(
                    self.model,
                    torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1),
                    torch.cat([output["prompt_mask"], mask], dim=1),
                    mask.size(1),
                    batch_size=self.args.per_device_train_batch_size,
                )
        hidden_states = self._hidden_states[0]  # the policy's pass; the reference's, if any, comes second
        self._hidden_states.clear()
        with torch.no_grad():
            values = self.critic(hidden_states)
        rewards = torch.zeros_like(values)
        last = (mask.sum(dim=1) - 1).clamp(min=0)
        rewards[torch.arange(len(rewards)), last] = self._rewards.nan_to_num(0.0)
        advantages, returns = gae(rewards, values, mask, self.args.gamma, self.args.lam)
        output["advantages"] = whiten(advantages, mask) if self.args.whiten_advantages else advantages
        output["old_values"], output["returns"] = values, returns

        mode = "train" if self.model.training else "eval"
        unmasked = mask.bool()
        unexplained = variance((returns - values)[unmasked]) / variance(returns[unmasked]).clamp(min=1e-8)
        self._metrics[mode]["critic/explained_variance"].append(1.0 - unexplained.item())
        self._metrics[mode]["critic/value_mean"].append(values[unmasked].mean().item())
        return output

    def _compute_loss(self, model: nn.Module, inputs: dict[str, Any]) -> Tensor:
        self._hidden_states.clear()
        loss = super()._compute_loss(model, inputs)
        values = self.critic(self._hidden_states.pop())
        value_loss = clipped_value_loss(
            values, inputs["old_values"], inputs["returns"], inputs["completion_mask"], self.args.cliprange_value
        )
        mode = "train" if self.model.training else "eval"
        self._metrics[mode]["critic/loss"].append(value_loss.item())
        if mode == "train":
            # The critic reads detached states, so its step may come before the policy's without touching it.
            (value_loss / self.current_gradient_accumulation_steps).backward()
            if self.accelerator.sync_gradients:
                nn.utils.clip_grad_norm_(self.critic.parameters(), self.args.max_grad_norm)
                self.critic_optimizer.step()
                self.critic_scheduler.step()
                self.critic_optimizer.zero_grad(set_to_none=True)
        return loss

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
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
        self.critic.load_state_dict(load_file(Path(checkpoint) / "critic.safetensors"))
        state = torch.load(Path(checkpoint) / "critic_optimizer.pt", weights_only=True, map_location=self.accelerator.device)
        self.critic_optimizer.load_state_dict(state["optimizer"])
        self.critic_scheduler.load_state_dict(state["scheduler"])
