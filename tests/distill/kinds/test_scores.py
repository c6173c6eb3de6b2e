"""A number per text: loss, steps of the range, and values beyond it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill.kinds.scores import STEPS, Score
from distill.student import load_student
from tests.distill.tiny import make_tokenizer

STARS = Score(1.0, 5.0)


def values(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers)[:, None]


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=8))
def test_terms_stay_between_zero_and_one(numbers: list[float]) -> None:
    answers = values(*numbers)
    targets = torch.arange(len(numbers)) % (len(STEPS) + 1) - 1
    terms = [STARS.confidence(answers, targets), STARS.certainty(answers), STARS.disagreement(answers, values(2.0))]
    for term in [*terms, STARS.belonging(answers).flatten()]:
        assert ((term >= 0) & (term <= 1)).all()
    assert ((STARS.group(answers) >= 0) & (STARS.group(answers) < len(STEPS))).all()


def test_the_loss_is_the_squared_distance_in_units_of_the_range() -> None:
    teacher, student = values(1.0, 5.0, 3.0), values(2.0, 5.0, 1.0)
    expected = np.mean(((np.array([2, 5, 1]) - np.array([1, 5, 3])) / 4) ** 2)
    assert STARS.loss(student, teacher, 2.0, 0.0).item() == pytest.approx(expected)
    assert STARS.divergence(teacher, student).mean().item() == pytest.approx(expected)


def test_the_loss_of_ranks_falls_as_the_order_becomes_the_teachers() -> None:
    teacher = values(1.0, 2.0, 4.0)
    right, wrong = STARS.loss(values(0, 9, 99), teacher, 1.0, 1.0), STARS.loss(values(99, 9, 0), teacher, 1.0, 1.0)
    assert right < 0.1 < 1.0 < wrong
    equal = values(2.0, 2.0)
    assert STARS.loss(values(0.0, 3.0), equal, 1.0, 1.0).item() == 0.0  # the teacher has no order
    assert STARS.loss(values(3.0), values(2.0), 1.0, 0.5).item() == pytest.approx(1 / 16)


def test_steps_cut_the_range_in_equal_parts() -> None:
    assert STARS.group(values(1.0, 1.79, 1.81, 3.0, 5.0, 9.0, -9.0)).tolist() == [0, 0, 1, 2, 4, 4, 0]
    near = STARS.belonging(values(1.4, 1.8))
    torch.testing.assert_close(near, torch.tensor([[1.0, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0]]), atol=1e-6, rtol=0)


def test_a_number_in_the_middle_is_no_sign_of_the_task() -> None:
    certainty = STARS.certainty(values(3.0, 4.0, 2.0, 5.0, 9.0))
    torch.testing.assert_close(certainty, torch.tensor([0.0, 0.5, 0.5, 1.0, 1.0]))
    assert STARS.certainty(values(float("nan"))).isnan().all()  # an unusable answer earns nothing


def fault(kind: Score, answers: torch.Tensor) -> str:
    return kind.fault(*kind.doubts(answers), answers)


def test_values_beyond_the_range_are_told_with_the_settings() -> None:
    assert not fault(STARS, values(*range(1, 6), 1, 2, 3))
    told = fault(Score(), values(*range(9)))
    assert "beyond 0 to 1 (the newest go from 0 to 8)" in told and "--score_low and --score_high" in told
    assert not fault(Score(0, 5), values(*[-0.08, 0.02, -0.3, 5.4] * 5))  # a little beyond its ends
    assert fault(Score(0, 5), values(*[-0.6, 0.02, -0.9, 5.6] * 5))
    assert not fault(Score(-math.inf, math.inf), values(*range(-9, 9)))
    answers, problem = STARS.read(np.array([[1.0], [np.nan]]))
    assert answers.isnan().tolist() == [[False], [True]] and "not finite" in problem


def test_an_untrained_student_answers_the_middle_of_the_range() -> None:
    for spec in ("bert:layers=1,hidden=16,heads=1", "distilbert:layers=1,hidden=16,heads=1"):
        student = load_student(spec, labels=["stars"], tokenizer=make_tokenizer(), kind=Score(10.0, 50.0), device="cpu")
        assert student.answers(["boat cow", "tram"]).flatten().tolist() == pytest.approx([30.0, 30.0], abs=1.0)
