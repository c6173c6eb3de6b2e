"""Answers of a black box that cannot be used become rows of NaN, without a word from numpy."""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from distill.kinds.reading import log_odds, log_probabilities, numbers


@pytest.fixture(autouse=True)
def _no_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize(
    ("read", "unusable"),
    [
        (log_probabilities, [np.inf, 0.0]),
        (log_probabilities, [np.inf, -np.inf]),
        (log_probabilities, [1e308, 1e308]),
        (log_probabilities, [np.nan, 1.0]),
        (log_probabilities, [-np.inf, -np.inf]),
        (log_odds, [np.inf, np.nan]),
        (numbers, [1.0, np.inf]),
        (numbers, [1e39, 1.0]),  # finite in float64, and not in the float32 of answers
        (numbers, [-1e300, 1.0]),
    ],
)
def test_an_unusable_row_is_nan_and_named(read: Callable, unusable: list[float]) -> None:
    answers, problem = read(np.array([unusable, [0.75, 0.25]]))
    assert answers.dtype == torch.float32 and bool(answers[0].isnan().all()) and bool(answers[1].isfinite().all())
    assert problem.startswith("rows that are not")
    assert read(np.array([[0.75, 0.25]]))[1] == ""


@pytest.mark.parametrize("format", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("classes", [2, 3, 20, 100])
def test_probabilities_are_read_in_the_format_that_a_model_computes_in(format: torch.dtype, classes: int) -> None:
    exact = (2 * torch.randn(500, classes, generator=torch.Generator().manual_seed(classes))).softmax(dim=-1)
    answers, problem = log_probabilities(exact.to(format).double().numpy())
    assert problem == "" and bool(answers.isfinite().all())
    torch.testing.assert_close(answers.exp(), exact, rtol=0.01, atol=1e-6)
    off = exact.to(format).double() * 1.02
    assert bool(log_probabilities(off.numpy())[0].isnan().all())
