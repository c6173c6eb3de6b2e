"""The corpus of pairs: a third of its lines go on, and the word between says how."""

import re

from eval.toy.reviews import REVIEW_DOMAINS
from eval.toy.tasks.pair_corpus import CUES, WorldOfPairs
from eval.toy.words import REVIEWS

CUE = re.compile(rf"^(.+?[.?!]) ({'|'.join(CUES.values())}): (.+[.?!])$")


def kinds(text: str) -> set[str]:
    """The domains of reviews whose names for the whole are in a text."""
    words = set(re.findall(r"[\w-]+", text))
    return {domain for domain in REVIEW_DOMAINS if words & set(REVIEWS[domain]["kind"].split())}


def test_a_third_of_the_lines_go_on_and_most_are_no_reviews():
    world = WorldOfPairs(0)
    lines = world.general_corpus(3000)
    assert lines == WorldOfPairs(0).general_corpus(3000) != world.general_corpus(3000, seed=1)
    found = [match.groups() for line in lines if (match := CUE.match(line))]
    assert 0.3 < len(found) / len(lines) < 0.37
    for cue in CUES.values():
        reviews = [(first, last) for first, said, last in found if said == cue and kinds(last)]
        assert 5 < len(reviews) < 0.05 * len(lines)
        assert all(kinds(first) <= kinds(last) for first, last in reviews)
