"""`toy:topics`: what a review is about, several labels at once: film or restaurant, praise, complaint.

A review that concedes something ("the pie was tasty, but ...") holds both praise and complaint. As in `toy:sentiment` "the
soup was not bland" is praise, so counting words is not enough.
"""

import random

from eval.toy.reviews import REVIEW_DOMAINS
from eval.toy.tasks.world import JudgedWorld, Row

LABELS = [*REVIEW_DOMAINS, "praise", "complaint"]


def draw(world: JudgedWorld, number: int, rng: random.Random) -> Row:
    """Draw a review with its labels: indices into `LABELS`, and their names."""
    domain = rng.choice(REVIEW_DOMAINS)
    review = world.review(number % 2 == 1, rng, domain)
    said = {domain} | {"praise" if judged.praise else "complaint" for judged in review.judgements}
    labels = [index for index, label in enumerate(LABELS) if label in said]
    return {"text": review.text, "labels": labels, "label_names": [LABELS[index] for index in labels]}
