"""Make a static student: from a model2vec folder, or from the teacher's own layers."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.hub import cached_file

from distill.checkpoints.model_config import check_tokenizer_files
from distill.checkpoints.static_model import (
    StaticConfig,
    StaticForSequenceClassification,
    read_static,
    read_static_tokenizer,
)
from distill.common.errors import InputError
from distill.students.families import reason_of

STATIC = "static:"

FROM_TEACHER = "from-teacher"

MOST_BYTES = 9_500_000
"""Size of the token vectors of a student of the teacher's layers: with its head and tokenizer it stays below 10 MB."""

WIDEST = 256

TOKENS_AT_ONCE = 512


def open_static(spec: str) -> tuple[Tensor, PreTrainedTokenizerBase]:
    """Return the token vectors and the tokenizer of a model2vec folder or hub id.

    Raises:
        InputError: There is none, or its files are damaged or do not fit each other.
    """
    name = spec.removeprefix(STATIC)
    folder = Path(name).expanduser()
    try:
        if folder.is_dir():
            files = [folder / "model.safetensors", folder / "tokenizer.json"]
        else:
            files = [Path(str(cached_file(name, file))) for file in ("model.safetensors", "tokenizer.json")]
        check_tokenizer_files(files[1].parent, f"student: {spec}")
        vectors, tokenizer = read_static(files[0]), read_static_tokenizer(files[1])
    except InputError:
        raise
    except KeyError as error:
        raise InputError(f"student: {spec} holds no {error}; expected a folder of model2vec.") from error
    except Exception as error:  # the hub, safetensors and the Rust library each raise their own
        raise InputError(
            f"student: {spec} cannot be read ({reason_of(error)}); expected a folder or hub id of model2vec."
        ) from error
    if len(tokenizer) > len(vectors):
        raise InputError(f"student: {spec} has {len(vectors)} vectors, but its tokenizer has {len(tokenizer)} tokens.")
    return vectors, tokenizer


def static_model(vectors: Tensor, tokenizer: PreTrainedTokenizerBase, classes: int) -> StaticForSequenceClassification:
    """Return a static classifier with these token vectors, (V, D), and a head from torch's global generator."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
    config = StaticConfig(
        vocab_size=len(vectors),
        hidden_dim=vectors.shape[1],
        num_labels=classes,
        pad_token_id=tokenizer.pad_token_id,
        skipped_ids=sorted({int(number) for number in tokenizer.all_special_ids}),
    )
    model = StaticForSequenceClassification(config)
    with torch.no_grad():
        model.embeddings.copy_(vectors)
    return model


def vectors_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Return a vector for each token, (V, D) float32: what the layers make of it alone, in fewer dimensions.

    Each token stands between the special tokens of an empty text. The mean of the last states goes through a principal
    component analysis, and is scaled to a mean length of 1. Source: model2vec distils a sentence encoder in this way.

    Args:
        model: A classifier whose base model returns `last_hidden_state`.
        tokenizer: Its tokenizer.
    """
    empty = tokenizer("")["input_ids"]
    half = (len(empty) + 1) // 2
    size = len(tokenizer)
    states = []
    with torch.no_grad():
        for first in range(0, size, TOKENS_AT_ONCE):
            tokens = range(first, min(first + TOKENS_AT_ONCE, size))
            rows = torch.tensor([[*empty[:half], token, *empty[half:]] for token in tokens], device=model.device)
            output = model.base_model(input_ids=rows, attention_mask=torch.ones_like(rows))
            states.append(output.last_hidden_state.float().mean(dim=1).cpu())
    return reduced(torch.cat(states))


def reduced(states: Tensor) -> Tensor:
    """Return the principal components of states, (V, H), as many as fit `MOST_BYTES` and at most `WIDEST`."""
    centred = (states - states.mean(dim=0)).double()
    width = max(1, min(WIDEST, states.shape[1], MOST_BYTES // (4 * len(states))))
    _, axes = torch.linalg.eigh(centred.T @ centred)
    components = centred @ axes[:, -width:].flip(1)
    return (components / components.norm(dim=1).mean().clamp_min(1e-12)).float()


def check_labels(spec: str, labels: Sequence[str] | None) -> list[str]:
    """Return the class names.

    Raises:
        InputError: There are none.
    """
    if labels is None:
        raise InputError(f"student: {spec} needs class names (labels) or a teacher.")
    return list(labels)
