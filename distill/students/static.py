"""Make a static student: from a model2vec folder, or from the teacher's own layers."""

from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.hub import cached_file

from distill.checkpoints.checksums import check_folder, check_weights
from distill.checkpoints.explain import explain
from distill.checkpoints.model_config import check_tokenizer_files, read_json, say_once
from distill.checkpoints.static_model import (
    StaticConfig,
    StaticForSequenceClassification,
    read_static,
    read_static_tokenizer,
)
from distill.checkpoints.tokenizers import check_reading
from distill.checkpoints.weights import file_of
from distill.common.errors import InputError
from distill.common.hub import HUB_ID
from distill.students.families import reason_of

STATIC = "static:"

FROM_TEACHER = "static:from-teacher"

FILES = ("model.safetensors", "tokenizer.json", "config.json")
"""What is read of a model2vec folder."""

MOST_BYTES = 8_500_000
"""Size of the vectors made of the teacher's layers: with a head and the tokenizer of a BERT they stay below 10 MB."""

WIDEST = 256

TOKENS_AT_ONCE = 512

MANY_TOKENS = 5_000
"""From here on a line says that the teacher is at work."""

_VECTORS: WeakKeyDictionary[PreTrainedModel, Tensor] = WeakKeyDictionary()
"""Vectors of teachers that were asked in this process: a run makes its student twice (`student_restart`)."""


def open_static(spec: str) -> tuple[Tensor, PreTrainedTokenizerBase, bool]:
    """Return the token vectors, (V, D), the tokenizer, and whether means are scaled to length 1, of a model2vec folder or id.

    Raises:
        InputError: There is none, or its files are damaged or do not fit each other.
    """
    name, about = spec.removeprefix(STATIC), f"student: {spec}"
    folder = Path(name).expanduser()
    if folder.is_dir():
        if missing := [name for name in FILES if file_of(str(folder), name, None) is None]:
            raise InputError(f"{about} has no {missing[0]}; expected a folder or hub id of model2vec.")
        files = [folder / name for name in FILES]
        check_folder(folder, about)
    elif folder.exists() or not HUB_ID.fullmatch(name) or ("/" in name and Path(name.split("/")[0]).is_dir()):
        raise InputError(f"{about}: folder {name} does not exist; expected a folder or hub id of model2vec.")
    else:
        try:
            files = [Path(str(cached_file(name, file))) for file in FILES]
        except Exception as error:  # the hub raises errors of many kinds
            raise explain(error, name, "student") from error
    check_weights(files[0], about)
    check_tokenizer_files(files[1].parent, about)
    normalize = bool(read_json(files[2], about).get("normalize", False))
    try:
        vectors, tokenizer = read_static(files[0]), read_static_tokenizer(files[1])
        check_reading(tokenizer)
    except KeyError as error:
        raise InputError(f"{about} holds no {error}; expected a folder or hub id of model2vec.") from error
    except Exception as error:  # safetensors and the Rust library each raise their own
        raise InputError(f"{about} cannot be read ({reason_of(error)}); expected a folder or hub id of model2vec.") from error
    if not torch.isfinite(vectors).all():
        raise InputError(f"{about} holds embeddings that are not finite; copy the folder again.")
    largest = max(tokenizer.get_vocab().values())
    if largest >= len(vectors):
        raise InputError(
            f"{about} has {len(vectors)} embeddings, but its tokenizer has {largest + 1} tokens; copy both from one model."
        )
    return vectors, tokenizer, normalize


def static_model(
    vectors: Tensor, tokenizer: PreTrainedTokenizerBase, classes: int, normalize: bool = False
) -> StaticForSequenceClassification:
    """Return a static classifier with these token vectors, (V, D), and a head from torch's global generator.

    Args:
        vectors: A vector for each token.
        tokenizer: A tokenizer with a padding token.
        classes: Number of classes, K.
        normalize: Whether the mean is scaled to length 1.
    """
    config = StaticConfig(
        vocab_size=len(vectors),
        hidden_dim=vectors.shape[1],
        num_labels=classes,
        normalize=normalize,
        pad_token_id=tokenizer.pad_token_id,
        skipped_ids=sorted({int(number) for number in tokenizer.all_special_ids}),
    )
    model = StaticForSequenceClassification(config)
    with torch.no_grad():
        model.embeddings.copy_(vectors)
    return model


def vectors_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, spec: str) -> Tensor:
    """Return a vector for each token, (V, D) float32: what the layers make of it alone, in fewer dimensions.

    Each token stands between the special tokens of a text. The mean of the last states goes through a principal component
    analysis, and is scaled to a mean length of 1. Source: model2vec distils a sentence encoder in this way; to take a
    classifier's layers, and to train the vectors afterwards, is ours.

    Args:
        model: A classifier whose base model returns `last_hidden_state`; of an encoder-decoder, the encoder is asked.
        tokenizer: Its tokenizer.
        spec: The student, for messages.

    Raises:
        InputError: The model's layers cannot be asked.
    """
    if model in _VECTORS:
        return _VECTORS[model]
    size = max(tokenizer.get_vocab().values()) + 1
    if size >= MANY_TOKENS:
        say_once(f"student: {spec}: the teacher's layers read each of its {size:,} tokens once.")
    marked = tokenizer("a", return_special_tokens_mask=True)
    ids, special = marked["input_ids"], marked["special_tokens_mask"]
    first, last = (special.index(0), special[::-1].index(0)) if 0 in special else (0, 0)
    before, after = ids[:first], ids[len(ids) - last :]
    states = []
    try:
        body = model.get_encoder() if model.config.is_encoder_decoder else model.base_model
        with torch.inference_mode():
            for start in range(0, size, TOKENS_AT_ONCE):
                rows = [[*before, token, *after] for token in range(start, min(start + TOKENS_AT_ONCE, size))]
                inputs = torch.tensor(rows, device=model.device)
                output = body(input_ids=inputs, attention_mask=torch.ones_like(inputs))
                states.append(output.last_hidden_state.float().mean(dim=1).cpu())
    except Exception as error:  # each family has its own inputs and outputs
        raise InputError(
            f"student: {spec} cannot ask the layers of a {model.config.model_type} teacher ({reason_of(error)}); "
            "use static:FOLDER or another student."
        ) from error
    found = torch.cat(states).clone()
    if not torch.isfinite(found).all():
        raise InputError(f"student: {spec}: the teacher's layers give states that are not finite; use another student.")
    _VECTORS[model] = reduced(found)
    return _VECTORS[model]


def reduced(states: Tensor) -> Tensor:
    """Return the principal components of states, (V, H), as many as fit `MOST_BYTES` and at most `WIDEST`."""
    centred = (states - states.mean(dim=0)).double()
    width = max(1, min(WIDEST, states.shape[1], MOST_BYTES // (4 * len(states))))
    _, axes = torch.linalg.eigh(centred.T @ centred)
    components = centred @ axes[:, -width:].flip(1)
    return (components / components.norm(dim=1).mean().clamp_min(1e-12)).float()
