"""`toy:pairs`: does a second sentence follow from a review?

The second sentence says in the reviewer's name what came of it. It follows if it is of the same kind of place or film and as
pleased or displeased as the review; it contradicts the review if it is of the other mind; and it is neutral if it speaks of
something else. So neither sentence alone says anything about the answer.
"""

import functools
import random

from eval.toy.grammar import Grammar
from eval.toy.reviews import REVIEW_DOMAINS, mirrored, review_grammar
from eval.toy.tasks.world import JudgedWorld, Row

LABELS = ["entailment", "neutral", "contradiction"]

SECOND: dict[str, list[str]] = {
    "second_p": [
        "{claim_p}",
        "{plain_p}",
        "i would {base_p} the {kind} again",
        "{name} will {base_p} this {kind} as well",
        "we {like_p} every minute of the {kind}",
        "everybody at the {venue} {like_p} it",
        "the {staff} deserves a {adj_p} name",
        "we talked about the {any_item_p} {item} for {number} days",
    ]
}
SYMBOLS = SECOND | mirrored(SECOND)


def second_sentence(world: JudgedWorld, domain: str, praise: bool, rng: random.Random) -> str:
    """Draw a second sentence of one domain and mind."""
    return _grammar(world.seed, domain).sentence("second_p" if praise else "second_n", rng)


@functools.cache
def _grammar(seed: int, domain: str) -> Grammar:
    grammar = review_grammar(domain, JudgedWorld(seed).source("words", domain))
    return Grammar(grammar.symbols | SYMBOLS)


def draw(world: JudgedWorld, number: int, rng: random.Random) -> Row:
    """Draw a pair of the label `number % 3`, an index into `LABELS`."""
    label = number % len(LABELS)
    domain, praise = rng.choice(REVIEW_DOMAINS), rng.random() < 0.5
    first = world.review(praise, rng, domain).text
    return {"text": first, "text_pair": following(world, domain, praise, label, rng), "label": label}


def following(world: JudgedWorld, domain: str, praise: bool, label: int, rng: random.Random) -> str:
    """Draw the second sentence of a pair of one label, given domain and mind of the first."""
    if LABELS[label] == "neutral":
        other = rng.choice([name for name in REVIEW_DOMAINS if name != domain])
        return second_sentence(world, other, rng.random() < 0.5, rng)
    return second_sentence(world, domain, praise == (LABELS[label] == "entailment"), rng)
