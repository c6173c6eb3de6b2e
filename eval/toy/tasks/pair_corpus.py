"""The general corpus of pairs, and the toy writer that learnt from it: `toy:pairs` as a generator.

Most of its lines are single sentences, as in the general corpus. A third go on with a word and a second sentence:
"so" before what follows from the first, "but" before what speaks against it, and "perhaps" before what may be true or not. The
shares of the domains are those of the general corpus. A request such as "{text} so:" therefore gives a second sentence.
"""

import random

from eval.toy.reviews import REVIEW_DOMAINS
from eval.toy.tasks.pairs import CONTRADICTION, ENTAILMENT, LABELS, NEUTRAL, following
from eval.toy.tasks.world import JudgedWorld
from eval.toy.world import World

CUES = dict(zip(LABELS, ("so", "perhaps", "but"), strict=True))
"""The word between two sentences, by what the second one is to the first."""

PAIR_SHARE = 1 / 3  # of the lines; a text that nobody prompts goes on as often


class WorldOfPairs(World):
    """A world whose general corpus has lines of two sentences.

    Args:
        seed: Any integer.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._judged = JudgedWorld(seed)

    def general_corpus(self, n: int, seed: int = 0) -> list[str]:
        """Draw `n` lines of one or two sentences of all domains."""
        rng = self._rng("pairs", str(seed))
        shares = self.domain_shares
        domains = rng.choices(list(shares), weights=list(shares.values()), k=n)
        return [self._line(domain, rng) for domain in domains]

    def _line(self, domain: str, rng: random.Random) -> str:
        praise = rng.random() < 0.5
        reviews = domain in REVIEW_DOMAINS
        first = self._judged.review(praise, rng, domain).text if reviews else self.domain_text(domain, rng)
        if rng.random() >= PAIR_SHARE:
            return first
        label = rng.choice((ENTAILMENT if praise else CONTRADICTION, NEUTRAL))
        second = following(self._judged, domain, praise, label, rng) if reviews else self.domain_text(domain, rng)
        return f"{first} {CUES[LABELS[label]]}: {second}"
