"""Which tokens begin a text, and which end one.

A tokenizer names one EOS token, but chat models end a turn with another one, which stands in the generation settings of some
models and only in the chat template of others. A model that is not stopped there goes on to write the next turn of the user.
"""

from typing import Any

from transformers import GenerationConfig, PreTrainedTokenizerBase

from distill.checkpoints.gguf import is_gguf
from distill.checkpoints.model_config import drop_foreign_tokens, read_json
from distill.checkpoints.weights import file_of

MARK = "mark"
"""What the assistant says in the chat that shows how a turn ends."""

GENERATION_FILES = ("generation_config.json", "config.json")
"""Files that name special tokens, the first one that does before the second."""


def end_tokens(settings: GenerationConfig | None, tokenizer: PreTrainedTokenizerBase, vocabulary: int) -> list[int]:
    """Return the ids of all tokens that end a text: those of the generation settings, the tokenizer and the chat template.

    They also go into the settings, from which TRL's trainers read them.

    Args:
        settings: The model's generation settings.
        tokenizer: Its tokenizer.
        vocabulary: Number of its word embeddings.
    """
    said = None if settings is None else settings.eos_token_id
    found = [said] if isinstance(said, int) else list(said or [])
    known = len(found)
    for token in (tokenizer.eos_token_id, _end_of_turn(tokenizer)):
        if token is not None and token not in found and token < vocabulary:
            found.append(token)
    if settings is not None and len(found) > max(known, 1):
        settings.eos_token_id = found
    return found


def start_token(settings: GenerationConfig | None, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the id of the token that begins a text: BOS, or the EOS token that stands between texts; None without both.

    Some tokenizers have no BOS token although the model's settings name one that the tokenizer knows (Qwen).
    """
    if tokenizer.bos_token_id is not None or tokenizer.eos_token_id is None:
        return tokenizer.bos_token_id
    said = getattr(settings, "bos_token_id", None)
    return said if isinstance(said, int) and _is_special(tokenizer, said) else tokenizer.eos_token_id


def read_generation_settings(
    name_or_path: str, tokenizer: PreTrainedTokenizerBase, about: str, revision: str | None = None
) -> GenerationConfig:
    """Read which special tokens a model names, without its weights: for a model that runs elsewhere.

    A GGUF file and a folder with a tokenizer alone name none beyond those of the tokenizer.

    Args:
        name_or_path: Folder or hub id.
        tokenizer: Its tokenizer; ids that it does not have are left out.
        about: Setting and name, at the beginning of messages.
        revision: Commit of a hub repository.

    Raises:
        InputError: A file is no JSON, or too long.
    """
    ids: dict[str, Any] = {}
    for name in () if is_gguf(name_or_path) else GENERATION_FILES:
        file = file_of(name_or_path, name, revision)
        said = {} if file is None else read_json(file, about)
        for key in ("bos_token_id", "eos_token_id"):
            value = said.get(key)
            listed = value if isinstance(value, list) else [value]
            if key not in ids and value is not None and all(type(token) is int and token >= 0 for token in listed):
                ids[key] = value
    settings = GenerationConfig(**ids)
    drop_foreign_tokens(settings, len(tokenizer), about)
    return settings


def _end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the special token that the chat template writes after the assistant's words; None if there is none."""
    if not tokenizer.chat_template:
        return None
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": MARK}]
    try:
        text = str(tokenizer.apply_chat_template(chat, tokenize=False))
    except Exception:  # a template is a program of the model's author: it may refuse this chat in any way
        return None
    ids = tokenizer(text.rpartition(MARK)[2].lstrip(), add_special_tokens=False)["input_ids"]
    return ids[0] if ids and _is_special(tokenizer, ids[0]) else None


def _is_special(tokenizer: PreTrainedTokenizerBase, token: int) -> bool:
    added = tokenizer.added_tokens_decoder.get(token)
    return token in tokenizer.all_special_ids or (added is not None and added.special)
