"""`toy:score`: how good something is that a review speaks of, a number from 1 to 5.

The score is the mean of what the review says of each subject: a word of praise counts more after "very" than of itself, and
less after "quite"; "not bland" is faint praise.
"""

import random

from eval.toy.tasks.world import JudgedWorld, Row

LOW, HIGH = 1.0, 5.0


def draw(world: JudgedWorld, number: int, rng: random.Random) -> Row:
    """Draw a review with its score in [`LOW`, `HIGH`], to two digits."""
    review = world.review(number % 2 == 1, rng)
    signed = [judged.strength if judged.praise else -judged.strength for judged in review.judgements]
    middle = (LOW + HIGH) / 2
    return {"text": review.text, "label": round(middle + (HIGH - middle) * sum(signed) / len(signed), 2)}
