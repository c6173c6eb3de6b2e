"""Scores: numbers of every form, and what is no number."""

import math

import pytest

from distill.common.errors import InputError
from tests.eval.data_files import jsonl, load


def rows(values):
    return [{"text": f"text {row}", "label": value} for row, value in enumerate(values)]


def test_numbers_are_read_and_pairs_beside_them(tmp_path):
    assert load(jsonl(tmp_path / "a.jsonl", rows([0, 2.5, "4.75"])), ["similarity"], kind="score").labels == [0, 2.5, 4.75]
    (tmp_path / "a.csv").write_text("text,other,label\na,b,1e0\nc,d,5\n")
    data = load(tmp_path / "a.csv", ["similarity"], kind="score", pair_column="other", span=(0, 5))
    assert (data.labels, data.text_pairs, data.kind) == ([1.0, 5.0], ["b", "d"], "score")


@pytest.mark.parametrize(
    "value, said",
    [
        (math.nan, "row 2: column 'label' holds nan, expected a number from 0 to 5; fix or remove the row"),
        (None, "row 2: column 'label' holds nothing"),
        ("high", "row 2: column 'label' holds 'high'"),
        (True, "row 2: column 'label' holds True"),
        (7.5, "row 2: column 'label' holds 7.5, expected a number from 0 to 5; correct the row, or the range"),
        (-1.0, "-1 marks a split whose labels are kept secret"),
    ],
)
def test_what_is_no_score_is_refused(tmp_path, value, said):
    with pytest.raises(InputError, match=said):
        load(jsonl(tmp_path / "a.jsonl", rows([1.0, value])), ["similarity"], kind="score", span=(0, 5))


def test_a_number_that_no_model_can_answer_is_refused(tmp_path):
    with pytest.raises(InputError, match="row 2: column 'label' holds 1e\\+300, expected a number; fix or remove the row"):
        load(jsonl(tmp_path / "a.jsonl", rows([1.0, 1e300])), ["similarity"], kind="score")
