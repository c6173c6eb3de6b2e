"""Classes of pairs in words."""

import pytest

from distill.common.errors import InputError
from distill.kinds.scores import STEPS
from prompter.generation.config import PolicyConfig, WriterConfig
from prompter.generation.prompts import described, filled, of_steps
from prompter.pairs.relations import FIRST_REQUEST, pair_policy, temperatures


def test_known_classes_have_words_and_the_users_win() -> None:
    labels = ["entailment", "Not_Entailment", "other"]
    made = pair_policy(PolicyConfig(label_descriptions="{entailment: answers the question}"), labels)
    words = made.descriptions()
    assert words["entailment"] == "answers the question" and "even if" in words["Not_Entailment"] and "other" not in words
    assert made.request == FIRST_REQUEST
    own = pair_policy(PolicyConfig(request="Ask {label}", control="{label} then"), labels)
    assert (own.request, own.control) == ("Ask {label}", "{label} then")


def test_words_may_hold_any_character() -> None:
    made = pair_policy(PolicyConfig(label_descriptions="{equivalent: says the same 😀 𠮷 é}"), ["equivalent", "other"])
    assert made.descriptions()["equivalent"] == "says the same 😀 𠮷 é"


def test_the_steps_of_a_number_are_relations() -> None:
    made = pair_policy(PolicyConfig(label_descriptions="{very low: has nothing to do with it}"), STEPS)
    words = described(STEPS, made.descriptions())
    assert words[0] == "has nothing to do with it" and words[4] == "says the same in other words" and len(set(words)) == 5
    requests = [filled(of_steps(template, STEPS), "a text", words[1]) for template in (made.request, made.control)]
    assert all("a sentence that is about the same subject but" in request for request in requests)
    assert temperatures(WriterConfig(), STEPS) == [1.0, 1.0, 1.0, 0.5, 0.5]
    assert "high" not in pair_policy(PolicyConfig(), ["high", "low"]).descriptions()  # classes of that name are no steps


def test_a_policy_that_writes_no_openings_is_refused() -> None:
    with pytest.raises(InputError, match="writes is 'text', expected 'topic' or 'nothing' for a teacher of pairs"):
        pair_policy(PolicyConfig(writes="text"), ["a", "b"])
    assert pair_policy(PolicyConfig(writes="nothing"), ["a", "b"]).writes == "nothing"


def test_temperatures_by_class() -> None:
    labels = ["Not-Entailment", "entailment", "other"]
    assert temperatures(WriterConfig(writer_temperature=0.9), labels) == [0.9, 0.5, 0.9]
    assert temperatures(WriterConfig(pair_temperatures="{entailment: 0, other: 2}"), labels) == [1.0, 0.0, 2.0]
    with pytest.raises(InputError, match="there is no class 'othr'.*Did you mean 'other'"):
        temperatures(WriterConfig(pair_temperatures="{othr: 1}"), labels)
    for wrong in ("{a: -1}", "{a: hot}", "0.5", "{a: [1]}"):
        with pytest.raises(InputError, match="expected a YAML map from classes to numbers >= 0"):
            WriterConfig(pair_temperatures=wrong)
