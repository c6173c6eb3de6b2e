"""The policy's passes of an update on a GPU, there and back: recorded as CUDA graphs once and replayed for later updates.

Completions are short, so an update of a small policy is some ten thousand kernels of a few microseconds, and Python takes
longer to start them than the GPU to run them. Replayed graphs start them at once. `prompter.decoding.graphs` does the same
for the pass of a token, without a way back. `benchmarks/gpu.py` measures what it is worth.
"""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from prompter.decoding.contexts import unwrapped
from prompter.decoding.graphs import circumstances
from prompter.importing import uncollected
from prompter.rl.completions import Scores, score_completions, shared_pays

logger = logging.getLogger(__name__)

MOST = 4
"""Recorded passes: of the policy and of its reference, with two widths of prompts each. Further shapes pass as usual."""

COLUMNS = 16
"""Prompts are padded to a multiple of this, so that minibatches of nearly equal width share a recorded pass."""

TOLERANCE = 0.02
"""Most difference between both ways, as a share of the norm of all log-probabilities, or of all gradients."""

Pass = Callable[..., Any]
"""Takes token ids and mask (B, P + T); returns log-probabilities, hidden states and, if they were asked for, entropies."""


class RecordedScores:
    """Scores completions as `score_completions` does, by replaying recorded passes where that is possible and pays.

    It is possible on a GPU for a model without dropout that keeps its activations. The first time, log-probabilities and
    gradients are compared with those of the usual pass, and a model for which they differ is never recorded.

    Args:
        model: A transformers causal LM, or a `PeftModel` of one. Its weights must change in place, as optimizers do; adapters
            may be turned on and off.
        length: T, the most tokens of a completion. Those that are shorter are padded.
        pad_token_id: Token that pads.
    """

    def __init__(self, model: nn.Module, length: int, pad_token_id: int) -> None:
        self.model, self.length, self.pad_token_id = model, length, pad_token_id
        self.passes: dict[Any, Pass | None] = {}
        """None for passes that are not recorded. The keys are cheap: to look at all modules takes as long as a replay."""
        self.refused = False

    def __call__(self, input_ids: Tensor, attention_mask: Tensor, length: int, **options: Any) -> Scores:
        """Score completions; see `score_completions` for the arguments.

        Where a gradient is recorded, the next call overwrites it: each call's way back must be gone before the next one.
        """
        if self.refused:
            return score_completions(self.model, input_ids, attention_mask, length, **options)
        around = (-(input_ids.size(1) - length) % COLUMNS, self.length - length)
        ids = nn.functional.pad(input_ids, around, value=self.pad_token_id)
        mask = nn.functional.pad(attention_mask, around)
        now = (self.model.training, torch.is_grad_enabled(), *circumstances(self.model))
        key = (ids.shape, *now, *sorted(options.items()))
        if key not in self.passes:
            self.passes[key] = self._recorded(ids, mask, options)
        if (step := self.passes[key]) is None:
            return score_completions(self.model, input_ids, attention_mask, length, **options)
        logps, states, *entropies = (tensor[:, :length].clone() for tensor in step(ids, mask))
        return Scores(logps, entropies[0] if entropies else None, states.detach())

    def _possible(self, ids: Tensor) -> bool:
        """Return whether a pass of rows of this shape can be recorded and is not better shared by the rows."""
        base = unwrapped(self.model)
        return (
            base.device.type == "cuda"
            and sum(step is not None for step in self.passes.values()) < MOST
            and not shared_pays(base, *ids.shape)
            and not getattr(base, "is_gradient_checkpointing", False)  # it looks at the state of random generators
            and not any(isinstance(module, nn.Dropout) and module.training and module.p for module in base.modules())
        )

    def _recorded(self, ids: Tensor, mask: Tensor, options: dict[str, Any]) -> Pass | None:
        """Record a pass for rows of a shape; return None if there are enough of them, or if it cannot be recorded."""
        if not self._possible(ids):
            return None
        try:
            return self._compared(ids, mask, options)
        except Exception as error:  # whatever a model does that cannot be recorded, its usual pass still works
            name, reason = type(unwrapped(self.model)).__name__, str(error).partition("\n")[0]
            logger.warning("%s: updates are not recorded as CUDA graphs (%s)", name, reason)
            self.refused = True
            self.passes.clear()
            torch.cuda.empty_cache()
            return None

    def _compared(self, ids: Tensor, mask: Tensor, options: dict[str, Any]) -> Pass:
        """Record a pass and compare it with the usual one.

        Raises:
            ValueError: They differ.
        """
        plain = _Plain(self.model, self.length, options)
        # The converted weights that autocast has stored hold nodes of torch's graph that belong to the usual stream, and a way
        # back that meets them cannot be recorded. As in training, the way back is outside autocast.
        torch.clear_autocast_cache()
        with torch.autocast("cuda", enabled=False), uncollected():
            usual = self._sample(plain, ids, mask)
            step = torch.cuda.make_graphed_callables(plain, (ids.clone(), mask.clone()), allow_unused_input=True)
            recorded = self._sample(step, ids, mask)
        for name, expected, found in zip(("log-probabilities", "gradients"), usual, recorded, strict=True):
            difference = (found - expected).norm() / expected.norm().clamp(min=1e-12)
            if not difference <= TOLERANCE:
                raise ValueError(f"its {name} differ by {float(difference):.1%}")
        return step

    def _sample(self, step: Pass, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities of a pass, and the gradients of their mean as one vector."""
        logps = step(ids, mask)[0]
        if not logps.requires_grad:
            return logps.detach().clone(), logps.new_zeros(1)
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        gradients = torch.autograd.grad(logps.mean(), trained, allow_unused=True)
        return logps.detach().clone(), torch.cat([part.flatten().float() for part in gradients if part is not None])


class _Plain(nn.Module):
    """What is recorded: whole rows, tensors in and tensors out."""

    def __init__(self, model: nn.Module, length: int, options: dict[str, Any]) -> None:
        super().__init__()
        self.model, self.length, self.options = model, length, options
        self.autocast = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        enabled, kind = self.autocast
        with torch.autocast("cuda", dtype=kind, enabled=enabled, cache_enabled=False):
            scores = score_completions(self.model, ids, mask, self.length, share=False, **self.options)
        return (scores.logps, scores.hidden_states, *([] if scores.entropies is None else [scores.entropies]))
