"""The student's optimizer: AdamW, clipped gradients, and a learning rate that warms up and then falls."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import get_scheduler

from distill.config import DistillConfig
from distill.processes.group import ALONE, Processes

MAX_GRADIENT_NORM = 1.0

# Names of the schedules in transformers.
SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


class StudentOptimizer:
    """AdamW with the schedule of a `DistillConfig`.

    Args:
        parameters: Trained weights. Weight decay applies to matrices only, not to biases and norms.
        config: Settings of the student.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], config: DistillConfig) -> None:
        self.parameters = list(parameters)
        self.peak = config.student_learning_rate
        decayed = [parameter for parameter in self.parameters if parameter.ndim >= 2]
        others = [parameter for parameter in self.parameters if parameter.ndim < 2]
        groups = [{"params": decayed, "weight_decay": config.student_weight_decay},
                  {"params": others, "weight_decay": 0.0}]  # fmt: skip
        self.adamw = torch.optim.AdamW(groups, lr=self.peak, fused=True)
        self._warmup = round(config.student_warmup_share * config.student_updates)
        self._schedule = get_scheduler(
            SCHEDULES[config.student_schedule],
            self.adamw,
            num_warmup_steps=self._warmup,
            num_training_steps=max(config.student_updates, self._warmup + 1),
        )

    def rate(self, update: int) -> float:
        """Return the learning rate of an update, counted from 0.

        The rate depends on the number of the update alone, so checkpoints hold no state of the schedule. The schedules of
        transformers are 0 at their first step; the warm-up here begins one step later, so that no update is wasted.
        """
        return self.peak * self._schedule.lr_lambdas[0](update + 1 if update < self._warmup else update)

    def step(self, loss: Tensor, update: int, processes: Processes = ALONE) -> Tensor:
        """Make one update, counted from 0, that lowers the loss, summed over the processes; return it, detached."""
        self.adamw.zero_grad(set_to_none=True)
        loss.backward()
        whole = processes.sum_gradients(self.parameters, loss)
        nn.utils.clip_grad_norm_(self.parameters, MAX_GRADIENT_NORM)
        for group in self.adamw.param_groups:
            group["lr"] = self.rate(update)
        self.adamw.step()
        return whole.detach()

    def state_dict(self) -> dict[str, Any]:
        """Return AdamW's moments and settings."""
        return self.adamw.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.adamw.load_state_dict(state)


def all_weights(model: nn.Module, terms: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Return the weights that are trained together: of a model, and of terms of its loss under their prefixes."""
    weights = dict(model.state_dict())
    for name, term in terms.items():
        weights |= {f"{name}.{key}": weight for key, weight in term.state_dict().items()}
    return weights


def set_weights(model: nn.Module, terms: Mapping[str, nn.Module], weights: Mapping[str, Tensor]) -> None:
    """Give a model and the terms of its loss what `all_weights` returned.

    Raises:
        RuntimeError: The weights are of another model or other terms.
    """
    rest = dict(weights)
    for name, term in terms.items():
        own = [key for key in rest if key.startswith(f"{name}.")]
        term.load_state_dict({key.removeprefix(f"{name}."): rest.pop(key) for key in own})
    model.load_state_dict(rest)
