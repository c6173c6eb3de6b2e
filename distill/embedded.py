"""Samples that are word embeddings instead of texts: pad them, classify them, and show them as text.

Such an embedding is a point between words, so the sample has no text. It is stored as a matrix of its own length in float16,
and padded only in a batch. That halves the memory. The rounding of one part in 2,000 is far below the distance between two
words. Everything reads the rounded values, so a stopped run learns from the same numbers as one that was never stopped.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from distill.common.encode import BATCH_TOKENS, last_layer_at, length_step, padded_length, takes_token_types
from distill.common.precision import autocast

# Tokens compared with the whole vocabulary at once: with 30,000 words, 120 MB.
TOKENS_AT_ONCE = 1024


def word_table(model: PreTrainedModel) -> Tensor:
    """Return the word embeddings of a classifier, (V, H), without gradients."""
    table = model.get_input_embeddings()
    assert isinstance(table, nn.Embedding)
    return table.weight.detach()


def classify(model: PreTrainedModel, embeddings: Tensor, mask: Tensor, types: Tensor | None = None) -> Tensor:
    """Return (N, K) float32 log-probabilities of one class per text, with gradients; see `raw_outputs` for the arguments."""
    return raw_outputs(model, embeddings, mask, types).log_softmax(dim=-1)


def raw_outputs(model: PreTrainedModel, embeddings: Tensor, mask: Tensor, types: Tensor | None = None) -> Tensor:
    """Classify embedded texts; the model adds its own positions, types and layer norm.

    Args:
        model: A sequence classifier.
        embeddings: (N, L, H), word embeddings, special tokens included.
        mask: (N, L), 1 at tokens and 0 at padding, which is on the right.
        types: (N, L), 1 in the second text of a pair, for models that take types.

    Returns:
        (N, C) float32 raw outputs, with gradients.
    """
    inputs = {"inputs_embeds": embeddings.to(model.dtype), "attention_mask": mask}
    if types is not None and takes_token_types(model):
        inputs["token_type_ids"] = types
    with last_layer_at(model), autocast(embeddings.device, trained=model.dtype == torch.float32):
        return model(**inputs).logits.float()


def segment_types(model: PreTrainedModel, embeddings: Tensor, mask: Tensor) -> Tensor | None:
    """Return the token types of embedded pairs of texts, 1 in the second text.

    A sample is a pair if the special token that closes it also stands inside it, after the first text. Nothing else is bit for
    bit equal to it, so pairs need not be marked where samples are stored.

    Args:
        model: The classifier that reads them.
        embeddings: (N, L, H).
        mask: (N, L), 1 at tokens and 0 at padding, which is on the right.

    Returns:
        (N, L) int64; None for single texts, and for a model without token types.
    """
    if not takes_token_types(model):
        return None
    read = embeddings.detach()
    closing = read[torch.arange(len(read), device=read.device), mask.sum(dim=1) - 1]
    ends = ((read == closing[:, None]).all(dim=2) & mask.bool()).long()
    types = (ends.cumsum(dim=1) - ends).clamp(max=1) * mask
    return types if bool(types.any()) else None


def stored_rows(embeddings: Tensor, lengths: Tensor) -> list[Tensor]:
    """Return each sample alone, (length, H) float16, from right-padded embeddings (N, L, H) and their lengths (N,)."""
    return [row[:length].to(torch.float16, copy=True) for row, length in zip(embeddings, lengths.tolist(), strict=True)]


def padded_inputs(rows: Sequence[Tensor], max_length: int, device: torch.device) -> dict[str, Tensor]:
    """Return model inputs from stored samples.

    Args:
        rows: B samples, (length, H) each.
        max_length: How many tokens the model can read; no sample is longer.
        device: Device of the model.

    Returns:
        `inputs_embeds` (B, L, H) float32 and `attention_mask` (B, L) int64; L is the longest length, rounded up.
    """
    lengths = torch.tensor([len(row) for row in rows])
    width = padded_length(int(lengths.max()), max_length, length_step(device))
    embeddings = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True).to(device).float()
    embeddings = torch.nn.functional.pad(embeddings, (0, 0, 0, width - embeddings.shape[1]))
    return {"inputs_embeds": embeddings, "attention_mask": padding_mask(lengths, width).to(device)}


def padding_mask(lengths: Tensor, width: int) -> Tensor:
    """Return a mask (N, width) int64: 1 at the first `lengths` (N,) positions of each row, 0 after them."""
    return (torch.arange(width, device=lengths.device) < lengths[:, None]).long()


def inner_positions(mask: Tensor) -> Tensor:
    """Return the positions between the first and the last token, (N, L) bool, of a mask (N, L) with padding on the right."""
    inner = torch.arange(mask.shape[1], device=mask.device) < mask.sum(dim=1, keepdim=True) - 1
    inner[:, 0] = False
    return inner


def embedded_outputs(model: PreTrainedModel, rows: Sequence[Tensor], max_length: int) -> Tensor:
    """Classify stored samples in evaluation mode.

    Args:
        model: A sequence classifier. Its mode (train or eval) is restored afterwards.
        rows: N samples, (length, H) each.
        max_length: How many tokens the model can read; no sample is longer.

    Returns:
        (N, C) float32 raw outputs on the CPU, in the order of `rows`.
    """
    lengths = torch.tensor([len(row) for row in rows])
    order = lengths.argsort(descending=True, stable=True)
    device, was_training = model.device, model.training
    result = torch.empty(len(rows), model.config.num_labels)
    model.eval()
    start = 0
    while start < len(order):
        size = max(8, BATCH_TOKENS.get(device.type, 4096) // int(lengths[order[start]]))
        part = order[start : start + size]
        inputs = padded_inputs([rows[i] for i in part.tolist()], max_length, device)
        read = inputs["inputs_embeds"], inputs["attention_mask"]
        with torch.inference_mode():
            result[part] = raw_outputs(model, *read, segment_types(model, *read)).cpu()
        start += size
    model.train(was_training)
    return result


def nearest_tokens(embeddings: Tensor, table: Tensor, never: Sequence[int] = ()) -> Tensor:
    """Return the token with the nearest embedding to each row, by Euclidean distance.

    Args:
        embeddings: (M, H).
        table: (V, H), on the same device.
        never: Tokens to leave out.

    Returns:
        (M,) int64, on the CPU.
    """
    # |e - t|^2 = |e|^2 - 2 e.t + |t|^2, and |e|^2 is the same for all tokens.
    table = table.float()
    half_norms = table.square().sum(dim=1) / 2
    half_norms[list(never)] = math.inf
    parts = [torch.addmm(-half_norms, part.float(), table.T).argmax(dim=1).cpu() for part in embeddings.split(TOKENS_AT_ONCE)]
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.int64)


def nearest_texts(embeddings: Tensor, lengths: Tensor, table: Tensor, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return samples as text for people: the nearest word at each position, without the first and the last.

    Special tokens are left out. Padding lies at the origin in many models and would be nearest to most noise.

    Args:
        embeddings: (N, L, H), right-padded, with a special token at either end.
        lengths: (N,) int64, on the CPU, special tokens included; at least 2.
        table: (V, H), the word embeddings, on the same device as `embeddings`.
        tokenizer: Tokenizer of the table's rows.
    """
    inner = inner_positions(padding_mask(lengths, embeddings.shape[1]))
    tokens = nearest_tokens(embeddings[inner.to(embeddings.device)], table, tokenizer.all_special_ids)
    return [tokenizer.decode(part.tolist()) for part in tokens.split((lengths - 2).tolist())]
