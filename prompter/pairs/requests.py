"""What the writer reads before a second text: a request that holds the first text and names the relation of the class."""

import re
from collections.abc import Sequence

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from distill.common.errors import InputError
from prompter.generation.config import PolicyConfig, WriterConfig
from prompter.generation.prompts import NO_TASK, Row, described, is_chat, prompt_ids

PLACEHOLDER = re.compile(r"\{(text|label|task)\}")


class PairRequests:
    """Requests for second texts; the counterpart of `prompter.generation.prompts.Contexts`.

    Args:
        tokenizer: The writer's tokenizer.
        labels: Class names of the teacher, in its order.
        policy: The user's words, see `prompter.pairs.relations.pair_policy`.
        config: The templates.
        longest: Most tokens of a request; None for no limit. A first text that leaves no room is cut in the request.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        labels: Sequence[str],
        policy: PolicyConfig,
        config: WriterConfig,
        longest: int | None,
    ) -> None:
        self.tokenizer, self.longest = tokenizer, longest
        self.chat = is_chat(tokenizer, policy)
        self.template = config.pair_request if self.chat else config.pair_control
        self.words = described(labels, policy.descriptions())
        self.task = policy.task_description or NO_TASK

    def rows(self, openings: Sequence[str], targets: Tensor) -> list[Row]:
        """Return what the writer reads for each of N first texts.

        Args:
            openings: First texts, on one line each.
            targets: (N,) target class of each.
        """
        return [(self.request(text, target), []) for text, target in zip(openings, targets.tolist(), strict=True)]

    def request(self, text: str, target: int) -> list[int]:
        """Return the token ids of one request."""
        ids = self._ids(text, target)
        kept: list[int] = []
        while self.longest is not None and len(ids) > self.longest:
            kept = kept or list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
            if not kept:
                break
            kept = kept[: len(kept) - (len(ids) - self.longest)] if len(kept) > len(ids) - self.longest else []
            text = self.tokenizer.decode(kept, skip_special_tokens=True)
            ids = self._ids(text, target)
        return ids

    def check_room(self, text_tokens: int) -> None:
        """Refuse requests that leave no room for a first text.

        Args:
            text_tokens: Tokens of the longest first text.

        Raises:
            InputError: A request with a first text of that length is longer than the writer can read.
        """
        most = max(len(self._ids("", target)) for target in range(len(self.words)))
        if self.longest is not None and most + text_tokens > self.longest:
            raise InputError(
                f"generator: a request for a second text has {most} tokens beside a first text of up to {text_tokens}, but "
                f"the writer can read {self.longest} before it writes: shorten pair_request or label_descriptions, or lower "
                "writer_max_new_tokens or pair_max_new_tokens"
            )

    def _ids(self, text: str, target: int) -> list[int]:
        values = {"text": text, "label": self.words[target], "task": self.task}
        filled = PLACEHOLDER.sub(lambda match: values[match[1]], self.template)
        return prompt_ids(self.tokenizer, filled, self.chat, checked=False)


class Continued:
    """What the writer reads to go on after a first text, as if both stood in one document.

    Args:
        tokenizer: The writer's tokenizer.
        start: Token that begins a document.
        longest: Most tokens that are read; None for no limit.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, start: int, longest: int | None) -> None:
        self.tokenizer, self.start, self.longest = tokenizer, start, longest

    def rows(self, openings: Sequence[str], targets: Tensor) -> list[Row]:
        """Return what the writer reads for each of N first texts, whatever their classes."""
        kept = None if self.longest is None else self.longest - 1
        texts = self.tokenizer(list(openings), add_special_tokens=False)["input_ids"]
        return [([self.start, *(row if kept is None else row[-kept:])], []) for row in texts]
