"""Open a tokenizer so that damage to it is named at once, and agree with its model on the token that pads.

The Rust library behind the tokenizers raises a bare `Exception`, or panics, when it meets a text that damaged files cannot
encode: an unknown character where the token for unknown ones is missing, for instance. So a tokenizer encodes and decodes a
few odd texts when it is opened. What that does not find, `unreadable` recognises later.

Classifiers of GPT's kind find the end of a text by its padding: they read the last token that is not `pad_token_id` of
config.json. Where the tokenizer pads with another token, they read padding, and say nothing about it.
"""

import os
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from distill.checkpoints.checksums import check_folder
from distill.checkpoints.model_config import check_tokenizer_files

PROBES = ("A text, with 2 numbers.", "", "\u2603 n\u00e9\u0301 \u6f22\u5b57 \u0627 \U0001f600\U0010ffff \x01\ufffd zzxqj")
"""Texts that use the tokens for unknown characters, bytes and empty texts."""


class TokenizerFault(Exception):
    """A tokenizer's files are damaged; the message says what its library says."""


def open_tokenizer(source: str | Path, about: str, files: Sequence[Path] = (), **options: Any) -> PreTrainedTokenizerBase:
    """Open the tokenizer of a folder or hub id, and let it encode and decode a few texts.

    Args:
        source: A folder, or a hub id.
        about: Setting and name, at the beginning of messages: "teacher: models/x".
        files: Its files, where `source` is a hub id.
        **options: Further arguments of `AutoTokenizer.from_pretrained`.

    Raises:
        InputError: A file is beyond the limits, or its checksum differs.
        TokenizerFault: The tokenizer cannot encode or decode a text.
        Exception: Whatever transformers raises for files that it cannot read.
    """
    if Path(source).is_dir():
        check_folder(Path(source), about)
        check_tokenizer_files(Path(source), about)
    elif files:
        check_tokenizer_files(files[0].parent, about)
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **options)
    check_reading(tokenizer)
    return tokenizer


def check_reading(tokenizer: PreTrainedTokenizerBase) -> None:
    """Let a tokenizer encode and decode a few texts.

    Raises:
        TokenizerFault: It cannot.
    """
    try:
        with _hushed():
            ids = tokenizer(list(PROBES))["input_ids"]
            tokenizer(list(PROBES), list(PROBES), add_special_tokens=True)
            tokenizer.batch_decode(ids)
            tokenizer.batch_decode([[token] for token in range(min(100, len(tokenizer)))], skip_special_tokens=True)
    except BaseException as error:  # a panic of Rust is no Exception
        if not _is_bare(error):
            raise
        raise TokenizerFault(f"its files are damaged, {_reason(error)}; copy the folder again") from None


def with_padding(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Choose a padding token where a tokenizer has none, and return the tokenizer.

    It is the end-of-sequence token, else another special token, else the token of id 0; one that ends no text comes before
    one that does. The vocabulary, and so the embedding table, stays as it is.
    """
    if tokenizer.pad_token_id is None:
        names = (tokenizer.eos_token, tokenizer.sep_token, tokenizer.unk_token, tokenizer.bos_token)
        spare = [token for token in names if token is not None]
        free = [token for token in spare if not _ends_texts(tokenizer, tokenizer.convert_tokens_to_ids(token))]
        tokenizer.pad_token = next(iter(free or spare), tokenizer.convert_ids_to_tokens(0))
    return tokenizer


def agree_on_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Let model and tokenizer name one padding token: the model's, because it was trained with that one.

    Args:
        model: A classifier; where its configuration names no token of its vocabulary, it gets the tokenizer's.
        tokenizer: Its tokenizer, with a padding token; it gets the model's where it knows that token.

    Returns:
        Whether the token tells padding from text. Where the tokenizer's had to be taken, a text may end with it too.
    """
    config = model.config
    if not hasattr(config, "pad_token_id"):  # Perceiver
        return True
    said = config.pad_token_id
    if isinstance(said, int) and 0 <= said < getattr(config, "vocab_size", said + 1):
        if said != tokenizer.pad_token_id and said < len(tokenizer):
            tokenizer.pad_token = tokenizer.convert_ids_to_tokens(said)
        return True
    config.pad_token_id = tokenizer.pad_token_id
    return not _ends_texts(tokenizer, tokenizer.pad_token_id)


def _ends_texts(tokenizer: PreTrainedTokenizerBase, token: int) -> bool:
    """Return whether a text or pair may end with a token: it is put there, or stands for what the tokenizer does not know."""
    seconds = [text or "a" for text in PROBES]
    encoded = [*tokenizer(list(PROBES))["input_ids"], *tokenizer(list(PROBES), seconds)["input_ids"]]
    return any(ids[-1:] == [token] for ids in encoded)


def unreadable(error: BaseException) -> str | None:
    """Return a line about an error that a tokenizer raised for a text; None for any other error.

    Args:
        error: What was raised.
    """
    if not _is_bare(error):
        return None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        tokenizer = frame.f_locals.get("self")
        if isinstance(tokenizer, PreTrainedTokenizerBase):
            return f"the tokenizer of {tokenizer.name_or_path} cannot read a text ({_reason(error)}); copy its folder again."
    return None


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep Rust from printing where it panicked; the error that follows says what happened."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _is_bare(error: BaseException) -> bool:
    return type(error) is Exception or type(error).__name__ == "PanicException"


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
