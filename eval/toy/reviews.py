"""Film and restaurant reviews whose sentiment depends on structure, not on word counts.

A review either praises (`_p`) or blames (`_n`). The rules below are written once, for praise; exchanging `_p` and `_n`
everywhere gives the rules for blame. Praise may say that the soup was tasty, that it was not at all bland, that the bread was
stale but the pie saved the evening, or that somebody expected a stale pie and was wrong. Nearly every word of praise
therefore also occurs in blame. A model that only counts words is often wrong; a model that reads negation and contrast is
right. Some constructions look like negation but are not ("not only", "nothing short of").
"""

import random
import re
from collections.abc import Mapping

from eval.toy.grammar import WHEN, Grammar, ranked
from eval.toy.words import ANY_ADJECTIVE, COMMON, REVIEWS

REVIEW_DOMAINS = tuple(REVIEWS)

# Phrases that negate the adjective after them, and phrases that only look like negation.
NEGATORS = ("not", "not at all", "never", "far from", "hardly")
KEEPERS = ("nothing short of", "nothing less than", "not only cheap but")
DEGREES = ("very", "really", "quite", "so", "truly", "rather", "utterly", "always", "simply")

RULES: dict[str, list[str]] = {
    # A judgement of one aspect. The `_is_` symbols give each aspect the adjectives that fit it.
    "claim_p": [
        "the {item} was {item_is_p}",
        "the {item} was {item_is_p}",
        "the {staff} was {staff_is_p}",
        "the {staff} was {staff_is_p}",
        "we {like_p} the {item}",
        "everybody {like_p} the {staff}",
        "i did not {base_n} the {item}",
        "nobody could {base_n} the {staff}",
    ],
    "plain_p": ["the {item} was {any_item_p}", "the {staff} was {any_staff_p}", "we {like_p} the {item}"],
    "item_is_p": ["{any_item_p}", "{degree} {any_item_p}", "{negator} {any_item_n}", "{keeper} {any_item_p}"],
    "staff_is_p": ["{any_staff_p}", "{degree} {any_staff_p}", "{negator} {any_staff_n}", "{keeper} {any_staff_p}"],
    "kind_is_p": ["{adj_p}", "{degree} {adj_p}", "{negator} {adj_n}", "{keeper} {adj_p}"],
    "any_item_p": ["{item_p}", "{adj_p}"],
    "any_staff_p": ["{staff_p}", "{adj_p}"],
    # The whole review.
    "review_p": [
        "{claim_p}{tail}",
        "{setting}, {claim_p}",
        "{visit}, and {claim_p}",
        "{claim_p} and {claim_p}",
        "{claim_p} and {claim_p}",
        "this {kind} is {kind_is_p}, and {claim_p}",
        "this {adj_p} {kind} is {kind_is_p}",
        "a {adj_p} {kind} with a {any_item_p} {item}",
        "a {adj_p} {kind} with a {any_staff_p} {staff} and a {any_item_p} {item}",
        "a {adj_p} {kind} that is {negator} {adj_n}",
        "{plain_n}, but {claim_p} and {claim_p}",
        "{plain_n}, yet the {item} {turns_p} the whole {kind}",
        "although {plain_n}, {claim_p}",
        "{plain_p}, even though {plain_n}",
        "despite a {any_item_n} {item}, {claim_p}",
        "they promised a {adj_n} {kind}, and they were wrong",
        "it is hard to {base_n} a {kind} with such a {any_staff_p} {staff}",
    ],
}  # fmt: skip
SHARED_RULES: dict[str, list[str]] = {
    "negator": list(NEGATORS),
    "keeper": list(KEEPERS),
    "degree": list(DEGREES),
    "turns_p": ["saves", "rescues", "redeems", "lifts", "improves"],
    "turns_n": ["ruins", "spoils", "wrecks", "sinks", "kills"],
    "when": WHEN,
    "tail": ["", "", " {when}", " at the {venue}", " when {name} came along"],
    "setting": ["at the {venue}", "in the new {kind}", "{when}", "in {town}"],
    "visit": [
        "we tried the {kind} in {town} {when}", "{name} took me to the {kind} {when}",
        "{name} and i went to the {venue}",
    ],
}  # fmt: skip


def mirrored(rules: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Exchange `_p` and `_n` in every symbol name and slot, which turns rules for praise into rules for blame and back."""

    def swap(text: str) -> str:
        return re.sub(r"_([pn])\b", lambda match: "_n" if match.group(1) == "p" else "_p", text)

    return {swap(name): [swap(filling) for filling in fillings] for name, fillings in rules.items()}


def review_grammar(domain: str, rng: random.Random) -> Grammar:
    """Build the grammar of one review domain, "film" or "restaurant"; start symbols are `review_p` and `review_n`.

    `rng` decides which words are frequent.
    """
    symbols: dict[str, list[str]] = {}
    for words in (COMMON, ANY_ADJECTIVE, REVIEWS[domain]):
        symbols |= {name: ranked(text, rng) for name, text in words.items()}
    return Grammar(symbols | SHARED_RULES | RULES | mirrored(RULES))
