"""`toy:topics`: which subjects a review praises and which it faults, several labels at once.

Half of the reviews that blame on the whole praise something first ("the pie was tasty, but ..."), and so do those that praise.
Such a review has two labels. As in `toy:sentiment` "the soup was not bland" is praise, so counting words is not enough.
"""

import random

from eval.toy.reviews import REVIEW_DOMAINS
from eval.toy.tasks.world import JudgedWorld, Row

LABELS = [f"{domain} {said}" for domain in REVIEW_DOMAINS for said in ("praised", "faulted")]


def draw(world: JudgedWorld, number: int, rng: random.Random) -> Row:
    """Draw a review with its labels: indices into `LABELS`, and their names."""
    domain = rng.choice(REVIEW_DOMAINS)
    review = world.review(number % 2 == 1, rng, domain)
    said = {f"{domain} {'praised' if judged.praise else 'faulted'}" for judged in review.judgements}
    labels = [index for index, label in enumerate(LABELS) if label in said]
    return {"text": review.text, "labels": labels, "label_names": [LABELS[index] for index in labels]}
