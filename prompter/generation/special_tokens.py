"""Which tokens begin a text, and which end one.

A tokenizer names one EOS token, but chat models end a turn with another one, which stands in the generation settings of some
models and only in the chat template of others. A model that is not stopped there goes on to write the next turn of the user.
"""

from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

MARK = "mark"
"""What the assistant says in the chat that shows how a turn ends."""


def end_tokens(model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the ids of all tokens that end a text: those of the generation settings, the tokenizer and the chat template.

    They also become the model's generation settings, from which TRL's trainers read them.

    Args:
        model: The language model.
        tokenizer: Its tokenizer.
    """
    settings: Any = model.generation_config
    said = None if settings is None else settings.eos_token_id
    found = [said] if isinstance(said, int) else list(said or [])
    known = len(found)
    for token in (tokenizer.eos_token_id, _end_of_turn(tokenizer)):
        if token is not None and token not in found and token < model.get_input_embeddings().weight.shape[0]:
            found.append(token)
    if settings is not None and len(found) > max(known, 1):
        settings.eos_token_id = found
    return found


def start_token(model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the id of the token that begins a text: BOS, or the EOS token that stands between texts; None without both.

    Some tokenizers have no BOS token although the model's settings name one that the tokenizer knows (Qwen).
    """
    if tokenizer.bos_token_id is not None or tokenizer.eos_token_id is None:
        return tokenizer.bos_token_id
    said = getattr(model.generation_config, "bos_token_id", None)
    return said if isinstance(said, int) and _is_special(tokenizer, said) else tokenizer.eos_token_id


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
