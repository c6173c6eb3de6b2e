"""`toy:acceptable`: is a review a good sentence, or was it damaged?

As in CoLA (Warstadt et al. 2019, arXiv 1805.12471), seven of ten sentences are acceptable. The others break a rule of the
grammar: the order of two words, the agreement of a verb or an article, or a word that cannot be left out.
Both classes are of the same domains and the same words: a third of the subjects are plural, so "were" is as common in good
sentences, and only together with its subject is it wrong.
"""

import random
import re

from eval.toy.tasks.world import JudgedWorld, Row

LABELS = ["unacceptable", "acceptable"]

UNACCEPTABLE = (2, 5, 8)
"""Last digits of the numbers of rows that are unacceptable: three of ten."""

NEEDED = frozenset("the these a an was were is are did of at in to by with it we they".split())
"""Words that cannot be left out, and that cannot change places with a neighbour."""

VERBS = {"was": "were", "is": "are"} | {
    f"{verb}s": verb for verb in ("save", "rescue", "redeem", "lift", "improve", "ruin", "spoil", "wreck", "sink", "kill")
}
"""Verbs after one thing, and after several."""

AGREEMENT = VERBS | {several: one for one, several in VERBS.items()} | {"a": "an", "an": "a"}
"""Each word that agrees with another one, and the form that does not."""

PLURAL_SHARE = 1 / 3
"""Share of the subjects that are made plural."""

WORD = re.compile(r"[\w'-]+")
SUBJECT = re.compile(rf"\b(?:(the)|(this)((?: [\w-]+)?)) ([\w-]+) ({'|'.join(VERBS)})\b")


def draw(world: JudgedWorld, number: int, rng: random.Random) -> Row:
    """Draw a review, damaged if its number is one of an unacceptable row."""
    acceptable = number % 10 not in UNACCEPTABLE
    while True:
        text = SUBJECT.sub(lambda found: plural(found, rng), world.review(rng.random() < 0.5, rng).text)
        made = text
        for _ in range(0 if acceptable else rng.choice((1, 2))):
            made = made and damaged(made, rng)
        if made and acceptable == (made == text):
            return {"text": made, "label": int(acceptable), "label_name": LABELS[int(acceptable)]}


def plural(subject: re.Match[str], rng: random.Random) -> str:
    """Return a subject and its verb: a third of them plural, the others as they are."""
    the, _, quality, noun, verb = subject.groups()
    if rng.random() >= PLURAL_SHARE:
        return subject.group()
    if noun.endswith("y") and noun[-2] not in "aeiou":
        noun = noun[:-1] + "ie"
    elif noun.endswith(("s", "x", "z", "ch", "sh")):
        noun += "e"
    return f"{the or 'these'}{quality or ''} {noun}s {VERBS[verb]}"


def damaged(text: str, rng: random.Random) -> str:
    """Return a sentence with one rule broken; "" if the rule that was drawn has nothing to break in it."""
    words = [(match.start(), match.end(), match.group()) for match in WORD.finditer(text)]
    damage = rng.choice(("order", "agreement", "missing"))
    if damage == "agreement":
        places = [place for place, (_, _, word) in enumerate(words) if word in AGREEMENT]
    else:
        last = len(words) - 1 if damage == "order" else len(words)
        places = [place for place, (_, _, word) in enumerate(words[:last]) if word in NEEDED]
    if not places:
        return ""
    place = rng.choice(places)
    start, end, word = words[place]
    if damage == "agreement":
        return text[:start] + AGREEMENT[word] + text[end:]
    if damage == "missing":
        return (text[:start] + text[end:].lstrip()).strip()
    next_start, next_end, following = words[place + 1]
    return text[:start] + following + text[end:next_start] + word + text[next_end:]
