"""The reviews: negation and contrast decide the label."""

import re

import pytest

from eval.toy.reviews import DEGREES, KEEPERS, NEGATORS, RULES, mirrored
from eval.toy.words import ANY_ADJECTIVE, REVIEWS
from eval.toy.world import World, shared_world

PRAISE = {w for lists in (ANY_ADJECTIVE, *REVIEWS.values()) for slot in ("adj_p", "item_p", "staff_p")
          for w in lists.get(slot, "").split()}  # fmt: skip
BLAME = {w for lists in (ANY_ADJECTIVE, *REVIEWS.values()) for slot in ("adj_n", "item_n", "staff_n")
         for w in lists.get(slot, "").split()}  # fmt: skip


@pytest.fixture(scope="module")
def world() -> World:
    return shared_world(0)


def test_no_adjective_is_both_praise_and_blame():
    assert not PRAISE & BLAME


def test_negation_flips_and_look_alikes_do_not(world):
    """Of "the plot was X" the label is X's polarity; of "the plot was not X" it is the other one."""
    task = world.task("sentiment")
    kinds = {"": "plain"} | dict.fromkeys(NEGATORS, "flips") | dict.fromkeys((*KEEPERS, *DEGREES), "keeps")
    place = r"(?:(?:in|at|on) [\w -]+, )?"
    claim = re.compile(place + r"the [\w-]+ was (?:([a-z ]+?) )??([\w-]+)(?: (?:at the|on|in) [\w-]+)?\.")
    labels: dict[str, dict[str, int]] = {kind: {} for kind in kinds.values()}
    for text, label in zip(task.train_texts, task.train_labels, strict=True):
        match = claim.fullmatch(text)
        if match and match[2] in PRAISE | BLAME and (match[1] or "") in kinds:
            kind = kinds[match[1] or ""]
            assert label == ((match[2] in PRAISE) != (kind == "flips")), text
            labels[kind][match[2]] = label
    assert all(len(found) >= 20 for found in labels.values())
    both = labels["plain"].keys() & labels["flips"].keys()
    pairs = [(labels["plain"][word], labels["flips"][word]) for word in both]
    assert len(pairs) >= 10
    assert all(plain != negated for plain, negated in pairs)


def test_the_clause_after_but_decides(world):
    task = world.task("sentiment")
    decided = 0
    for text, label in zip(task.train_texts, task.train_labels, strict=True):
        match = re.fullmatch(r"the [\w-]+ was ([\w-]+), but the [\w-]+ was ([\w-]+) and everybody .*", text)
        if match and {match[1], match[2]} <= PRAISE | BLAME:
            assert (match[1] in PRAISE) != (match[2] in PRAISE)
            assert label == (match[2] in PRAISE), text
            decided += 1
    assert decided >= 3


def test_mirroring_is_its_own_inverse_and_touches_nothing_else():
    assert mirrored(mirrored(RULES)) == RULES
    assert mirrored({"claim_p": ["the {item} was {adj_p}, {degree} {adj_n}"]}) == {
        "claim_n": ["the {item} was {adj_n}, {degree} {adj_p}"]
    }
