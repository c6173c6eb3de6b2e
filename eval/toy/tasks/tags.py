"""`toy:tags`: what a review names, as tags of its words: what is praised, what is faulted, persons and places.

The tags are in the IOB2 scheme: B begins a name, I goes on with it, O is in none. Which word is praised depends on the whole
sentence, and things that are named without a judgement have no tag.
"""

import random

from eval.toy.tasks.judged import PERSON, PLACE
from eval.toy.tasks.world import JudgedWorld, Row

TYPES = ("praised", "faulted", PERSON, PLACE)
LABELS = ["O", *(f"{part}-{name}" for name in TYPES for part in "BI")]


def draw(world: JudgedWorld, number: int, rng: random.Random) -> Row:
    """Draw a review with its words, `tokens`, and the tag of each."""
    review = world.review(number % 2 == 1, rng)
    tags = ["O"] * len(review.words)
    for span in review.spans:
        if span.praise is None and span.what not in (PERSON, PLACE):
            continue
        kind = span.what if span.praise is None else "praised" if span.praise else "faulted"
        tags[span.start : span.end] = [f"I-{kind}"] * (span.end - span.start)
        tags[span.start] = f"B-{kind}"
    return {"text": review.text, "tokens": review.words, "tags": tags}
