"""The student's optimizer: the learning rate over a run, weight decay, and clipped gradients."""

import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from distill.config import DistillConfig
from distill.optimizer import StudentOptimizer


def optimizer(**settings: object) -> StudentOptimizer:
    weights = [nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))]
    return StudentOptimizer(weights, DistillConfig(**settings))  # type: ignore[arg-type]


@given(st.integers(1, 300), st.floats(0, 1), st.sampled_from(["cosine", "linear", "constant"]))
def test_rate_rises_then_never_rises_again_and_is_never_zero(updates: int, warmup: float, schedule: str) -> None:
    made = optimizer(student_updates=updates, student_warmup_share=warmup, student_schedule=schedule)
    rates = [made.rate(update) for update in range(updates)]
    assert all(0 < rate <= made.peak for rate in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) == made.peak


@pytest.mark.parametrize(
    ("schedule", "late"), [("cosine", 0.5 * (1 + math.cos(math.pi * 0.75))), ("linear", 0.25), ("constant", 1.0)]
)
def test_each_schedule_keeps_its_meaning(schedule: str, late: float) -> None:
    made = optimizer(student_updates=50, student_warmup_share=0.2, student_schedule=schedule, student_learning_rate=0.1)
    assert [made.rate(update) for update in (0, 4, 9)] == pytest.approx([0.01, 0.05, 0.1])
    assert made.rate(10) == 0.1
    assert made.rate(40) == pytest.approx(0.1 * late)


def test_step_uses_the_rate_of_its_update_whatever_was_made_before() -> None:
    made = optimizer(student_updates=10, student_warmup_share=0.5, student_learning_rate=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns where a scheduler is out of step
        for update in (7, 2):
            made.step(sum(weight.sum() for weight in made.parameters), update)
            assert {group["lr"] for group in made.adamw.param_groups} == {made.rate(update)}


def test_moments_of_an_earlier_version_are_taken_over() -> None:
    """Checkpoints written before there was a scheduler have no `initial_lr` in their groups."""
    first, second = (optimizer(student_updates=10) for _ in range(2))
    first.step(sum(weight.sum() for weight in first.parameters), 0)
    state = first.state_dict()
    for group in state["param_groups"]:
        group.pop("initial_lr")
    second.load_state_dict(state)
    for mine, theirs in zip(first.parameters, second.parameters, strict=True):
        theirs.data.copy_(mine.data)
    for made in (first, second):
        made.step(sum((weight**2).sum() for weight in made.parameters), 1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters, second.parameters, strict=True))


def test_decay_is_for_matrices_and_gradients_are_clipped() -> None:
    made = optimizer(student_weight_decay=0.5, student_warmup_share=0.0, student_learning_rate=0.1)
    matrix, vector = made.parameters
    made.step(0 * matrix.sum() + 0 * vector.sum(), 0)
    assert torch.allclose(matrix, torch.full((2, 2), 0.95))
    assert torch.equal(vector, torch.ones(2))
    made.step(1000 * vector.sum(), 1)
    assert vector.grad is not None and float(vector.grad.norm()) == pytest.approx(1.0)
