"""The pass of one token on a GPU, recorded as a CUDA graph once and replayed for all that follow, those of later batches too.

A small model leaves a GPU idle: at each token Python starts about a thousand kernels of a few microseconds, one by one, and
takes longer over it than the GPU over all of them. A recorded graph starts them at once. It needs shapes and addresses that
do not change, so a recorded pass attends to the whole memory of the cache and hides by its mask what is not written yet. The
passes recorded last are kept with the memory of their caches: a later batch of the same shape copies its prompts there.
`benchmarks/gpu.py` measures what it is worth.
"""

import gc
import logging
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers import DynamicCache

from prompter.decoding.cache import PreallocatedLayer

logger = logging.getLogger(__name__)

LEAST_STEPS = 12
"""Tokens from which recording pays: it takes as long as a few passes."""

LEAST_STEPS_KEPT = 6
"""The same for a pass that is kept."""

KEPT = 2
"""Recorded passes that a model keeps: that of the policy's openings, and that of the writer's texts."""

COLUMNS = 16
"""The memory of a cache is a multiple of this, so that batches of nearly equal length share a recorded pass."""

TOLERANCE = 0.02
"""Most difference between the logits of both passes, as a share of the largest logit; bfloat16 keeps 8 bits."""

_refused: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()
_checked: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()

_kept: "weakref.WeakKeyDictionary[nn.Module, dict[Any, FixedStep]]" = weakref.WeakKeyDictionary()
"""The newest is the last."""

