"""Reviews with marks: what is read from them is what the sentence says."""

import random
import re

import pytest

from eval.toy.reviews import REVIEW_DOMAINS, RULES, mirrored
from eval.toy.tasks.judged import (
    MILD,
    PART,
    PEOPLE,
    PERSON,
    PHRASES,
    PLACE,
    PLAIN,
    STRONG,
    WHOLE,
    Review,
    judged_grammar,
    read_review,
)  # fmt: skip
from eval.toy.tasks.world import JudgedWorld
from eval.toy.words import ANY_ADJECTIVE, COMMON, REVIEWS
from eval.toy.world import shared_world


@pytest.fixture(scope="module")
def reviews() -> list[tuple[bool, Review]]:
    world, rng = JudgedWorld(0), random.Random(3)
    return [(number % 2 == 1, world.review(number % 2 == 1, rng)) for number in range(3000)]


def said(text: str, reviews: list[tuple[bool, Review]]) -> list[Review]:
    return [review for _, review in reviews if re.fullmatch(text, review.text)]


def test_marked_reviews_are_the_reviews_of_the_world(reviews):
    world = shared_world(0)
    for domain in REVIEW_DOMAINS:
        own = world._grammars[domain].symbols
        marked = judged_grammar(domain, JudgedWorld(0).source("words", domain)).symbols
        for name, fillings in own.items():
            assert [read_review(filling).text if "{" not in filling else "" for filling in marked[name]] == [
                filling if "{" not in filling else "" for filling in fillings
            ]
    for _, review in reviews:
        assert review.text.isascii() and "{" not in review.text
        assert " ".join(review.words) == re.sub(r"([.,])", r" \1", review.text)


def test_every_review_judges_and_its_last_judgements_are_its_own(reviews):
    """Whatever a review concedes first, most of what it says is what it says on the whole."""
    agree = [sum(judged.praise == praise for judged in review.judgements) for praise, review in reviews]
    assert min(agree) >= 1
    assert all(len(review.judgements) - right <= 1 for right, (_, review) in zip(agree, reviews, strict=True))


def test_single_claims_are_judged_by_polarity_negation_and_degree(reviews):
    praise = {w for part in (ANY_ADJECTIVE, *REVIEWS.values()) for slot in ("adj_p", "item_p", "staff_p")
              for w in part.get(slot, "").split()}  # fmt: skip
    found = 0
    for review in said(r"the [\w-]+ was (not |very |quite |)[\w-]+( at the [\w-]+| when \w+ came along)?\.", reviews):
        (judged,) = review.judgements
        degree = {"not": MILD, "very": STRONG, "quite": MILD}
        word, adjective = review.words[3:5] if review.words[3] in degree else ("", review.words[3])
        assert judged.praise == ((adjective in praise) != (word == "not"))
        assert judged.strength == degree.get(word, PLAIN)
        assert (review.spans[0].start, review.spans[0].end, review.spans[0].praise) == (1, 2, judged.praise)
        found += 1
    assert found > 10


@pytest.mark.parametrize(
    ("pattern", "whats", "signs"),
    [
        (r"they promised .*, and they were wrong\.", (WHOLE,), lambda own: (own,)),
        (r"despite an? .*, we \w+ the [\w-]+\.", (PART, None), lambda own: (not own, own)),
        (r"it is hard to .*", (WHOLE, PEOPLE), lambda own: (own, own)),
    ],
)
def test_concessions_and_negated_verbs(reviews, pattern, whats, signs):
    matching = [(own, review) for own, review in reviews if re.fullmatch(pattern, review.text)]
    assert matching
    for own, review in matching:
        assert tuple(judged.praise for judged in review.judgements) == signs(own)
        assert all(what in (None, judged.what) for what, judged in zip(whats, review.judgements, strict=True))


def test_names_and_places_are_spans_and_adjectives_belong_to_their_noun(reviews):
    names, towns = set(COMMON["name"].split()), set(COMMON["town"].split())
    for _, review in reviews:
        people = {review.words[span.start] for span in review.spans if span.what == PERSON}
        assert people == set(review.words) & names
        assert set(review.words) & towns <= {review.words[span.start] for span in review.spans if span.what == PLACE}
    for review in said(r"despite an? \w+ [\w-]+, we \w+ the [\w-]+\.", reviews):
        assert [(span.start, span.end) for span in review.spans] == [(2, 4), (8, 9) if review.words[4] == "," else ()]


def test_every_rule_that_judges_has_a_mark():
    """A rule with an adjective or verb of judgement holds one of the phrases, or one of a rule that does."""
    rules = RULES | mirrored(RULES)
    phrases = {phrase for one in PHRASES for phrase in (one, *mirrored({one: []}))}
    for name, fillings in rules.items():
        if name.startswith(("item_is", "staff_is", "kind_is", "any_")):
            continue  # what these are about, the rule around them says
        for rule in fillings:
            assert any(phrase in rule for phrase in phrases) or "{claim_" in rule or "{plain_" in rule, (name, rule)
