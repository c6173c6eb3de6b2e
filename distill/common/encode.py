"""Give texts to models fast: tokenise once, sort by length, pad to few shapes.

Two things make a small classifier slow. The first is padding: a batch is as long as its longest text, so texts of similar
length go into one batch. The second is new shapes: many kernels are compiled or chosen per shape, so lengths are rounded up to
multiples of 16. On a CPU in float32 a new shape costs nothing, and multiples of 4 pad less. Teacher and student share this
code, each with its own tokenizer, because they exchange texts and not token ids.

A third thing is computed for nothing: most of the last layer. A classifier of BERT's kind reads its first position alone, and
a loss about hidden words reads the positions of these words. The others are needed as keys and values only, see
`last_layer_at`.
"""

import inspect
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

from distill.common.precision import autocast, compute_dtype

# The tokenizer returns Python lists. Portions bound their memory.
TOKENISED_AT_ONCE = 4096

# Padded tokens per scoring batch: few enough for the cache of a CPU, and enough rows to keep a GPU busy.
BATCH_TOKENS = {"cpu": 4096, "cuda": 65536}

# The same for models of 128 and wider on a CPU, where less padding and what stays in the cache are worth more than few calls:
# a teacher of six layers, 384 wide, takes 8.4 ms a text instead of 10.9.
WIDE_ON_CPU, WIDE_BATCH_TOKENS = 128, 1024

# These families number positions from pad_token_id + 1, so they never use the first rows of their position table.
OFFSET_POSITIONS = {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "roberta-prelayernorm", "data2vec-text",
                    "longformer", "mpnet", "xmod", "ibert"}  # fmt: skip

POSITION_TABLES = {"position_embeddings", "wpe"}
"""Names of the tables of learned positions."""

READS_FIRST = {"bert", "roberta", "xlm-roberta", "camembert", "electra"}
"""Families whose classifier reads the first position alone, after a last layer whose keys may come from a cache."""

NARROWEST = 128
"""Width of a model from which this is used. In narrower ones Python takes longer than what is left out."""

COUNTED = 2000
"""Texts that are looked at for the share that is cut."""

_SHORTENING = threading.Lock()
"""Held while a layer gets another `forward`: only one thread at a time shortens a model's last layer."""


