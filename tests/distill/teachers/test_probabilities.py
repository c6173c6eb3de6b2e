"""Answers of a black box as log-probabilities: what is usable, what is counted, when a run stops."""

import re

import numpy as np
import pytest
import torch

from distill.common.errors import InputError
from distill.kinds.reading import log_probabilities
from distill.teachers.callable_teacher import CallableTeacher
from distill.teachers.probabilities import (
    check_labels,
    count,
    rows_of,
    stop_if_mostly_unusable,
)

ROWS = [[0.5, 0.5], [0.1, 0.9]]


def teacher() -> CallableTeacher:
    return CallableTeacher("json:dumps", ["a", "b"])


@pytest.mark.parametrize("answer", [ROWS, np.array(ROWS), torch.tensor(ROWS, requires_grad=True)])
def test_an_answer_of_the_right_form_is_taken_whole(answer: object) -> None:
    rows, problem = rows_of(answer, 2, 2)
    assert problem == ""
    np.testing.assert_allclose(rows, ROWS, rtol=1e-6)


@pytest.mark.parametrize(
    ("answer", "usable", "problem"),
    [
        ([[0.5, 0.5], [1.0]], [True, False], "rows that are not 2 numbers"),
        ([0.5, 0.5], [False, False], r"shape \(2,\) instead of \(2, 2\)"),
        ({"a": 1}, [False, False], "type dict that is not 2 rows"),
    ],
)
def test_rows_of_another_form_are_nan_and_named(answer: object, usable: list[bool], problem: str) -> None:
    rows, said = rows_of(answer, 2, 2)
    assert np.isfinite(rows).all(axis=1).tolist() == usable
    assert re.search(problem, said)


def test_log_probabilities_are_normalised_finite_and_nan_where_unusable() -> None:
    rows = np.array([[1.0, 0.0], [0.5004, 0.5], [0.6, 0.6], [np.nan, 1.0], [-0.1, 1.1]])
    predictions, problem = log_probabilities(rows)
    assert predictions.isfinite().all(dim=1).tolist() == [True, True, False, False, False]
    torch.testing.assert_close(predictions[:2].exp().sum(dim=1), torch.ones(2))
    assert "such as [0.6 0.6]" in problem


def test_unusable_answers_are_counted_and_become_whole_rows_of_nan() -> None:
    asked = teacher()
    predictions = count(asked, torch.tensor([[0.0, float("inf")], [-0.5, -0.9]]), "infinite values")
    assert predictions.isnan().all(dim=1).tolist() == [True, False]
    assert (asked.queries, asked.invalid) == (2, 1)


def test_a_run_stops_when_most_of_many_answers_are_unusable() -> None:
    asked = teacher()
    for asked.queries, asked.invalid in ((63, 63), (64, 32)):
        stop_if_mostly_unusable(asked)
    asked.invalid = 33
    with pytest.raises(InputError, match="33 of 64 answers of json:dumps were unusable .most of them earlier"):
        stop_if_mostly_unusable(asked)


def test_labels_are_two_or_more_different_names() -> None:
    check_labels(["a", "b"])
    for labels in (["a"], ["a", "a"], []):
        with pytest.raises(InputError, match="two or more different names"):
            check_labels(labels)


def test_what_an_array_masks_is_no_answer() -> None:
    masked = np.ma.array([[0.5, 0.5], [0.9, 0.1]], mask=[[False, False], [True, False]])
    rows, _ = rows_of(masked, 2, 2)
    assert np.isnan(rows).tolist() == [[False, False], [True, False]]
