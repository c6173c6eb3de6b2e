"""When an agreement says that a student is worth nothing, or clearly something."""

import math
import random

import pytest
import torch

from distill.held_out import cohen_kappa
from distill.kinds.tokens import Tokens
from eval.classifiers import agreement


def drawn(texts: int, right: float, rng: random.Random, share: float = 0.5) -> dict:
    """An agreement on texts of two classes: the student is right with a probability."""
    teacher = [int(rng.random() < share) for _ in range(texts)]
    student = [one if rng.random() < right else 1 - one for one in teacher]
    counts = [[one.count(0), one.count(1)] for one in (teacher, student)]
    same = sum(a == b for a, b in zip(teacher, student, strict=True))
    return agreement.agreement_of("held-out texts", same, *counts, fewest=1)


@pytest.mark.parametrize("texts", [40, 60, 99])
def test_false_alarms_on_few_texts_are_rare_and_worthless_students_are_found(texts: int) -> None:
    rng = random.Random(texts)
    healthy = [drawn(texts, 0.75, rng) for _ in range(1000)]  # kappa .5
    worthless = [drawn(texts, 0.5, rng) for _ in range(1000)]
    assert sum(map(agreement.worthless, healthy)) <= 5
    assert sum(map(agreement.worthless, worthless)) >= 550
    assert sum(map(agreement.clearly_fine, worthless)) <= 5


def test_ten_equal_answers_are_clear_and_four_are_not() -> None:
    assert agreement.clearly_fine(agreement.agreement_of("x", 10, [5, 5], [5, 5], fewest=1))
    assert not agreement.clearly_fine(agreement.agreement_of("x", 4, [2, 2], [2, 2], fewest=1))
    assert not agreement.clearly_fine(agreement.agreement_of("x", 50, [50, 0], [50, 0], fewest=1))  # one class tells nothing


def test_the_standard_error_is_cohens() -> None:
    found = agreement.agreement_of("x", 60, [50, 30], [40, 40], fewest=1)
    chance = (50 * 40 + 30 * 40) / 80**2
    error = math.sqrt(0.75 * 0.25 / 80) / (1 - chance)
    assert found["kappa"] == pytest.approx(cohen_kappa(60, [50, 30], [40, 40]))
    assert agreement._spread_of_kappa(found) == pytest.approx((found["kappa"], error))
    low = agreement.agreement_of("x", 42, [40, 40], [40, 40], fewest=1)  # kappa .05, standard error .11
    assert agreement.worthless(low) and not agreement.worthless(low | {"compared": 41})


def test_from_a_hundred_texts_on_kappa_alone_decides() -> None:
    assert agreement.worthless(agreement.agreement_of("x", 59, [50, 50], [50, 50]))
    assert not agreement.worthless(agreement.agreement_of("x", 61, [50, 50], [50, 50]))


def test_evaluation_texts_of_one_class_say_nothing_and_few_texts_neither() -> None:
    assert agreement.agreement_of(agreement.REAL, 90, [100, 0], [90, 10]) == {}
    assert agreement.agreement_of("held-out texts", 90, [100, 0], [90, 10])["kappa"] == 0.0
    assert agreement.agreement_of("x", 50, [50, 49], [50, 49]) == {} != agreement.agreement_of("x", 50, [50, 50], [50, 50])


def test_words_without_an_answer_are_not_the_most_frequent_tag() -> None:
    kind = Tokens(("O", "B-a", "I-a"))
    tags = torch.full((4, 3, 3), -5.0)
    tags[:, 0, 1] = tags[:, 1, 0] = -0.01
    tags[:, 2] = 0.0  # there is no third word
    tags[0, 1, 0], tags[0, 1, 1] = -5.0, -0.01
    found = agreement.agreement_on_held_out(tags, {"kappa": 0.5, "agreement": 0.75}, kind)
    assert found["majority"] == 5 / 8
    assert agreement.agreement_on_held_out(tags * 0, {"kappa": 0.5, "agreement": 0.75}, kind) == {}