class TokenTable:
    """Token ids of many texts in one matrix, so that batches are gathered without work per text.

    Args:
        tokenizer: A fast tokenizer with a padding token.
        max_length: Longer texts (or pairs) are cut to this many tokens.
        token_types: Whether the model takes `token_type_ids`, which mark the second text of a pair.
        pads_left: Whether the model looks at the last position of a batch, padding or not.
        end_token: Token at which the model looks, and of which each row must hold as many as every other.
        pad_id: Token that fills shorter rows; None: the tokenizer's.

    Attributes:
        pad_id: As given, or the tokenizer's.
        offsets: Whether the tokenizer is asked where each token lies in its text.
        unpadded: Whether batches get no padding at all, so that they can hold rows of one length only.
    """

    offsets = False
    unpadded = False

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        token_types: bool,
        pads_left: bool = False,
        end_token: int | None = None,
        pad_id: int | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.token_types = token_types
        # A tokenizer cuts and pads as it was asked to last, by any thread. So each call asks for the same.
        self._cutting: dict[str, Any] = {
            "truncation": True,
            "max_length": max_length,
            "padding": True,
            "padding_side": "right",
        }
        # XLNet marks its last token in texts without a pair too.
        types = tokenizer("", return_token_type_ids=True, **self._cutting).get("token_type_ids") if token_types else None
        self._types_of_singles = any(types or ())
        self.pads_left = pads_left
        self.end_token = end_token
        self.pad_id = int(tokenizer.pad_token_id) if pad_id is None else pad_id
        self.ids = torch.empty(0, 0, dtype=torch.int32)
        self.types: Tensor | None = None
        self.lengths = torch.empty(0, dtype=torch.int64)

    def put(self, rows: Tensor, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> None:
        """Tokenise texts and store them under the given row numbers, (N,) int64 >= 0; replace what was there."""
        for start in range(0, len(texts), TOKENISED_AT_ONCE):
            part = slice(start, start + TOKENISED_AT_ONCE)
            self._put(rows[part], texts[part], None if text_pairs is None else text_pairs[part])

    def outputs_of(self, logits: Tensor, rows: Tensor) -> Tensor:
        """Return the outputs for `rows` from what the model gave for `gather(rows)`."""
        return logits

    def _put(self, rows: Tensor, texts: Sequence[str], text_pairs: Sequence[str] | None) -> BatchEncoding:
        encoded = self.tokenizer(
            list(texts),
            None if text_pairs is None else list(text_pairs),
            **self._cutting,
            return_tensors="pt",
            return_attention_mask=True,  # FNet's tokenizer gives none by itself
            return_token_type_ids=self.token_types and (text_pairs is not None or self._types_of_singles),
            return_special_tokens_mask=self.end_token is not None,
            return_offsets_mapping=self.offsets,
        )
        ids, lengths = encoded["input_ids"].int(), encoded["attention_mask"].sum(dim=1)
        ids[encoded["attention_mask"] == 0] = self.pad_id
        if self.end_token is not None:  # its spelling inside a text is no end
            spelled = (ids == self.end_token) & (encoded["special_tokens_mask"] == 0) & (encoded["attention_mask"] == 1)
            unknown = self.tokenizer.unk_token_id
            ids[spelled] = self.pad_id if unknown in (None, self.end_token) else unknown
        if ids.shape[1] == 0:  # every text is empty and the tokenizer adds no special tokens
            ids = ids.new_full((len(texts), 1), self.pad_id)
        # A text without tokens becomes one padding token, because a model needs at least one position.
        lengths = lengths.clamp_min(1)
        self._grow(int(rows.max()) + 1, ids.shape[1])
        self.ids[rows] = self.pad_id
        self.ids[rows, : ids.shape[1]] = ids
        self.lengths[rows] = lengths
        if "token_type_ids" in encoded:
            if self.types is None:
                self.types = torch.zeros(self.ids.shape, dtype=torch.int8)
            self.types[rows] = 0
            self.types[rows, : ids.shape[1]] = encoded["token_type_ids"].to(torch.int8)
        return encoded

    def gather(self, rows: Tensor, device: torch.device) -> dict[str, Tensor]:
        """Return the model inputs of `rows`, each (N, L) on `device`; L is the length of the longest row, rounded up.

        Where the table is `unpadded`, it is that length itself.
        """
        lengths = self.lengths[rows]
        width = padded_length(int(lengths.max()), self.max_length, 1 if self.unpadded else length_step(device))
        kept = min(width, self.ids.shape[1])
        ids = self.ids[:, :kept].index_select(0, rows).long()
        if kept < width:
            ids = torch.nn.functional.pad(ids, (0, width - kept), value=self.pad_id)
        inputs = {"input_ids": ids, "attention_mask": (torch.arange(width) < lengths[:, None]).long()}
        if self.types is not None:
            types = self.types[:, :kept].index_select(0, rows).long()
            inputs["token_type_ids"] = torch.nn.functional.pad(types, (0, width - kept))
        if self.pads_left:
            rolled = (torch.arange(width) + lengths[:, None]) % width
            inputs = {name: tensor.gather(1, rolled) for name, tensor in inputs.items()}
        return {name: tensor.to(device) for name, tensor in inputs.items()}

    def _grow(self, rows: int, width: int) -> None:
        """Make room for at least `rows` rows of `width` tokens. The rows double, so that growing costs O(1) per text."""
        old_rows, old_width = self.ids.shape
        if rows <= old_rows and width <= old_width:
            return
        rows = max(rows, 2 * old_rows) if rows > old_rows else old_rows
        width = max(width, old_width)
        add = (0, width - old_width, 0, rows - old_rows)
        self.ids = torch.nn.functional.pad(self.ids, add, value=self.pad_id)
        self.lengths = torch.nn.functional.pad(self.lengths, (0, rows - old_rows), value=1)
        if self.types is not None:
            self.types = torch.nn.functional.pad(self.types, add)


def length_step(device: torch.device) -> int:
    """Return the step that lengths are rounded up to: 4 on a CPU that computes in float32, else 16."""
    return 4 if device.type == "cpu" and compute_dtype(device) == torch.float32 else 16


def padded_length(length: int, max_length: int, step: int) -> int:
    """Return a token count rounded up to a multiple of `step`, but at most `max_length`.

    Examples:
        >>> padded_length(17, 128, 16), padded_length(17, 128, 4), padded_length(127, 127, 16)
        (32, 20, 127)
    """
    return min(math.ceil(length / step) * step, max_length)


def takes_token_types(model: PreTrainedModel) -> bool:
    """Return whether the model tells the texts of a pair apart by `token_type_ids`: BERT does, DistilBERT does not.

    RoBERTa has the argument, but a single type.
    """
    several = getattr(model.config, "type_vocab_size", 2) > 1
    return several and "token_type_ids" in inspect.signature(model.forward).parameters


def usable_length(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length: int) -> int:
    """Return how many tokens the model can read, at most `max_length`."""
    config = model.config
    limits = [max_length, int(tokenizer.model_max_length)]
    positions = getattr(config, "max_position_embeddings", None)  # families with relative positions have none
    if positions and positions > 0:  # XLNet says -1
        limits.append(positions - (config.pad_token_id + 1 if config.model_type in OFFSET_POSITIONS else 0))
    for name, module in model.named_modules():  # some families call their limit otherwise, or number from the padding too
        if name.rpartition(".")[2] in POSITION_TABLES and isinstance(module, torch.nn.Embedding):
            limits.append(module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1))
    return min(limits)


