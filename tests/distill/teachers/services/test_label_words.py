"""Probabilities of class names in the answer of a language model, against a model that is computed to the end."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.common.errors import InputError
from distill.teachers.config import Asking
from distill.teachers.services.label_words import named, probabilities, request, template, words_of


def place(taken: str, options: dict[str, float], alternatives: bool = True) -> dict:
    top = [{"token": token, "logprob": math.log(p)} for token, p in options.items()]
    return {"token": taken, "logprob": math.log(options[taken]), "top_logprobs": top if alternatives else []}


def test_names_that_begin_differently_are_a_softmax_over_first_tokens() -> None:
    logits = {" World": 1.0, "Sports": 2.5, " business": -1.0, "Sci": 0.0, "The": 3.0}
    total = sum(map(math.exp, logits.values()))
    options = {token: math.exp(value) / total for token, value in logits.items()}
    found, share, problem = probabilities([place("Sports", options)], words_of(["World", "Sports", "Business", "Sci/Tech"]))
    assert not problem and share == pytest.approx(1 - options["The"])
    kept = np.array([1.0, 2.5, -1.0, 0.0])
    np.testing.assert_allclose(found, np.exp(kept) / np.exp(kept).sum())


def test_the_next_place_decides_between_names_that_begin_alike() -> None:
    first = place("very", {"very": 0.8, "neutral": 0.2})
    second = place(" good", {" good": 0.7, " bad": 0.3})
    found, *_ = probabilities([first, second], words_of(["very good", "very bad", "neutral"]))
    np.testing.assert_allclose(found, [0.56, 0.24, 0.2])


def test_tokens_not_taken_are_shared_and_a_name_may_begin_another() -> None:
    found, *_ = probabilities(
        [place("neutral", {"neutral": 0.6, "very": 0.4})], words_of(["very good", "very bad", "neutral"])
    )
    np.testing.assert_allclose(found, [0.2, 0.2, 0.6])
    words = words_of(["sport", "sports"])
    ends = [place("sport", {"sport": 1.0}), place("<|im_end|>", {"<|im_end|>": 0.9, "s": 0.1})]
    np.testing.assert_allclose(probabilities(ends, words)[0], [0.9, 0.1])
    np.testing.assert_allclose(probabilities([place("sport", {"sport": 1.0})], words)[0], [1.0, 0.0])


def test_names_of_three_tokens_have_the_product_of_all() -> None:
    places = [place("a", {"a": 0.8, "b": 0.2}), place("x", {"x": 0.5, "y": 0.5}), place("m", {"m": 0.25, "n": 0.75})]
    np.testing.assert_allclose(probabilities(places, words_of(["axm", "axn", "ay", "b"]))[0], [0.1, 0.3, 0.4, 0.2])


def test_what_other_paths_gave_to_the_name_of_the_answer_stays() -> None:
    places = [place("spo", {"spo": 0.7, "sports": 0.2, "sport": 0.1}), place("rt", {"rt": 1.0})]
    np.testing.assert_allclose(probabilities(places, words_of(["sport", "sports"]))[0], [0.75, 0.25])


@pytest.mark.parametrize(("share", "answers"), [(0.009, False), (0.011, True)])
def test_a_label_that_is_hardly_likely_is_no_answer(share: float, answers: bool) -> None:
    found, of_labels, problem = probabilities([place("The", {"The": 1 - share, "bad": share})], words_of(["good", "bad"]))
    assert of_labels == pytest.approx(share) and (found is not None) == answers == (not problem)


def test_marks_before_the_name_are_passed_over() -> None:
    places = [place('"', {'"': 0.9, "good": 0.1}), place("Good", {"Good": 0.75, "bad": 0.25})]
    found, *_ = probabilities(places, words_of(["good", "bad"]))
    np.testing.assert_allclose(found, [0.9 * 0.75 + 0.1, 0.9 * 0.25])


def test_without_alternatives_the_others_share_the_rest() -> None:
    found, *_ = probabilities([place("good", {"good": 0.7}, alternatives=False)], words_of(["good", "bad", "other"]))
    np.testing.assert_allclose(found, [0.7, 0.15, 0.15])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.01, 1.0), min_size=14, max_size=14), st.booleans())
def test_names_are_scored_as_the_whole_tree_would_where_the_taken_path_holds_all_forks(
    shares: list[float], late: bool
) -> None:
    """Two-token names: with every fork on the taken path, the walk gives what all paths would give."""
    firsts, seconds = ["a", "b", "c"], ["x", "y"]
    names = ["ax", "ay", "b", "c"]
    p1 = dict(zip(firsts, np.array(shares[:3]) / sum(shares[:3]), strict=True))
    p2 = dict(zip(seconds, np.array(shares[3:5]) / sum(shares[3:5]), strict=True))
    expected = [p1["a"] * p2["x"], p1["a"] * p2["y"], p1["b"], p1["c"]]
    found, share, problem = probabilities([place("a", p1), place("xy"[late], p2)], words_of(names))
    assert not problem
    np.testing.assert_allclose(found, np.array(expected) / sum(expected))


@pytest.mark.parametrize(
    "places",
    [
        [{"token": "good", "logprob": float("nan"), "top_logprobs": []}],
        [{"token": "good", "logprob": 0.5}],
        [{"token": "good", "logprob": "high"}],
        [{"token": "good"}],
        ["good"],
        [None],
        [{"token": "good", "logprob": -0.1, "top_logprobs": [{"token": "bad"}]}],
        [{"token": "good", "logprob": -0.1, "top_logprobs": {"bad": -1}}],
        [{"token": "The", "logprob": -0.1, "top_logprobs": [{"token": "A", "logprob": -3}]}],
        [{"token": "good", "logprob": -9999.0}],
        [{"token": " ", "logprob": -0.1}] * 1000,
    ],
)
def test_what_is_no_answer(places: list) -> None:
    found, share, problem = probabilities(places, words_of(["good", "bad"]))
    assert found is None and problem and share < 0.01


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.floats() | st.text(max_size=3) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["token", "logprob", "top_logprobs"]), inner, max_size=3)
        ),
        max_leaves=12,
    )
)
def test_whatever_a_server_says_is_read_or_refused(places: object) -> None:
    found, share, problem = probabilities(places if isinstance(places, list) else [places], words_of(["good", "bad"]))
    assert (found is None) == bool(problem)
    if found is not None:
        assert math.isclose(sum(found), 1.0, rel_tol=1e-6) and min(found) >= 0


def test_names_in_words() -> None:
    words = words_of(["World", "Sports", "Sci/Tech"])
    said = [" sports", "**Sci/Tech**", "Label: World", "World or Sports", "worldly", "", None, {"a": 1}]
    assert [named(text, words) for text in said] == [1, 2, 0, 0, None, None, None, None]
    assert named("It is sports, not world", words) is None  # which of the two?
    assert named("New York!", words_of(["New", "New York"])) == named("New York!", words_of(["New York", "New"])) + 1 == 1


def test_names_that_a_language_model_cannot_tell_apart_are_refused() -> None:
    for labels in (["Good", "good"], ['"a"', '"'], ["", "b"]):
        with pytest.raises(InputError, match="differ in more than capitals"):
            words_of(labels)


def test_the_request() -> None:
    assert "The text below is a film review. Choose" in template(Asking(task=" a film review. "))
    assert template(Asking()).startswith("Choose the label")
    assert template(Asking(prompt="{text}?", task="x")) == "{text}?"
    with pytest.raises(InputError, match=r"teacher_prompt: 'Classify!' has no \{text\}"):
        template(Asking(prompt="Classify!"))
    for text in ("{labels}", "{text}", "{0.__class__}", "\\1"):
        assert request("{text}|{labels}", ["a", "b"], text) == f"{text}|a, b"
    assert len({template(Asking(task=a, prompt=b)) for a, b in itertools.product(("", "x"), ("", "{text}"))}) == 3
