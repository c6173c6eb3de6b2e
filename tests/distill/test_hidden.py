"""The hidden-state term: what it brings about, and which teachers allow it."""

from dataclasses import replace

import pytest
import torch

from distill.common.errors import InputError
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.kinds.classes import PAIR
from distill.student import load_student
from distill.teachers.callable_teacher import CallableTeacher
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.tiny import LABELS, embedded_batch, judged, make_tokenizer, random_texts

SMALL = DistillConfig(student_updates=40, student_batch_size=8, student_learning_rate=3e-3)


def test_hidden_state_term_reads_embeddings_too(teacher: TransformersTeacher) -> None:
    student = load_student("teacher-layers:0", teacher=teacher, device="cpu")
    config = replace(SMALL, student_hidden_weight=1.0, student_updates=5)
    distiller = Distiller(student, config, 40, 0, teacher)
    losses = distiller.run([embedded_batch(40, 0)], online=True)
    assert losses is not None and losses["student_loss"] > 0


def test_hidden_state_term_brings_the_layers_closer(teacher: TransformersTeacher) -> None:
    batch = judged(teacher, random_texts(80, 0))
    losses = []
    for weight in (0.0, 5.0):
        student = load_student("bert:layers=1,hidden=16,heads=2", teacher=teacher, device="cpu")
        config = replace(SMALL, student_hidden_weight=weight, student_updates=60)
        Distiller(student, config, 80, 0, teacher).run([batch], online=True)
        probe = Distiller(student, replace(SMALL, student_hidden_weight=1.0), 80, 0, teacher)
        assert probe.hidden is not None and probe.hidden.projection is not None
        inputs = dict(student.tokenizer(batch.texts, padding=True, return_tensors="pt"))
        with torch.no_grad():
            mine = student.model(**inputs, output_hidden_states=True).hidden_states[-1]
            theirs = teacher.hidden_states(inputs)[-1]
        real = inputs["attention_mask"].bool()
        x, y = mine[real], theirs[real]
        fitted = x @ torch.linalg.lstsq(x, y).solution  # the best projection there is
        losses.append(float((fitted - y).square().mean()))
    assert losses[1] < 0.8 * losses[0]


def test_hidden_state_term_needs_a_white_box_teacher_with_the_same_tokens(teacher: TransformersTeacher) -> None:
    config = replace(SMALL, student_hidden_weight=1.0)
    for other in (None, CallableTeacher("json:loads", LABELS)):
        with pytest.raises(InputError, match="student_hidden_weight: a teacher that is a model folder"):
            Distiller(load_student("bert:layers=1,hidden=32", teacher=teacher, device="cpu"), config, 10, 0, other)
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["extra"])
    student = load_student("bert:layers=1,hidden=32", teacher=teacher, tokenizer=tokenizer, device="cpu")
    with pytest.raises(InputError, match="same tokenizer"):
        Distiller(student, config, 10, 0, teacher)


def test_a_student_without_token_types_does_not_imitate_states_of_pairs_that_were_read_as_one_text(
    teacher: TransformersTeacher,
) -> None:
    teacher.kind = PAIR
    config = replace(SMALL, student_hidden_weight=1.0)
    Distiller(load_student("bert:layers=1,hidden=32", teacher=teacher, device="cpu"), config, 10, 0, teacher)
    student = load_student("distilbert:layers=1,hidden=32", teacher=teacher, device="cpu")
    with pytest.raises(InputError, match="student_hidden_weight: .* by token types, which distilbert.* does not read"):
        Distiller(student, config, 10, 0, teacher)
