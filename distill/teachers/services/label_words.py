"""Which class a language model chooses: the request, and the probability of each class name in its answer.

The model is asked for a class name, word for word. Its answer comes as tokens, and for each place the likeliest tokens with
their log-probabilities. We walk along the answer: a token that begins one class name only gives this class its probability
(times that of the tokens before it). Where the token that the model took begins several names ("very good", "very bad"), the
next place decides. Where a token that it did not take does so, these names share its probability. The probabilities of the
class names are then scaled to sum 1. Ours; with class names that begin differently it is the softmax over the first tokens.
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from distill.common.errors import InputError
from distill.teachers.config import Asking

PROMPT = "{task}Choose the label that fits the text best. The labels are: {labels}.\n\nText: {text}\n\nLabel:"
"""The request where the user gives none. It ends where the label stands, so that small models, too, begin with one."""

SMALLEST_SHARE = 0.01
"""An answer of which the class names hold less than this probability is none."""

LONGEST_WALK = 128
"""Tokens of an answer that are looked at."""

MARKS = " \t\r\n\"'`*_«»“”‘’▁Ġ"
"""What may stand before a class name, the marks that tokenizers write for a space among it."""


def template(asking: Asking) -> str:
    """Return the request for a text, with `{text}` and `{labels}`.

    Examples:
        >>> print(template(Asking(task="a news article")).splitlines()[0])
        The text below is a news article. Choose the label that fits the text best. The labels are: {labels}.

    Raises:
        InputError: The user's own has no `{text}`.
    """
    if asking.prompt and "{text}" not in asking.prompt:
        raise InputError(f"teacher_prompt: {asking.prompt[:80]!r} has no {{text}} where the text stands.")
    task = asking.task.strip().rstrip(".")
    return asking.prompt or PROMPT.replace("{task}", f"The text below is {task}. " if task else "", 1)


def request(pattern: str, labels: Sequence[str], text: str) -> str:
    """Return the request for one text. Braces in the text stay as they are.

    Examples:
        >>> request("{labels}? {text}", ["a", "b"], "{labels}")
        'a, b? {labels}'
    """
    values = {"{text}": text, "{labels}": ", ".join(labels)}
    return re.sub(r"\{text\}|\{labels\}", lambda match: values[match[0]], pattern)


def words_of(labels: Sequence[str]) -> list[str]:
    """Return the class names as they are looked for: without case and marks before them.

    Raises:
        InputError: Two of them are the same then, or one is empty.
    """
    words = [begun(label) for label in labels]
    if "" in words or len(set(words)) < len(words):
        raise InputError(
            f"teacher_labels: {list(labels)}; a language model needs names that differ in more than capitals and quotes."
        )
    return words


def begun(said: str) -> str:
    """Return the beginning of an answer as it is compared with class names.

    Examples:
        >>> begun(' **Sci/Tech'), begun('"')
        ('sci/tech', '')
    """
    return unicodedata.normalize("NFKC", said).lstrip(MARKS).casefold()


def probabilities(places: Any, words: Sequence[str]) -> tuple[list[float] | None, float, str]:
    """Return the probability of each class name in an answer, their share of all probability, and what was wrong, or "".

    Args:
        places: `logprobs.content` of a chat completion: for each token of the answer its `token`, `logprob` and
            `top_logprobs`.
        words: The K class names, see `words_of`.
    """
    scores, path, said, seen = [0.0] * len(words), 1.0, "", 0
    try:
        for place in places[:LONGEST_WALK]:
            options = {str(item["token"]): _probability(item["logprob"]) for item in place.get("top_logprobs") or []}
            seen += len(options)
            taken = str(place["token"])
            options.setdefault(taken, _probability(place["logprob"]))
            undecided = not begun(said + taken) or len(_fitting(said + taken, words)) > 1
            for token, share in options.items():
                fits = _fitting(said + token, words)
                if token != taken or not undecided:
                    for index in fits:
                        scores[index] += path * share / len(fits)
            path *= options[taken]
            said += taken
            if not undecided:
                break
        else:
            fits = _whole(said, words) or _fitting(said, words)
            for index in fits:
                scores[index] += path / len(fits)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        return None, 0.0, "log-probabilities that are not numbers from 0 downwards"
    total = sum(scores)
    if not seen and 0 < total <= 1 and sum(score > 0 for score in scores) == 1:  # no alternatives: the others share the rest
        scores = [score or (1 - total) / (len(words) - 1) for score in scores]
        total = sum(scores)
    if total < SMALLEST_SHARE:
        return None, total, f"an answer that begins with {said[:40]!r}, of which the labels hold {total:.2%}"
    return [score / total for score in scores], total, ""


def named(said: Any, words: Sequence[str]) -> int | None:
    """Return the number of the class that an answer in words names, or None.

    Examples:
        >>> named(" Sports.", ["sport", "sports"]), named("It is about sports", ["world", "sports"]), named("?", ["a", "b"])
        (1, 1, None)
    """
    if not isinstance(said, str):
        return None
    if found := _whole(said, words):
        return found[0]
    inside = [i for i, word in enumerate(words) if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", begun(said))]
    return inside[0] if len(inside) == 1 else None


def _probability(logprob: Any) -> float:
    """Return a probability.

    Raises:
        ValueError: The value is no log-probability.
    """
    value = float(logprob)
    if math.isnan(value) or value > 1e-3:
        raise ValueError
    return min(1.0, math.exp(value))


def _fitting(said: str, words: Sequence[str]) -> list[int]:
    """Return the numbers of the class names that an answer may become, or of the one that it has become."""
    start = begun(said)
    fits = [i for i, word in enumerate(words) if word.startswith(start)] if start else []
    return fits or _whole(said, words)


def _whole(said: str, words: Sequence[str]) -> list[int]:
    """Return the number of the longest class name that an answer begins with, as a whole word."""
    start = begun(said)
    whole = [i for i, word in enumerate(words) if start.startswith(word) and not start[len(word) : len(word) + 1].isalnum()]
    return [max(whole, key=lambda i: len(words[i]))] if whole else []
