"""The share of texts that teacher and student do not read to the end is stored and said."""

import logging
from pathlib import Path

import pytest

from distill.student import load_student
from distill.teachers.callable_teacher import CallableTeacher
from distill.teachers.prediction_cache import CachedTeacher
from distill.teachers.transformers_teacher import TransformersTeacher
from prompter.runtime.console import Console
from prompter.training.cut_texts import cut_shares
from tests.distill.conftest import bert_folder

__all__ = ["bert_folder"]

TEXTS = ["cow", "cow " * 40, "boat", "cow " * 100]


@pytest.mark.slow
def test_shares_are_said_where_texts_are_cut(bert_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "prompter")
    student = load_student(str(bert_folder), device="cpu")
    student.max_length = 16
    teacher = CachedTeacher(TransformersTeacher(bert_folder, "cpu"), None, print)
    shares = cut_shares(teacher, {"small": student}, TEXTS, Console(quiet=True))
    assert shares == {"teacher_texts_cut": 0.25, "student_texts_cut": 0.5}
    assert "25.0% of the texts are longer than what the teacher reads: they were cut (teacher_max_length)" in caplog.text
    assert "50.0% of the texts are longer than what the student reads" in caplog.text


def test_short_texts_are_not_mentioned_and_a_black_box_is_unknown(bert_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "prompter")
    student = load_student(str(bert_folder), device="cpu")
    black_box = CachedTeacher(CallableTeacher(lambda texts: [[0.5, 0.5]] * len(texts), ["a", "b"]), None, print)
    assert cut_shares(black_box, {"small": student}, ["cow"], Console(quiet=True)) == {"student_texts_cut": 0.0}
    assert not caplog.text
