"""Models applied to a corpus: the likelihood of its texts under a language model, and their embeddings.

Both read the texts sorted by length, in batches with small activations, and at most `LONGEST` tokens of each text.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from distill.checkpoints.static_model import StaticConfig
from distill.common import encode
from distill.common.errors import InputError
from distill.common.hub import load_config, load_model, load_tokenizer
from distill.common.precision import autocast, resolve_device, weight_dtype
from distill.language_models.special_tokens import start_token

LONGEST = 512
"""Tokens read per text."""

LOGITS = 2**25
"""Logits of a language model per batch: 128 MB in float32."""


def mean_logprobs(writer: str, texts: Sequence[str], device: str = "auto") -> np.ndarray:
    """Compute how likely texts are under a language model.

    Args:
        writer: Folder or hub id of a causal language model.
        texts: N texts.
        device: Device of the model.

    Returns:
        (N,) float64, the mean log-probability of the tokens of each text after the token that starts a document (nats,
        <= 0); NaN for a text without tokens.

    Raises:
        InputError: The model cannot be loaded, or its tokenizer has neither a BOS nor an EOS token.
    """
    place = resolve_device(device)
    model = load_model(AutoModelForCausalLM, writer, "writer", place, weight_dtype(place))
    tokenizer = load_tokenizer(writer, "writer")
    start = start_token(model.generation_config, tokenizer)
    if start is None:
        raise InputError(f"writer: the tokenizer of {writer} has neither a BOS nor an EOS token; set its bos_token.")
    longest = encode.usable_length(model, tokenizer, LONGEST) - 1
    rows = [
        [start, *ids[:longest]]
        for begin in range(0, len(texts), encode.TOKENISED_AT_ONCE)
        for ids in tokenizer(list(texts[begin : begin + encode.TOKENISED_AT_ONCE]), add_special_tokens=False)["input_ids"]
    ]
    means = np.full(len(texts), np.nan)
    budget = max(1, min(encode.BATCH_TOKENS.get(place.type, 4096), LOGITS // model.config.vocab_size))
    for batch in _batches([len(row) for row in rows], budget):
        width = len(rows[batch[0]])
        if width == 1:
            break  # rows are sorted: the rest has no tokens either
        ids = torch.tensor([rows[row] + [start] * (width - len(rows[row])) for row in batch])
        mask = torch.arange(width) < torch.tensor([len(rows[row]) for row in batch])[:, None]
        with torch.inference_mode(), autocast(place):
            logits = model(input_ids=ids.to(place), attention_mask=mask.long().to(place)).logits[:, :-1]
        losses = nn.functional.cross_entropy(logits.float().transpose(1, 2), ids[:, 1:].to(place), reduction="none").cpu()
        scored = mask[:, 1:]
        sums, counts = (losses * scored).double().sum(dim=1), scored.sum(dim=1)
        means[batch] = torch.where(counts > 0, -sums / counts, torch.nan).numpy()
    return means


def load_encoder(name: str, device: str = "auto") -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model without its head, for embeddings from its last hidden states.

    Raises:
        InputError: The model cannot be loaded, or it is an encoder-decoder.
    """
    config = load_config(name, "encoder")
    if config.is_encoder_decoder:
        raise InputError(f"encoder: {name} is an encoder-decoder; give an encoder (such as BERT) or a decoder.")
    if config.model_type == StaticConfig.model_type:
        raise InputError(
            f"encoder: {name} holds vectors of tokens and no layers; give an encoder (such as BERT) or a decoder."
        )
    place = resolve_device(device)
    return load_model(AutoModel, name, "encoder", place, weight_dtype(place)), load_tokenizer(name, "encoder")


def has_layers(model: PreTrainedModel) -> bool:
    """Return whether a classifier has layers below its head whose states `embeddings` reads; a static student has none."""
    return model.base_model is not model and not model.config.is_encoder_decoder


def embeddings(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> np.ndarray:
    """Return the mean of a model's last hidden states over the tokens of each text.

    Args:
        model: Any model of transformers except an encoder-decoder; a head is not used.
        tokenizer: Its tokenizer, with a padding token.
        texts: N texts.

    Returns:
        (N, H) float32.

    Raises:
        InputError: The states are not finite.
    """
    table = encode.token_table(model, tokenizer, LONGEST)
    table.put(torch.arange(len(texts)), texts)
    found: Tensor | None = None
    for batch in _batches(table.lengths[: len(texts)].tolist(), encode.BATCH_TOKENS.get(model.device.type, 4096)):
        inputs = table.gather(torch.tensor(batch), model.device)
        if not encode.takes_token_types(model.base_model):
            inputs.pop("token_type_ids", None)
        with torch.inference_mode(), autocast(model.device):
            states = model.base_model(**inputs).last_hidden_state.float()
        mask = inputs["attention_mask"][:, :, None]
        means = ((states * mask).sum(dim=1) / mask.sum(dim=1)).cpu()
        found = torch.empty(len(texts), means.shape[1]) if found is None else found
        found[batch] = means
    assert found is not None
    if not found.isfinite().all():
        raise InputError(f"encoder: {model.name_or_path} gives states that are not finite; give another one with --encoder.")
    return found.numpy()


def _batches(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Yield row numbers, longest rows first, in batches of at most `tokens` padded tokens, or of one row."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    begin = 0
    while begin < len(order):
        size = max(1, tokens // max(1, lengths[order[begin]]))
        yield order[begin : begin + size]
        begin += size
