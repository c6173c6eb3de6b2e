"""The passes of the decoding loop on a GPU, recorded as CUDA graphs once and replayed for later tokens and batches.

A small model leaves a GPU idle: at each token Python starts about a thousand kernels of a few microseconds, one by one, and
takes longer over it than the GPU over all of them. A recorded graph starts them at once. It needs shapes and addresses that
do not change. Two passes are recorded:

- that of one token. It attends to the whole memory of the cache and hides by its mask what is not written yet. The passes
  recorded last are kept with the memory of their caches: a later batch of the same shape copies its prompts there;
- that of the first tokens which rows share, such as the class prompts: they are the same in each batch.

`benchmarks/gpu.py` measures what it is worth.
"""

import logging
import weakref
from collections.abc import Callable
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers import DynamicCache

from prompter.decoding.cache import PreallocatedLayer
from prompter.decoding.prefix import Prefix
from prompter.importing import uncollected

logger = logging.getLogger(__name__)

LEAST_STEPS = 12
"""Tokens from which recording pays: it takes as long as a few passes."""

LEAST_STEPS_KEPT = 6
"""The same for a pass that is kept."""

KEPT = 2
"""Recorded passes that a model keeps: that of the policy's openings, and that of the writer's texts."""

PREFIXES = 4
"""Recorded passes of shared first tokens that a model keeps, those of the policy and of the writer. Further shapes pass as
usual."""

COLUMNS = 16
"""The memory of a cache is a multiple of this, so that batches of nearly equal length share a recorded pass."""

TOLERANCE = 0.02
"""Most difference between the logits of both passes, as a share of the largest logit; bfloat16 keeps 8 bits."""

_refused: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()
_refused_prefixes: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()
_checked: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()

_kept: "weakref.WeakKeyDictionary[nn.Module, dict[Any, FixedStep]]" = weakref.WeakKeyDictionary()
"""The newest is the last."""

_prefixes: "weakref.WeakKeyDictionary[nn.Module, dict[Any, FixedPrefix]]" = weakref.WeakKeyDictionary()

