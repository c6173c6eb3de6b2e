"""A grammar with typed slots, which turns word lists into the sentences of the toy world.

A template is a sentence with slots: "the {person} {act} a {quality} {thing}". A table of symbols fills the slots; its entries
are words or templates, so the grammar is context-free. Words are drawn by Zipf's law: a few are common and most are rare, as
in real text. A small sample of a domain therefore misses much of its vocabulary. Every template below works for all
plain domains; only the word lists differ. The first words of a sentence ("the goalkeeper ...") decide the domain of the
rest. For this reason a topic can steer a language model.
"""

import itertools
import random
import re
from collections.abc import Mapping, Sequence

_SLOT = re.compile(r"\{(\w+)\}")
_ARTICLE = re.compile(r"\ba (?=[aeiou])")

MIN_WORDS, MAX_WORDS = 5, 25

# Frames of all plain domains. `frame` is the start symbol.
FRAMES: list[str] = [
    "the {person} {act} the {thing} in the {place}",
    "the {person} {act} the {quality} {thing} {manner}",
    "the {person} {act} {number} {many} {when}",
    "{name} {act} the {many} near the {place} {when}",
    "{when}, the {person} {act} a {quality} {thing}",
    "after the {event}, {name} {act} the {thing} {manner}",
    "there were {number} {many} beside the {thing}",
    "there is a {size} {thing} behind the {place}",
    "the {thing} was {quality}, so the {person} {act} it again",
    "the {thing} was {act} by the {person} {when}",
    "every {person} needs a {thing} and some {many}",
    "the {person} asked whether the {thing} was {quality}",
    "a {quality} {thing} stood between the {place} and the {place}",
    "{name} is a {person} who {act} {quality} {many}",
    "when the {event} began, the {person} {act} the {size} {thing}",
    "they {act} the {thing} but kept the {many}",
    "not all {many} are {quality}, said the {person}",
    "the {place} was full of {colour} {many} and {quality} {many}",
    "without a {thing}, no {person} could finish the {event}",
    "{name} wrote a letter about the {event} at the {place}",
    "did the {person} leave the {thing} in the {place}?",
    "because the {thing} was {size}, the {event} lasted {number} hours",
    "in the {place}, the {person} and {name} {act} {many} for the {event}",
    "the {event} was never {quality}, although the {person} had {act} every {thing}",
    "{name} did not see the {person} before the {event}",
    "the {many} and the {thing} came from {town} {when}",
]
WHEN: list[str] = [
    "on {day}", "in {month}", "last {day}", "last week", "yesterday", "this morning", "on {day} evening",
    "before noon", "every {day}", "{number} days ago", "at dawn", "after dark", "for {number} hours",
]  # fmt: skip


class Grammar:
    """A table of symbols to draw sentences from.

    Args:
        symbols: Possible fillings of each slot, most frequent first. If a filling has slots itself (a rule), the list is
            drawn from uniformly; plain words are drawn by Zipf's law.
        zipf: Exponent s of the word frequencies, 1 / (rank + 3)^s; 0 is uniform.

    Raises:
        ValueError: A filling names a slot that the table does not have.
    """

    def __init__(self, symbols: Mapping[str, Sequence[str]], zipf: float = 1.0) -> None:
        self.symbols = {name: list(fillings) for name, fillings in symbols.items()}
        self._weights: dict[str, list[float]] = {}
        for name, fillings in self.symbols.items():
            rules = any(_SLOT.search(filling) for filling in fillings)
            exponent = 0.0 if rules else zipf
            weights = [(rank + 3.0) ** -exponent for rank in range(len(fillings))]
            self._weights[name] = list(itertools.accumulate(weights))
            unknown = {slot for filling in fillings for slot in _SLOT.findall(filling)} - self.symbols.keys()
            if unknown:
                raise ValueError(f"symbol {name!r} uses undefined slots: {', '.join(sorted(unknown))}")

    def expand(self, template: str, rng: random.Random) -> str:
        """Fill every slot of `template`, recursively; slots of one template are filled differently."""
        used: set[str] = set()

        def fill(match: re.Match[str]) -> str:
            name = match.group(1)
            fillings = self.symbols[name]
            filling = rng.choices(fillings, cum_weights=self._weights[name])[0]
            while filling in used and len(fillings) > 3:
                filling = rng.choices(fillings, cum_weights=self._weights[name])[0]
            used.add(filling)
            return self.expand(filling, rng)

        return _SLOT.sub(fill, template)

    def sentence(self, start: str, rng: random.Random) -> str:
        """Draw one complete sentence of 5 to 25 words from symbol `start`, with "an" where needed and a full stop.

        Hyphenated words and words with punctuation attached count as one.
        """
        while True:
            text = _ARTICLE.sub("an ", self.expand("{" + start + "}", rng))
            if MIN_WORDS <= len(text.split()) <= MAX_WORDS:
                return text if text[-1] in "?!" else text + "."


def ranked(words: str, rng: random.Random) -> list[str]:
    """Split and shuffle a word list. The order is the frequency rank, so the world's seed decides word frequencies."""
    result = words.split()
    rng.shuffle(result)
    return result
