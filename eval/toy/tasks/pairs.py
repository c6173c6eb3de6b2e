"""`toy:pairs`: does a second sentence follow from a review?

The second sentence praises: either some of it ("not every plot was silly") or all of it ("not one plot was silly"). From a
review that praises the first follows, and the second may be true or not. A review that blames leaves the first open and
contradicts the second. So neither half alone decides: the answer depends on a sum of what both say. A parity, "of the same
mind or not", is no task for models that begin with random weights: a teacher of this size stayed at chance.
"""

import functools
import random

from eval.toy.grammar import Grammar
from eval.toy.reviews import REVIEW_DOMAINS, review_grammar
from eval.toy.tasks.world import JudgedWorld, Row

LABELS = ["entailment", "neutral", "contradiction"]
ENTAILMENT, NEUTRAL, CONTRADICTION = range(3)

SECOND: dict[str, list[str]] = {
    "some": [
        "at least one {item} was {any_item_p}",
        "not every {item} was {any_item_n}",
        "somebody at the {venue} {like_p} the {item}",
        "somebody will {base_p} the {kind} and the {staff}",
        "the {staff} was not always {any_staff_n}",
        "{name} did not {base_n} all of the {kind}",
        "there is a {kind} in {town} that is worse",
    ],
    "all": [
        "every {item} at the {venue} was {any_item_p}",
        "not one {item} was {any_item_n}",
        "everybody at the {venue} {like_p} the {item}",
        "everybody will {base_p} the {kind} and the {staff}",
        "the {staff} was always {any_staff_p}",
        "{name} did not {base_n} any of the {kind}",
        "there is no {kind} in {town} that is better",
    ],
}


def draw(world: JudgedWorld, number: int, rng: random.Random) -> Row:
    """Draw a pair of the label `number % 3`, an index into `LABELS`."""
    label = number % len(LABELS)
    domain = rng.choice(REVIEW_DOMAINS)
    praise = rng.random() < 0.5 if label == NEUTRAL else label == ENTAILMENT
    first = world.review(praise, rng, domain).text
    return {"text": first, "text_pair": following(world, domain, praise, label, rng), "label": label}


def following(world: JudgedWorld, domain: str, praise: bool, label: int, rng: random.Random) -> str:
    """Draw the second sentence of a pair of one label, given domain and mind of the first.

    No praise contradicts praise, and nothing follows from blame: these labels give the nearest that there is, neutral.
    """
    alls = praise if label == NEUTRAL else label == CONTRADICTION
    return _grammar(world.seed, domain).sentence("all" if alls else "some", rng)


@functools.cache
def _grammar(seed: int, domain: str) -> Grammar:
    grammar = review_grammar(domain, JudgedWorld(seed).source("words", domain))
    return Grammar(grammar.symbols | SECOND)