Forward = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Takes token ids (B, 1), a mask (B, 1, 1, C) and positions (B, 1), and returns logits (B, V)."""


def can_record(model: nn.Module, cache: DynamicCache) -> bool:
    """Return whether the passes of a decoding loop can be recorded.

    Args:
        model: The transformers model.
        cache: Its cache.
    """
    return (
        next(model.parameters()).device.type == "cuda"
        and getattr(model.config, "_attn_implementation", None) == "sdpa"  # takes a mask of truth values for each row
        and all(type(layer) is PreallocatedLayer for layer in cache.layers)
        and model not in _refused
    )


def pays(steps: int, lasting: bool) -> bool:
    """Return whether it pays to record the pass of a token for the steps that are left; for `lasting` see `is_lasting`."""
    return steps >= (LEAST_STEPS_KEPT if lasting else LEAST_STEPS)


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
        self._graph, self._logits = _recorded(self._pass)
        self.forward = _forgotten  # it holds the model, and a pass that is kept must not

    def _pass(self) -> Tensor:
        visible = (self.mask & (self.columns <= self.column))[:, None, None, :]
        return self.forward(self.ids, visible, self.positions.index_select(1, self.column))


class FixedPrefix:
    """A pass for first tokens that rows share, whose tensors keep their shapes and addresses.

    Args:
        forward: The model; it takes token ids (K, P), a mask (K, P) and positions (K, P), and returns logits (K, V).
        cache: The cache that it writes to.
        prefix: The tokens of the first batch.
    """

    def __init__(self, forward: Forward, cache: DynamicCache, prefix: Prefix) -> None:
        self.forward, self.cache, self.layers = forward, cache, list(cache.layers)
        self.ids, self.mask, self.positions = prefix.input_ids.clone(), prefix.attention_mask.clone(), prefix.positions
        self.states: list[Tensor] = []  # as in `FixedStep`
        self._graph: torch.cuda.CUDAGraph | None = None
        self._logits = torch.empty(0)

    def __call__(self, prefix: Prefix) -> Tensor:
        """Return the logits (K, V) after a prefix of the same shape; the next call overwrites them."""
        self.ids.copy_(prefix.input_ids)
        self.mask.copy_(prefix.attention_mask)
        self.positions.copy_(prefix.positions)
        if self._graph is None:
            self._logits = self.usual()
        else:
            self._graph.replay()
        return self._logits

    def fill(self, cache: DynamicCache, rows: Tensor) -> None:
        """Let an empty cache begin with the keys and values of the last call: row b gets those of prefix `rows[b]`."""
        for layer, own in zip(cache.layers, self.layers, strict=True):
            layer.begin(own.keys, own.values, rows)

    @property
    def recorded(self) -> bool:
        """As in `FixedStep`."""
        return self._graph is not None

    def record(self) -> None:
        """Record the pass."""
        self._graph, self._logits = _recorded(self.usual)
        self.forward, self.cache = _forgotten, DynamicCache()  # a pass that is kept must hold neither model nor batch

    def usual(self) -> Tensor:
        """Return the logits of a pass that is not recorded, which leaves its keys and values in `layers`."""
        self.layers = [PreallocatedLayer(self.ids.shape[1]) for _ in self.layers]
        others, self.cache.layers = self.cache.layers, self.layers
        try:
            return self.forward(self.ids, self.mask, self.positions)
        finally:
            self.cache.layers = others


def recorded_prefix(
    model: nn.Module, forward: Forward, cache: DynamicCache, prefix: Prefix, state: tuple[Any, ...], padded: bool
) -> FixedPrefix | None:
    """Return the recorded pass of first tokens that rows share, or None if it is not recorded.

    The first time, the result is compared with the model's usual pass, as in `recorded_step`.

    Args:
        model: The transformers model.
        forward: See `FixedPrefix`.
        cache: Its empty cache.
        prefix: The tokens.
        state: See `state_of`.
        padded: Whether `forward` reads the mask.
    """
    if model in _refused_prefixes:
        return None
    kept = _prefixes.setdefault(model, {})
    key = (tuple(prefix.input_ids.shape), padded, *state)
    if key in kept or len(kept) >= PREFIXES:
        return kept.get(key)
    begun = FixedPrefix(forward, cache, prefix)
    usual = begun.usual()
    try:
        begun.record()
        _compare(begun(prefix), usual)
        kept[key] = begun
        return begun
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # as in `recorded_step`
        logger.warning("%s: the pass of the class prompts is not recorded as a CUDA graph (%s)", type(model).__name__, error)
        _refused_prefixes.add(model)
        return None


def recorded_step(
    model: nn.Module,
    forward: Forward,
    cache: DynamicCache,
    mask: Tensor,
    positions: Tensor,
    ids: Tensor,
    column: int,
    state: tuple[Any, ...],
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
        state: See `state_of`.
        lasting: Whether the pass may outlive its batch; see `is_lasting`.
    """
    kept = _kept.setdefault(model, {})
    key = (tuple(mask.shape), *state)
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
            _compare(step(ids, column), usual)
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


def _recorded(work: Callable[[], Tensor]) -> tuple[torch.cuda.CUDAGraph, Tensor]:
    """Record some work; return the graph, and the result, which each replay overwrites."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    # Without autocast's store of converted weights: what is made while recording lives in the graph's own memory.
    kind = torch.get_autocast_dtype("cuda")
    with torch.autocast("cuda", dtype=kind, enabled=torch.is_autocast_enabled("cuda"), cache_enabled=False):
        with torch.cuda.stream(stream):
            work()  # libraries allocate their memory at the first call
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Graphs of a model that has gone cannot be freed while another one is recorded.
        with uncollected(), torch.cuda.graph(graph):
            result = work()
    return graph, result


def _compare(recorded: Tensor, usual: Tensor) -> None:
    difference, largest = (recorded - usual).abs().max(), usual.abs().max()
    if not difference <= TOLERANCE * largest:  # both may be zero: a model with random weights may give its padding no logits
        raise ValueError(f"its logits differ by {float(difference):.3g}, and the largest is {float(largest):.3g}")


def forget(model: nn.Module) -> None:
    """Give the memory of a model's recorded passes back."""
    _kept.pop(model, None)
    _prefixes.pop(model, None)


def is_lasting(model: nn.Module) -> bool:
    """Return whether a recorded pass of a model, or of a `PeftModel`, may outlive its batch.

    Autocast converts trained weights once and stores the results until the outermost autocast ends. A recorded pass must not
    read them there, so `cache_enabled=False` surrounds it. But accelerate wraps the `forward` of a model that it prepares in
    an autocast of its own, which stores them all the same: later they would be freed, or those before an update.
    """
    return not torch.is_autocast_enabled("cuda") or "_original_forward" not in vars(model)


def state_of(model: nn.Module) -> tuple[Any, ...]:
    """Return what a recorded pass of a model depends on beside shapes: see `circumstances`, and where its weights lie."""
    return (*circumstances(model), *(parameter.data_ptr() for parameter in model.parameters()))


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
