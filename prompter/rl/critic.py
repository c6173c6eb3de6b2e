"""The critic of PPO, and the arithmetic around it: advantages by GAE, whitening, the clipped value loss."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Estimate advantages over the tokens of each completion by generalized advantage estimation (GAE).

    Args:
        rewards: (B, T) reward received after each token.
        values: (B, T) the critic's estimate before each token.
        mask: (B, T) 1 for the tokens of the completion, 0 for the padding on the right.
        gamma: Discount per token, in [0, 1].
        lam: GAE's lambda, in [0, 1].

    Returns:
        Advantages and returns, both (B, T), zero where the mask is zero.

    References:
        arXiv 1506.02438, equations 11 and 16. A completion is an episode, so the value after its last token is zero.
    """
    mask = mask.to(values.dtype)
    advantages = torch.zeros_like(values)
    following_advantage = torch.zeros_like(values[:, 0])
    following_value = torch.zeros_like(values[:, 0])
    for t in reversed(range(values.size(1))):
        delta = rewards[:, t] + gamma * following_value - values[:, t]
        # The mask keeps values at padding away from the episode's last token.
        following_advantage = (delta + gamma * lam * following_advantage) * mask[:, t]
        following_value = values[:, t] * mask[:, t]
        advantages[:, t] = following_advantage
    return advantages, (advantages + values) * mask


def whiten(x: Tensor, mask: Tensor, total: Callable[[Tensor], Tensor] = lambda part: part) -> Tensor:
    """Shift and scale the unmasked entries of `x` (B, T) to mean 0 and variance 1; the others become 0.

    Args:
        x: Entries.
        mask: (B, T) 1 for the entries that count.
        total: Adds up a number over all processes that hold rows of the batch, for the mean and variance of the whole.
    """
    mask = mask.to(x.dtype)
    count = total(mask.sum()).clamp(min=1.0)
    mean = total((x * mask).sum()) / count
    variance = total(((x - mean).square() * mask).sum()) / count
    return (x - mean) * torch.rsqrt(variance + 1e-8) * mask


def clipped_value_loss(values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, cliprange: float) -> Tensor:
    """Return PPO's value loss: half the larger one of the plain and the clipped squared error, averaged over tokens.

    Args:
        values: (B, T) the critic's present estimates.
        old_values: (B, T) the critic's estimates at the time of the rollout.
        returns: (B, T) targets.
        mask: (B, T) 1 for tokens that count.
        cliprange: Distance from the old value at which the gradient stops, > 0.

    Returns:
        A scalar.

    References:
        Not in the PPO paper. OpenAI's baselines and TRL's last PPO trainer use this form.
    """
    clipped = old_values + (values - old_values).clamp(-cliprange, cliprange)
    losses = torch.maximum((values - returns).square(), (clipped - returns).square())
    mask = mask.to(values.dtype)
    return 0.5 * (losses * mask).sum() / mask.sum().clamp(min=1.0)


class Critic(nn.Module):
    """Estimates state values from hidden states of the policy.

    The last layer starts at zero, so the first advantages come from the rewards alone.

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
        """Return the values (B, T) of hidden states (B, T, H)."""
        return self.value(torch.tanh(self.hidden(self.norm(hidden_states.float())))).squeeze(-1)


def variance(values: Tensor) -> Tensor:
    """Return the mean squared distance from the mean; NaN for an empty tensor, for which `Tensor.var` would warn."""
    return (values - values.mean()).square().mean()