def cut_share(
    tokenizer: PreTrainedTokenizerBase, max_length: int, texts: Sequence[str], text_pairs: Sequence[str] | None = None
) -> float:
    """Return the share of texts (or pairs) that are longer than `max_length` tokens; of many, `COUNTED` are looked at."""
    if not len(texts):
        return 0.0
    chosen = range(0, len(texts), max(1, len(texts) // COUNTED))
    pairs = None if text_pairs is None else [text_pairs[row] for row in chosen]
    encoded = tokenizer([texts[row] for row in chosen], pairs, truncation=False, verbose=False, return_attention_mask=False)
    return sum(len(ids) > max_length for ids in encoded["input_ids"]) / len(chosen)


def token_table(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length: int) -> TokenTable:
    """Return an empty table that encodes texts as `model` reads them."""
    # A tokenizer that does not list `token_type_ids` did not produce them when the model was trained.
    token_types = takes_token_types(model) and "token_type_ids" in tokenizer.model_input_names
    config = model.config
    # XLNet reads the last position, padding or not, whatever side its tokenizer pads.
    pads_left = getattr(config, "summary_type", None) == "last" and hasattr(model, "sequence_summary")
    end = config.eos_token_id if config.is_encoder_decoder and isinstance(config.eos_token_id, int) else None  # BART, T5
    said = getattr(config, "pad_token_id", None)  # classifiers of GPT's kind read the last token that is not this one
    pad_id = said if isinstance(said, int) and said >= 0 else None
    return TokenTable(tokenizer, usable_length(model, tokenizer, max_length), token_types, pads_left, end, pad_id)


class _OtherPositions:
    """Keys and values of all positions, in the place of a cache: attention asks it for them."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys, values

    def update(self, *_: Any) -> tuple[Tensor, Tensor]:
        """Return them, whatever was computed of the chosen positions again."""
        return self.keys, self.values


@contextmanager
def last_layer_at(model: PreTrainedModel, positions: Tensor | None = None) -> Iterator[bool]:
    """Let the last layer of a classifier compute some positions alone within a block.

    Outputs and gradients stay the same up to rounding. Of what is left out, only keys and values are computed: of a layer's
    matrix products, a sixth. Ours. Of several threads that use one model, the first one has this, and the others compute the
    whole layer meanwhile.

    Args:
        model: A classifier of whole texts; any other model stays as it is. So does a model with dropout in training, because
            it would draw other random numbers.
        positions: (N, P) int64, the positions of each of N texts; None: the first one.

    Yields:
        Whether it does. The last hidden states are then (N, P, H), in the order of the positions.
    """
    layer = _last_layer(model)
    if layer is None:
        yield False
        return
    attention, owner = layer.attention.self, threading.get_ident()

    def forward(hidden_states: Tensor, attention_mask: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
        if threading.get_ident() != owner:
            return whole(hidden_states, attention_mask, *args, **kwargs)
        heads = (*hidden_states.shape[:-1], -1, attention.attention_head_size)
        keys, values = (f(hidden_states).view(heads).transpose(1, 2) for f in (attention.key, attention.value))
        # All positions of a text see the same others, so the mask of one is that of each.
        mask = attention_mask if attention_mask is None or attention_mask.ndim < 4 else attention_mask[:, :, :1]
        kwargs["past_key_values"] = _OtherPositions(keys, values)
        if positions is None:
            return whole(hidden_states[:, :1], mask, *args, **kwargs)
        chosen = hidden_states.gather(1, positions[..., None].expand(-1, -1, hidden_states.shape[-1]))
        return whole(chosen, mask, *args, **kwargs)

    with _SHORTENING:
        free = "forward" not in vars(layer)
        if free:
            whole, layer.forward = layer.forward, forward
    if not free:
        yield False
        return
    try:
        yield True
    finally:
        del layer.forward  # restores the method of the class


def _last_layer(model: PreTrainedModel) -> Any:
    """Return the last layer of a classifier that reads the first position of it alone, or None."""
    config = model.config
    if getattr(config, "model_type", None) not in READS_FIRST or getattr(config, "is_decoder", False):
        return None
    if not type(model).__name__.endswith("ForSequenceClassification"):  # one that tags words reads all positions
        return None
    dropout = config.hidden_dropout_prob or config.attention_probs_dropout_prob
    if config.hidden_size < NARROWEST or (model.training and dropout):
        return None
    if model._compiled_call_impl is not None:  # a layer that changes would be compiled again at each call
        return None
    if config._attn_implementation not in ("sdpa", "eager"):  # flash attention takes masks of another form
        return None
    return model.base_model.encoder.layer[-1]


def default_batch_tokens(model: PreTrainedModel) -> int:
    """Return how many padded tokens a model classifies at once."""
    if model.device.type == "cpu" and getattr(model.config, "hidden_size", 0) >= WIDE_ON_CPU:
        return WIDE_BATCH_TOKENS
    return BATCH_TOKENS.get(model.device.type, BATCH_TOKENS["cpu"])


def outputs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    text_pairs: Sequence[str] | None = None,
    *,
    max_length: int = 128,
    batch_tokens: int | None = None,
    table: TokenTable | None = None,
) -> Tensor:
    """Return the raw outputs of a classifier in evaluation mode.

    Args:
        model: A sequence classifier. Its mode (train or eval) is restored afterwards.
        tokenizer: The model's tokenizer, with a padding token.
        texts: N texts.
        text_pairs: N second texts for pair tasks.
        max_length: Longer inputs are cut to this many tokens, and to what the model can read.
        batch_tokens: Padded tokens per forward pass; None chooses by device.
        table: An empty table that encodes the texts; None: `token_table`, for a classifier of whole texts.

    Returns:
        (N, C) float32 on the CPU, in the order of `texts`; what `table.outputs_of` makes of them where it is given.
    """
    if not len(texts):
        return torch.empty(0, model.config.num_labels)
    device = model.device
    table = table or token_table(model, tokenizer, max_length)
    table.put(torch.arange(len(texts)), texts, text_pairs)
    budget = batch_tokens or default_batch_tokens(model)
    order = torch.argsort(table.lengths[: len(texts)], descending=True, stable=True)
    was_training = model.training
    model.eval()
    scored = []
    start, step = 0, length_step(device)
    with last_layer_at(model):
        while start < len(order):
            longest = int(table.lengths[order[start]])
            width = padded_length(longest, table.max_length, step)
            rows = order[start : start + max(8, budget // width // 8 * 8)]
            if table.unpadded:
                rows = rows[table.lengths[rows] == longest]
            with torch.inference_mode(), autocast(device, trained=model.dtype == torch.float32):
                logits = model(**table.gather(rows, device)).logits
                scored.append(table.outputs_of(logits, rows).float())
            start += len(rows)
    model.train(was_training)
    # A tensor made in inference mode could never take part in a loss, so this one is made outside.
    result = torch.empty(len(order), *scored[0].shape[1:])
    result[order] = torch.cat(scored).cpu()
    return result