Forward = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Takes token ids (B, 1), a mask (B, 1, 1, C) and positions (B, 1), and returns logits (B, V)."""


def can_record(model: nn.Module, cache: DynamicCache, steps: int, lasting: bool) -> bool:
    """Return whether the rest of a decoding loop can replay one pass.

    Args:
        model: The transformers model.
        cache: Its cache, with the prompt in it.
        steps: Passes that are left.
        lasting: See `recorded_step`.
    """
    return (
        steps >= (LEAST_STEPS_KEPT if lasting else LEAST_STEPS)
        and next(model.parameters()).device.type == "cuda"
        and getattr(model.config, "_attn_implementation", None) == "sdpa"  # takes a mask of truth values for each row
        and all(type(layer) is PreallocatedLayer for layer in cache.layers)
        and model not in _refused
    )


class FixedStep:
    """A pass for one token per row whose tensors keep their shapes and addresses.

    Args:
        forward: The model.
        cache: Its cache, of `PreallocatedLayer` alone. From now on, only this pass may write to it.
        mask: (B, C) 1 for tokens and for all columns to come, 0 for padding.
        positions: (B, C) position of each column.
    """

    def __init__(self, forward: Forward, cache: DynamicCache, mask: Tensor, positions: Tensor) -> None:
        self.forward, self.cache, self.mask, self.positions = forward, cache, mask.bool(), positions
        self.columns = torch.arange(mask.shape[1], device=mask.device)
        self.ids = torch.zeros(len(mask), 1, dtype=torch.long, device=mask.device)
        self.column = torch.zeros(1, dtype=torch.long, device=mask.device)
        for layer in cache.layers:
            layer.write_at(self.column)
        self.states: list[Tensor] = []  # what `decode` notes of a recorded pass, which each replay overwrites
        self._graph: torch.cuda.CUDAGraph | None = None
        self._logits = torch.empty(0)

    def __call__(self, ids: Tensor, column: int) -> Tensor:
        """Return the logits (B, V) after tokens (B, 1) in a column; the next call overwrites them if there is a graph."""
        self.ids.copy_(ids)
        self.column.fill_(column)
        if self._graph is None:
            return self._pass()
        self._graph.replay()
        return self._logits

    def take_over(self, cache: DynamicCache, mask: Tensor, positions: Tensor) -> None:
        """Go on from another loop's prompts, of the same shape: copy its keys and values, its mask and its positions.

        The other cache gets the memory of this pass, so that its own is free.
        """
        for own, other in zip(self.cache.layers, cache.layers, strict=True):
            own.copy_prompt(other)
        cache.layers = self.cache.layers
        self.mask.copy_(mask)
        self.positions.copy_(positions)

    @property
    def recorded(self) -> bool:
        """Whether calls replay a graph, which writes to the tensors of the pass that was recorded."""
        return self._graph is not None

    def record(self, column: int) -> None:
        """Record the pass. The column that the next call names is used meanwhile, and overwritten by that call."""
        self.column.fill_(column)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        # Without autocast's store of converted weights: what is made while recording lives in the graph's own memory.
        kind = torch.get_autocast_dtype("cuda")
        with torch.autocast("cuda", dtype=kind, enabled=torch.is_autocast_enabled("cuda"), cache_enabled=False):
            with torch.cuda.stream(stream):
                self._pass()  # libraries allocate their memory at the first call
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with uncollected(), torch.cuda.graph(graph):
                self._logits = self._pass()
        self._graph = graph
        self.forward = _forgotten  # it holds the model, and a pass that is kept must not

    def _pass(self) -> Tensor:
        visible = (self.mask & (self.columns <= self.column))[:, None, None, :]
        return self.forward(self.ids, visible, self.positions.index_select(1, self.column))


def recorded_step(
    model: nn.Module,
    forward: Forward,
    cache: DynamicCache,
    mask: Tensor,
    positions: Tensor,
    ids: Tensor,
    column: int,
    lasting: bool,
) -> FixedStep | None:
    """Return the recorded pass of one token, or None if this model's pass cannot be recorded.

    A pass that is kept from an earlier batch serves a later one of the same shape, while the weights' places, the adapters
    in use and the precision stay the same. The first time, the result is compared with the model's usual pass. A model for
    which they differ is never recorded.

    Args:
        model: The transformers model.
        forward: See `FixedStep`; it must also take a mask (B, column + 1).
        cache: Its cache, filled up to `column`.
        mask: (B, C), see `FixedStep`.
        positions: (B, C), see `FixedStep`.
        ids: (B, 1) the tokens of `column`.
        column: The next column.
        lasting: Whether the pass may outlive its batch; see `is_lasting`.
    """
    kept = _kept.setdefault(model, {})
    key = (tuple(mask.shape), *circumstances(model), *(parameter.data_ptr() for parameter in model.parameters()))
    if (step := kept.pop(key, None)) is not None:
        step.take_over(cache, mask, positions)
        kept[key] = step
        return step
    while lasting and len(kept) >= KEPT:
        del kept[next(iter(kept))]
    usual: Tensor | None = None
    lengths = [layer.keys.shape[-2] for layer in cache.layers]
    if model not in _checked:
        usual = forward(ids, mask[:, : column + 1], positions[:, column : column + 1])
    try:
        step = FixedStep(forward, cache, mask, positions)
        step.ids.copy_(ids)
        step.record(column)
        if usual is not None:
            difference = (step(ids, column) - usual).abs().max() / usual.abs().max()
            if not difference <= TOLERANCE:
                raise ValueError(f"its logits differ by {float(difference):.1%}")
            _checked.add(model)
        if lasting:
            kept[key] = step
        return step
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a model does that cannot be recorded, its usual pass still works
        logger.warning("%s: a token's pass is not recorded as a CUDA graph (%s)", type(model).__name__, error)
        _refused.add(model)
        for layer, length in zip(cache.layers, lengths, strict=True):
            layer.write_at(None, length)
        return None


def forget(model: nn.Module) -> None:
    """Give the memory of a model's recorded passes back."""
    _kept.pop(model, None)


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep Python's garbage collector off within a block that records: no other graph may be freed there."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def is_lasting(model: nn.Module) -> bool:
    """Return whether a recorded pass of a model, or of a `PeftModel`, may outlive its batch.

    Autocast converts trained weights once and stores the results until the outermost autocast ends. A recorded pass must not
    read them there, so `cache_enabled=False` surrounds it. But accelerate wraps the `forward` of a model that it prepares in
    an autocast of its own, which stores them all the same: later they would be freed, or those before an update.
    """
    return not torch.is_autocast_enabled("cuda") or "_original_forward" not in vars(model)


def circumstances(model: nn.Module) -> tuple[Any, ...]:
    """Return what a recorded pass depends on beside shapes and weights: the precision, and the adapters in use."""
    adapted = _adapted(model)
    adapters = None if adapted is None else (adapted.disable_adapters, tuple(adapted.active_adapters))
    return torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None, adapters


def _adapted(model: nn.Module) -> BaseTunerLayer | None:
    """Return a layer with adapters, whose state is that of all such layers; None if there is none."""
    return next((module for module in model.modules() if isinstance(module, BaseTunerLayer)), None)


def _forgotten(*_: Tensor) -> Tensor:
    raise AssertionError("a recorded pass is replayed")
