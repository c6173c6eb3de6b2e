"""What writers have in common whose model runs outside of this process's PyTorch: on vLLM, or on a server.

What such a model reads is made here, by the same class prompts as for the default writer, and each text has a sampling seed of
its own. Yet the other side decides which texts are computed together, and rounding depends on that. Equal arguments therefore
usually give equal texts, but not always. Use the default writer, `prompter.generation.writer.Writer`, where texts must be
reproducible.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from torch import Tensor, zeros

from distill.common.errors import InputError
from distill.common.hub import load_tokenizer
from distill.common.seeding import derive_seed
from distill.language_models.special_tokens import end_tokens, read_generation_settings, start_token
from prompter.editing.edits import UNEDITED, Edits
from prompter.generation.config import WriterConfig
from prompter.generation.prompts import Reading, Row
from prompter.generation.texts import Written
from prompter.generation.writer import Writer


@dataclass(frozen=True)
class Asked:
    """One text that is asked for.

    Attributes:
        number: Its place among the texts of a call.
        prompt: Token ids that the model reads, as many as it can.
        begin: Those token ids at the end that begin the text. They may be more than the model can read.
        seed: Its sampling seed, in [0, 2**63).
    """

    number: int
    prompt: list[int]
    begin: list[int]
    seed: int


class OutsideWriter(ABC):
    """A frozen causal LM that continues topics, in another library or on another machine.

    Args:
        name_or_path: Model folder or hub id, for its tokenizer and its special tokens.
        config: Sampling settings.
        revision: Commit of a hub repository.

    Attributes:
        contexts: What it reads before a text that has a target class; None to read the topic alone.
        edits: Edits its texts of some classes.
        start: Token that begins a text.
        eos_token_ids: Tokens that end one.
        context_length: Most tokens that the model can read and write; None where that is not known.
        reader: A frozen model in this process that computes features of texts; None where there is none.
        served: What a server says about its model; empty where there is none, or it says nothing.

    Raises:
        InputError: The tokenizer cannot be loaded, or has neither BOS nor EOS.
    """

    contexts: Reading | None = None
    edits: Edits = UNEDITED
    context_length: int | None = None
    reader: Writer | None = None
    served: Mapping[str, str] = MappingProxyType({})

    def __init__(self, name_or_path: str, config: WriterConfig, revision: str | None = None) -> None:
        self.tokenizer = load_tokenizer(name_or_path, "generator", revision)
        self.config = config
        settings = read_generation_settings(name_or_path, self.tokenizer, f"generator: {name_or_path}", revision)
        start = start_token(settings, self.tokenizer)
        if start is None:
            raise InputError("generator: its tokenizer has neither a BOS nor an EOS token; set its bos_token.")
        self.start: int = start
        self.eos_token_ids = end_tokens(settings, self.tokenizer, len(self.tokenizer))

    def check_lengths(self) -> None:
        """Refuse texts that do not fit the model's context.

        Raises:
            InputError: `writer_max_new_tokens` is too large.
        """
        context, new = self.context_length, self.config.writer_max_new_tokens
        if context is not None and new >= context:
            raise InputError(
                f"writer_max_new_tokens is {new}, expected at most {context - 1}: the generator's context is {context} tokens"
            )

    def write(
        self,
        topics: Sequence[str],
        seed: int,
        counter: int,
        purpose: str = "writer",
        progress: Callable[[int], None] | None = None,
        targets: Tensor | None = None,
    ) -> Written:
        """Continue N topics; see `prompter.generation.writer.Writer.write`.

        Raises:
            InputError: The model cannot be asked.
        """
        topics = [" ".join(topic.split()) for topic in topics]
        if not topics:
            return Written([], zeros(0), 0)
        if self.contexts is not None and targets is not None:
            rows: list[Row] = self.contexts.rows(topics, targets)
        else:
            rows = [([self.start], list(row)) for row in self.tokenizer(topics, add_special_tokens=False)["input_ids"]]
        longest = 0 if self.context_length is None else self.context_length - self.config.writer_max_new_tokens  # 0: all
        asked = [
            Asked(number, [*read, *begin][-longest:], begin, derive_seed(seed, purpose, counter, number))
            for number, (read, begin) in enumerate(rows)
        ]
        written = self._written(asked, progress)
        return replace(written, texts=self.edits(written.texts, targets, seed, counter, purpose))

    @abstractmethod
    def _written(self, asked: list[Asked], progress: Callable[[int], None] | None) -> Written:
        """Return the texts that are asked for, in their order; call `progress` with the number of those that are done."""

    def unprompted(self, n: int, seed: int, counter: int) -> Written:
        """Write `n` texts without topics."""
        return self.write([""] * n, seed, counter)

    def sampling(self, config: WriterConfig) -> "OutsideWriter":
        """Return a writer on the same model that samples with other settings."""
        made = copy.copy(self)
        made.config = config
        made.check_lengths()
        return made

    def settle_batch_size(self, remembered: int | None = None) -> int:
        """Return how many texts are asked for at once, 0 where the other side decides; see `Writer.settle_batch_size`."""
        return self.config.writer_batch_size

    def in_two_parts(self, tokens: int) -> tuple["OutsideWriter", "OutsideWriter"]:
        """Refuse to split the writing of a text: a server need not go on where it stopped.

        Raises:
            InputError: Always.
        """
        raise InputError(
            f"candidate_tokens is {tokens}, expected 0 with a writer on vLLM or a server, which writes whole texts: leave it "
            "out"
        )

    def features(self, texts: Sequence[str]) -> Tensor:
        """Compute features of N texts with `reader`, which must be there; see `Writer.features`."""
        assert self.reader is not None
        return self.reader.features(texts)
