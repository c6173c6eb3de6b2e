"""Entities that a function returns: those without a place, and values that are no numbers."""

from typing import Any

import numpy as np
import pytest

from distill.common.errors import InputError
from distill.kinds.names import GivenKind
from distill.teachers.config import Asking
from distill.teachers.functions.words import read_words
from distill.teachers.loading import load_teacher

TAGS = ["O", "B-sea", "I-sea"]


def entity(**changes: Any) -> dict[str, Any]:
    return {"entity": "B-sea", "score": 0.8, "start": 0, "end": 3} | changes


def test_entities_that_say_not_where_they_are_are_one_line() -> None:
    def slow(texts: list[str]) -> list:  # what a pipeline gives with a slow tokenizer
        return [[entity(start=None, end=None)] if "sea" in text else [] for text in texts]

    teacher = load_teacher(slow, labels=TAGS, asking=Asking(kind=GivenKind("tokens")))
    for texts in (["the sea", "a cow"], ["a cow", "the sea"]):
        with pytest.raises(InputError, match="no start and end, as those of a pipeline with a slow tokenizer: give") as caught:
            teacher(texts)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("changes", [{"score": None}, {"score": "sure"}, {"start": None}, {"end": "x"}, {"end": [1]}])
def test_values_that_are_no_numbers_make_their_text_unusable(changes: dict) -> None:
    values, problem, _ = read_words([[entity(**changes)], [entity()]], ["sea", "sea"], TAGS)
    assert values is not None and np.isnan(values[0]).all() and np.allclose(values[1], [[0.1, 0.8, 0.1]])
    assert problem.startswith("the entity 'B-sea' with {") and problem.endswith("which are no numbers")


def test_numbers_as_text_are_read() -> None:
    values, problem, _ = read_words([[entity(start="0", end="3", score="0.8")]], ["sea"], TAGS)
    assert values is not None and np.allclose(values, [[[0.1, 0.8, 0.1]]]) and not problem


@pytest.mark.parametrize(("start", "end"), [(2, 1), (-3, 2), (0, 4), (7, 9)])
def test_an_entity_that_is_not_in_its_text_makes_it_unusable(start: int, end: int) -> None:
    values, problem, _ = read_words([[entity(start=start, end=end)], [entity()]], ["sea", "sea"], TAGS)
    assert values is not None and np.isnan(values[0]).all() and np.isfinite(values[1]).all()
    assert problem == f"the entity 'B-sea' from {start} to {end} of a text of 3 characters"


def test_a_text_without_an_answer_is_said_to_have_none() -> None:
    values, problem, _ = read_words([None, [entity()]], ["sea", "sea"], TAGS)
    assert values is not None and np.isnan(values[0]).all()
    assert problem == "texts without a row for each word"
