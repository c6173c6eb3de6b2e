"""What is asked of a completions endpoint (`/v1/completions`), and how its answer is read.

OpenAI's format, as vLLM, the server of llama.cpp and text-generation-inference understand it. They differ: not all take token
ids or settings beyond OpenAI's, log-probabilities come in two forms or not at all, and where no setting is given, some sample
with defaults of their own or of the model. So every setting is sent, those that a server need not know as `further`.
"""

import math
from dataclasses import dataclass
from typing import Any

from prompter.generation.config import WriterConfig

NO_SETTING = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "repeat_penalty": 1.0}
"""Settings of sampling with the values that switch them off. The last one is llama.cpp's name for the third."""

ENDS = ("stop", "eos_token", "stop_sequence")
"""How an answer says that the model ended the text; `length` says that it was cut."""


@dataclass(frozen=True)
class Completion:
    """What a server wrote.

    Attributes:
        text: The continuation.
        ended: Whether the model ended it.
        logprob: Mean log-probability of its tokens; None where the server gives none.
        tokens: Number of its tokens; None where the server does not say.
        read: Number of tokens that the model read; None where the server does not say.
    """

    text: str
    ended: bool
    logprob: float | None
    tokens: int | None
    read: int | None


NO_TEXT = Completion("", ended=True, logprob=None, tokens=0, read=None)
"""What stands for a text that a server does not write."""


def further_settings(config: WriterConfig, end_tokens: list[int]) -> dict[str, Any]:
    """Return settings that a server need not know.

    Args:
        config: Sampling settings.
        end_tokens: Tokens that end a text.
    """
    return NO_SETTING | {
        "top_k": config.writer_top_k,
        "min_tokens": max(1, config.writer_min_new_tokens),
        "stop_token_ids": end_tokens,
    }


def request(model: str, prompt: str | list[int], seed: int, config: WriterConfig) -> dict[str, Any]:
    """Return a request without further settings.

    Args:
        model: Name of the model on the server.
        prompt: What it continues.
        seed: Seed in [0, 2**63). Servers take 31 bits of it that are not all 0.
        config: Sampling settings.
    """
    return {
        "model": model,
        "prompt": prompt,
        "max_tokens": config.writer_max_new_tokens,
        "temperature": config.writer_temperature,
        "top_p": config.writer_top_p,
        "seed": 1 + seed % (2**31 - 1),
        "logprobs": 1,
        "stream": False,
    }


def read_completion(said: Any) -> tuple[Completion | None, str]:
    """Read the JSON of an answer.

    Returns:
        The completion, and "" or what is wrong: with an empty completion where the server gave no text for this one request,
        with None where the answer cannot be read.
    """
    try:
        choice = said["choices"][0]
        text, reason = choice["text"], choice.get("finish_reason")
    except (TypeError, KeyError, IndexError, AttributeError):
        return None, "an answer without choices"
    if not isinstance(text, str):
        return None, "an answer without text"
    if reason not in (None, "length", *ENDS):  # such as content_filter, or abort
        return NO_TEXT, f"an answer that ended with {str(reason)[:40]!r}"
    values = _logprobs(choice.get("logprobs"))
    if values is not None and not all(_is_number(value) for value in values):
        return NO_TEXT, "log-probabilities that are no numbers"
    usage = said.get("usage")
    tokens, read = (_count(usage, name) for name in ("completion_tokens", "prompt_tokens"))
    mean = sum(values) / len(values) if values else None
    return Completion(text, reason != "length", mean, len(values) if values else tokens, read), ""


def _logprobs(said: Any) -> list[Any] | None:
    """Return the log-probabilities of the tokens: OpenAI's form, llama.cpp's, or a bare list; None where there are none."""
    if isinstance(said, dict):
        places = said.get("content")
        if isinstance(places, list):
            return [place.get("logprob") if isinstance(place, dict) else None for place in places]
        said = said.get("token_logprobs")
    return said if isinstance(said, list) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _count(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if type(value) is int and value >= 0 else None
