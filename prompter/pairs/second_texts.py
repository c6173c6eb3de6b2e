"""The second texts of pairs: written for the class that is asked for, or corruptions of the first texts as controls.

A first text is what a policy's opening becomes. Then the writer is asked for a text whose relation to it is that of the class.
`pair_texts` names other second texts: the first one with three words replaced, what the writer goes on with (`neighbour`), and
the first text of another pair (`random`). These three are the construction of zero-shot distillation
(`distill.methods.corpus`); nobody asks for a class there, so which one comes is chance. All of this is ours.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from distill.common.errors import InputError
from distill.common.seeding import random_generator
from distill.methods.corpus import replaced_words
from prompter.editing.edits import UNEDITED
from prompter.generation.config import NEIGHBOUR, RANDOM, REPLACED, WRITTEN, PolicyConfig
from prompter.generation.opening import AnyWriter
from prompter.generation.prompts import Reading
from prompter.pairs.relations import temperatures
from prompter.pairs.requests import Continued, PairRequests

CORRUPTIONS = (REPLACED, NEIGHBOUR, RANDOM)
"""Second texts that nobody is asked for."""

QUOTES = {'"': '"', "“": "”", "'": "'", "«": "»"}
"""What chat models put around an answer, by what opens it."""


class SecondTexts:
    """Makes the second texts of pairs.

    Args:
        writer: The frozen writer of the first texts, whose settings say what second texts are.
        labels: Class names of the teacher, in its order.
        policy: The user's words, see `prompter.pairs.relations.pair_policy`.

    Raises:
        InputError: Two classes have the same words, or a request or `pair_max_new_tokens` leaves no room for a first text.
    """

    def __init__(self, writer: AnyWriter, labels: Sequence[str], policy: PolicyConfig) -> None:
        self.writer, config = writer, writer.config
        context = writer.context_length
        longest = None if context is None else context - config.pair_max_new_tokens
        self.requests = PairRequests(writer.tokenizer, labels, policy, config, longest)
        self.continued = Continued(writer.tokenizer, writer.start, longest)
        self.temperatures = temperatures(config, labels)
        if WRITTEN in config.pair_texts:
            self.requests.check_room(policy.longest_opening + config.writer_max_new_tokens)
        if NEIGHBOUR in config.pair_texts and context is not None and context - config.pair_max_new_tokens < 2:
            raise InputError(
                f"pair_max_new_tokens is {config.pair_max_new_tokens}, expected at most {context - 2}: the generator's "
                f"context is {context} tokens, and it reads a token of the first text"
            )

    def write(
        self,
        texts: Sequence[str],
        targets: Tensor,
        seed: int,
        counter: int,
        purpose: str = "second texts",
        kinds: Sequence[str] = (),
    ) -> list[str]:
        """Return a second text for each of N first texts; none of them is empty.

        Args:
            texts: First texts.
            targets: (N,) target class of each; -1 for none, where `kinds` does not ask for written ones.
            seed: Seed of the run.
            counter: Number of this call. Seed, counter, purpose and texts together decide the second texts.
            purpose: Keeps the random numbers of different callers apart.
            kinds: What second texts are, in equal shares; empty for `pair_texts`.
        """
        kinds = list(kinds or self.writer.config.pair_texts)
        random = random_generator(seed, purpose, "kinds", counter)
        chosen = torch.randint(len(kinds), (len(texts),), generator=random).tolist()
        strangers = [texts[row] for row in torch.randint(max(1, len(texts)), (len(texts),), generator=random).tolist()]
        made = [
            stranger if kinds[kind] == RANDOM else replaced_words(text, stranger, random)
            for text, stranger, kind in zip(texts, strangers, chosen, strict=True)
        ]
        rows_of = {kind: [row for row, number in enumerate(chosen) if kinds[number] == kind] for kind in (WRITTEN, NEIGHBOUR)}
        for kind, reading in ((WRITTEN, self.requests), (NEIGHBOUR, self.continued)):
            for temperature, rows in self._by_temperature(kind, rows_of[kind], targets):
                used = f"{purpose} {kind} {temperature}"
                asked = self._written([texts[row] for row in rows], targets[rows], seed, counter, used, reading, temperature)
                for row, text in zip(rows, asked, strict=True):
                    made[row] = text or made[row]  # a model may end at once
        return made

    def _by_temperature(self, kind: str, rows: list[int], targets: Tensor) -> list[tuple[float, list[int]]]:
        """Return rows together that are sampled alike, with their temperature."""
        usual = self.writer.config.writer_temperature
        of_row = {row: self.temperatures[int(targets[row])] if kind == WRITTEN else usual for row in rows}
        return [(value, [row for row in rows if of_row[row] == value]) for value in sorted(set(of_row.values()))]

    def _written(
        self,
        texts: list[str],
        targets: Tensor,
        seed: int,
        counter: int,
        purpose: str,
        reading: Reading,
        temperature: float,
    ) -> list[str]:
        config = self.writer.config
        most = config.pair_max_new_tokens
        fewest = min(config.writer_min_new_tokens, most)
        shorter = replace(config, writer_max_new_tokens=most, writer_min_new_tokens=fewest)
        writer = self.writer.sampling(replace(shorter, writer_temperature=temperature))
        writer.contexts, writer.edits = reading, UNEDITED  # the first text has its class's edits
        return [unquoted(text) for text in writer.write(texts, seed, counter, purpose, targets=targets).texts]


def unquoted(text: str) -> str:
    """Return a text without quotation marks around all of it.

    Examples:
        >>> unquoted('"It rained."'), unquoted('"It" rained.'), unquoted('"It rained')
        ('It rained.', '"It" rained.', 'It rained')
    """
    closing = QUOTES.get(text[:1])
    if closing is None:
        return text
    inner = text[1:].removesuffix(closing)
    return text if closing in inner else inner.strip()
