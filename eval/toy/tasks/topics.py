"""`toy:topics`: what a review speaks of, several labels at once: film or restaurant, and of what it says good or bad.

A review judges details (plot, soup), people (director, waiter) or the whole (the film, the restaurant), and may praise one
and fault another. As in `toy:sentiment` "the soup was not bland" is praise, so counting words is not enough.
"""

import random

from eval.toy.reviews import REVIEW_DOMAINS
from eval.toy.tasks.judged import PART, PEOPLE, WHOLE
from eval.toy.tasks.world import JudgedWorld, Row

JUDGED = {PART: "detail", PEOPLE: "people", WHOLE: "whole"}
LABELS = [*REVIEW_DOMAINS, *(f"{name} {mind}" for name in JUDGED.values() for mind in ("praised", "faulted"))]


def draw(world: JudgedWorld, number: int, rng: random.Random) -> Row:
    """Draw a review with its labels: indices into `LABELS`, and their names."""
    domain = rng.choice(REVIEW_DOMAINS)
    review = world.review(number % 2 == 1, rng, domain)
    said = {domain} | {f"{JUDGED[one.what]} {'praised' if one.praise else 'faulted'}" for one in review.judgements}
    labels = [index for index, label in enumerate(LABELS) if label in said]
    return {"text": review.text, "labels": labels, "label_names": [LABELS[index] for index in labels]}
