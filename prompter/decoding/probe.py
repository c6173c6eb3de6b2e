"""Let a language model write a few tokens when it is opened, so that one that cannot is named before anything is written."""

import torch
from torch import nn

from distill.common.errors import InputError
from distill.common.precision import autocast
from prompter.decoding.loop import context_length, decode
from prompter.decoding.prefix import Prefix, left_padded

TOKENS = 2
"""How many tokens it writes, and in the longer prompt how many more there are."""


def check_writing(model: nn.Module, token: int, pad_token_id: int, name: str, trained: bool = False) -> None:
    """Continue two prompts of unequal length, whole ones and ones that share their first tokens.

    Args:
        model: A causal language model, or a `PeftModel` of one, whose adapters stay on or off.
        token: Token that the prompts are made of.
        pad_token_id: Token that fills the shorter one.
        name: What the user calls the model, for the message.
        trained: Whether it is about to be trained.

    Raises:
        InputError: It fails, in whatever way.
    """
    device = next(model.parameters()).device
    context = context_length(model)
    if context is not None and context < 4 * TOKENS:  # what does not fit is named where the settings are read
        return
    rows = [[token], [token] * (1 + TOKENS)]
    ids, mask = (part.to(device) for part in left_padded(rows, pad_token_id))
    try:
        with torch.no_grad(), autocast(device, trained=trained):
            for prefix in (None, Prefix.of(rows, pad_token_id, device)):
                decode(
                    model,
                    ids,
                    mask,
                    max_new_tokens=TOKENS,
                    eos_token_ids=(),
                    pad_token_id=pad_token_id,
                    temperature=0,
                    random=None,
                    prefix=prefix,
                )
    except (InputError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # each family fails in its own way
        reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
        raise InputError(f"generator: {name} cannot write a text ({reason}); use another causal language model.") from error
