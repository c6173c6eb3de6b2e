"""Classes of pairs in words."""

import pytest

from distill.common.errors import InputError
from prompter.generation.config import PolicyConfig
from prompter.pairs.relations import FIRST_REQUEST, pair_policy


def test_known_classes_have_words_and_the_users_win() -> None:
    labels = ["entailment", "Not_Entailment", "other"]
    made = pair_policy(PolicyConfig(label_descriptions="{entailment: answers the question}"), labels)
    words = made.descriptions()
    assert words["entailment"] == "answers the question" and "even if" in words["Not_Entailment"] and "other" not in words
    assert made.request == FIRST_REQUEST
    own = pair_policy(PolicyConfig(request="Ask {label}", control="{label} then"), labels)
    assert (own.request, own.control) == ("Ask {label}", "{label} then")


def test_a_policy_that_writes_no_openings_is_refused() -> None:
    with pytest.raises(InputError, match="writes is 'text', expected 'topic' for a teacher of pairs"):
        pair_policy(PolicyConfig(writes="text"), ["a", "b"])
