"""Begin a student of random weights with the word vectors of a language model. Ours.

A student of random weights has to learn from its texts which words there are. A language model knows that, whatever task the
teacher has, and its vectors cost no query. Their widest directions (principal components) become the student's vectors; its
layers stay random.
"""

from functools import lru_cache

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from distill.common.errors import InputError
from distill.common.hub import check_vocabulary, load_model, load_tokenizer

FIELD = "student_words"

SIZE = 0.1
"""Root mean square of the numbers. Vectors as small as random ones (0.02) taught less: docs/log.md, 2026-11-26."""

WORD, INSIDE = ("▁", "Ġ"), "##"
"""How tokens are written that begin a word (SentencePiece, byte-level tokenizers), or else those inside one (BERT)."""


def give_words(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, source: str) -> None:
    """Replace the word vectors of a student by those of a language model.

    A token that the language model splits gets the mean of the parts. Special tokens, and tokens without letters of their own,
    keep their random vectors, and so do the last numbers of each vector where the student's are wider than the other model's.

    Args:
        model: The student's model.
        tokenizer: Its tokenizer.
        source: Folder, hub id or GGUF file of the language model.

    Raises:
        InputError: The language model cannot be loaded, or shares no token with the student.
    """
    table = model.get_input_embeddings().weight
    pieces = spelled(tokenizer)
    known, vectors = _vectors(source, tuple(pieces.values()), table.shape[1])
    rows = torch.tensor(list(pieces))[known]
    with torch.no_grad():
        table[rows, : vectors.shape[1]] = vectors.to(table)


def spelled(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """Return the text that each ordinary token stands for, a space before it where it begins a word, by its number."""
    vocabulary = tokenizer.get_vocab()
    marks_words = any(token.startswith(WORD) for token in vocabulary)
    special = set(tokenizer.all_special_tokens)
    pieces = {}
    for token, number in sorted(vocabulary.items(), key=lambda item: item[1]):
        if token in special:
            continue
        if marks_words:
            text = tokenizer.convert_tokens_to_string([token]).strip()
            pieces[number] = " " + text if token.startswith(WORD) else text
        else:
            inside = token.startswith(INSIDE) and len(token) > len(INSIDE)
            pieces[number] = token.removeprefix(INSIDE) if inside else " " + token
    return pieces


@lru_cache(maxsize=1)  # a run makes its student twice (`student_restart`)
def _vectors(source: str, pieces: tuple[str, ...], width: int) -> tuple[Tensor, Tensor]:
    """Return which of N pieces have a vector, (N,) bool, and the n vectors, (n, at most `width`) float32."""
    model = load_model(AutoModelForCausalLM, source, FIELD, torch.device("cpu"), torch.float32)
    tokenizer = load_tokenizer(source, FIELD)
    check_vocabulary(model, tokenizer, f"{FIELD}: {source}")
    table = model.get_input_embeddings().weight.detach()
    ids = tokenizer(list(pieces), add_special_tokens=False)["input_ids"]
    known = torch.tensor([bool(row) and bool(piece.strip()) for row, piece in zip(ids, pieces, strict=True)])
    means = [table[torch.tensor(row)].mean(dim=0) for row, used in zip(ids, known.tolist(), strict=True) if used]
    if len(means) < 2:
        raise InputError(f"{FIELD}: {source} reads none of the student's tokens: leave it out, or give another model.")
    return known, principal(torch.stack(means), width)


def principal(vectors: Tensor, width: int) -> Tensor:
    """Return the principal components of vectors, scaled to `SIZE`.

    Args:
        vectors: (N, H).
        width: Most components.

    Returns:
        (N, min(width, H)) float32; the root mean square of all numbers is `SIZE`.
    """
    centred = vectors.double() - vectors.double().mean(dim=0)
    _, directions = torch.linalg.eigh(centred.T @ centred)
    directions = directions[:, -width:].flip(1)  # the widest first
    largest = directions.abs().argmax(dim=0)
    directions = directions * directions[largest, torch.arange(directions.shape[1])].sign()  # a direction has no sign
    components = centred @ directions
    return (components * (SIZE / components.square().mean().sqrt().clamp_min(1e-12))).float()
