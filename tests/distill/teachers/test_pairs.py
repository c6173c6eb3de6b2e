"""A classifier of pairs is never asked single texts: its answers would mean nothing, and agree with themselves."""

import pytest

from distill.common.errors import InputError
from distill.kinds.names import reads_pairs
from distill.teachers.callable_teacher import CallableTeacher
from distill.teachers.prediction_cache import CachedTeacher

NLI = ["contradiction", "neutral", "entailment"]


def ask(labels: list[str]) -> CachedTeacher:
    return CachedTeacher(
        CallableTeacher(lambda *texts: [[1 / len(labels)] * len(labels)] * len(texts[0]), labels), None, print
    )


@pytest.mark.parametrize(
    "labels", [NLI, ["ENTAILMENT", "Not-Entailment"], ["not_equivalent", "equivalent"], ["duplicate", "not_duplicate"]]
)
def test_single_texts_are_refused(labels: list[str]) -> None:
    with pytest.raises(InputError, match="answers pairs of texts .*text_pair.*teacher_labels.*--kind single"):
        ask(labels)(["a text"])
    assert ask(labels)(["a text"], ["another"]).shape == (1, len(labels))
    assert ask(labels)([]).shape == (0, len(labels))


@pytest.mark.parametrize("labels", [["positive", "neutral", "negative"], ["duplicate", "original"], ["not spam", "spam"]])
def test_other_names_are_left_alone(labels: list[str]) -> None:
    assert not reads_pairs(labels)
    assert ask(labels)(["a text"]).isfinite().all()
