"""The key/value cache of the decoding loop: memory that is allocated once, and rows that share a prefix."""

import inspect

from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer, LinearAttentionCacheLayerMixin


class PreallocatedLayer(DynamicLayer):
    """Keys and values of one layer, in memory that is allocated once; transformers copies all of them at every token.

    Args:
        capacity: Most positions that it can hold.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self._column: Tensor | None = None
        self._key_memory: Tensor
        self._value_memory: Tensor

    def write_at(self, column: Tensor | None, length: int = 0) -> None:
        """Let `update` write to one column of memory that keeps its address and size, and return all of it.

        Args:
            column: (1,) where each next token goes; None to append again.
            length: With None, how many columns hold tokens.
        """
        self._column = column
        if column is None:
            self.keys, self.values = self._key_memory[:, :, :length], self._value_memory[:, :, :length]
            return
        length = self.get_seq_length()
        for memory in (self._key_memory, self._value_memory):
            memory[:, :, length:] = 0  # a weight of zero does not hide NaN

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        """Append keys and values of shape (B, heads, n, size), and return views of all of them."""
        if self._column is not None:
            self._key_memory.index_copy_(2, self._column, key_states)
            self._value_memory.index_copy_(2, self._column, value_states)
            return self._key_memory, self._value_memory
        begin = self.get_seq_length()
        if begin == 0:
            self.dtype, self.device, self.is_initialized = key_states.dtype, key_states.device, True
            self._key_memory, self._value_memory = (
                states.new_empty(*states.shape[:2], self.capacity, states.shape[-1]) for states in (key_states, value_states)
            )
        end = begin + key_states.shape[-2]
        self._key_memory[:, :, begin:end] = key_states
        self._value_memory[:, :, begin:end] = value_states
        self.keys, self.values = self._key_memory[:, :, :end], self._value_memory[:, :, :end]
        return self.keys, self.values

    def begin(self, keys: Tensor, values: Tensor, rows: Tensor) -> None:
        """Begin with keys and values (K, heads, n, size) that B rows share: row b gets those of `rows[b]`, in fresh memory."""
        shape = len(rows), keys.shape[1], self.capacity, keys.shape[3]
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self._key_memory, self._value_memory = keys.new_empty(shape), values.new_empty(shape)
        length = keys.shape[2]
        self.keys, self.values = self._key_memory[:, :, :length], self._value_memory[:, :, :length]
        self.keys.copy_(keys[rows])
        self.values.copy_(values[rows])

    def copy_prompt(self, other: "PreallocatedLayer") -> None:
        """Copy what another layer of the same shape holds into this memory, and zero the columns that follow it."""
        length = other.keys.shape[-2]
        for memory, states in ((self._key_memory, other.keys), (self._value_memory, other.values)):
            memory[:, :, :length] = states
            memory[:, :, length:] = 0

    def batch_select_indices(self, indices: Tensor) -> None:
        """Make these rows the batch; a row may occur several times."""
        length = self.keys.shape[-2]
        self._key_memory, self._value_memory = self._key_memory[indices], self._value_memory[indices]
        self.keys, self.values = self._key_memory[:, :, :length], self._value_memory[:, :, :length]


def new_cache(model: PreTrainedModel, capacity: int) -> DynamicCache:
    """Return the model's kind of cache with preallocated plain layers; sliding-window and recurrent ones stay."""
    cache = DynamicCache(config=model.config)
    cache.layers = [PreallocatedLayer(capacity) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def can_select_rows(cache: DynamicCache) -> bool:
    """Return whether every layer of the cache can select rows: attention layers can, recurrent ones cannot."""
    return all(
        isinstance(layer, DynamicLayer) and not isinstance(layer, LinearAttentionCacheLayerMixin) for layer in cache.layers
    )


def keeps_gaps(model: PreTrainedModel, cache: DynamicCache, capacity: int) -> bool:
    """Return whether padding between two tokens may count as distance between them.

    It does in a sliding window that is shorter than `capacity`, and it may where a model takes no position ids.
    """
    if "position_ids" not in inspect.signature(type(model).forward).parameters:
        return True
    windows = [layer.sliding_window for layer in cache.layers if isinstance(layer, DynamicSlidingWindowLayer)]
    if "local" in (getattr(model.config, "attention_layers", None) or ()):  # GPT-Neo keeps the window out of its cache
        windows.append(model.config.window_size)
    return any(window < capacity for window in windows)
