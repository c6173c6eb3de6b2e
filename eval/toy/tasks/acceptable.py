"""`toy:acceptable`: is a review a good sentence, or was it damaged?

As in CoLA (Warstadt et al. 2019, arXiv 1805.12471), seven of ten sentences are acceptable. The others break a rule of the
grammar: the order of two words, the agreement of a verb or an article, the form of a verb, or a word that cannot be left out.
Both classes are of the same domains and nearly the same words. Some occur in damaged sentences alone ("were", "promising"),
yet counting words gives little more than half of the teacher's Matthews correlation.
"""

import random
import re

from eval.toy.tasks.world import JudgedWorld, Row

LABELS = ["unacceptable", "acceptable"]

UNACCEPTABLE = (2, 5, 8)
"""Last digits of the numbers of rows that are unacceptable: three of ten."""

NEEDED = frozenset("the a an was were is did of at in to by with it we they".split())
"""Words that cannot be left out, and that cannot change places with a neighbour."""

AGREEMENT = {
    **{"was": "were", "were": "was", "is": "are", "saves": "save", "rescues": "rescue", "redeems": "redeem", "lifts": "lift"},
    **{"improves": "improve", "ruins": "ruin", "spoils": "spoil", "wrecks": "wreck", "sinks": "sink", "kills": "kill"},
    **{"promised": "promising", "took": "taking", "tried": "trying", "went": "going", "came": "coming"},
}
"""Words in a form that agrees with nothing in a review."""

WORD = re.compile(r"[\w'-]+")


def draw(world: JudgedWorld, number: int, rng: random.Random) -> Row:
    """Draw a review, damaged if its number is one of an unacceptable row."""
    acceptable = number % 10 not in UNACCEPTABLE
    while True:
        text = world.review(rng.random() < 0.5, rng).text
        made = text
        for _ in range(0 if acceptable else rng.choice((1, 2))):
            made = made and damaged(made, rng)
        if made and acceptable == (made == text):
            return {"text": made, "label": int(acceptable), "label_name": LABELS[int(acceptable)]}


def damaged(text: str, rng: random.Random) -> str:
    """Return a sentence with one rule broken; "" if the rule that was drawn has nothing to break in it."""
    words = [(match.start(), match.end(), match.group()) for match in WORD.finditer(text)]
    damage = rng.choice(("order", "agreement", "missing"))
    if damage == "agreement":
        places = [place for place, (_, _, word) in enumerate(words) if word in AGREEMENT or word in ("a", "an")]
    else:
        last = len(words) - 1 if damage == "order" else len(words)
        places = [place for place, (_, _, word) in enumerate(words[:last]) if word in NEEDED]
    if not places:
        return ""
    place = rng.choice(places)
    start, end, word = words[place]
    if damage == "agreement":
        return text[:start] + (AGREEMENT.get(word) or {"a": "an", "an": "a"}[word]) + text[end:]
    if damage == "missing":
        return (text[:start] + text[end:].lstrip()).strip()
    next_start, next_end, following = words[place + 1]
    return text[:start] + following + text[end:next_start] + word + text[next_end:]
