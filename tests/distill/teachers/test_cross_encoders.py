"""Cross-encoders of sentence-transformers: they read two texts, and their scores are what their files say."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from distill.common.seeding import seeded
from distill.kinds.classes import PAIR, SINGLE
from distill.kinds.names import GivenKind
from distill.kinds.scores import Score
from distill.student import load_student
from distill.teachers.config import Asking
from distill.teachers.loading import identity, load_teacher
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.tiny import make_tokenizer, random_texts

BESIDE = "config_sentence_transformers.json"
IDENTITY, SIGMOID = "torch.nn.modules.linear.Identity", "torch.nn.modules.activation.Sigmoid"


def cross_encoder(folder: Path, outputs: int, name: str, **noted: object) -> Path:
    """A folder with what sentence-transformers notes in one of its files."""
    with seeded(0):
        model = BertForSequenceClassification(
            BertConfig(
                vocab_size=len(make_tokenizer()), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                intermediate_size=32, num_labels=outputs,
            )
        )  # fmt: skip
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    file = folder / name
    file.write_text(json.dumps((json.loads(file.read_text()) if file.exists() else {}) | noted))
    return folder


@pytest.mark.parametrize(
    ("name", "noted", "expected"),
    [
        ("config.json", {"sentence_transformers": {"activation_fn": SIGMOID}}, torch.sigmoid),
        ("config.json", {"sbert_ce_default_activation_function": IDENTITY}, torch.clone),
        (BESIDE, {"model_type": "CrossEncoder"}, torch.sigmoid),
        (BESIDE, {"model_type": "CrossEncoder", "activation_fn": "torch.nn.Tanh"}, torch.tanh),
        ("config.json", {"sbert_ce_default_activation_function": "my_code.Cube"}, torch.clone),  # never imported
    ],
)
def test_a_score_goes_through_what_the_files_name(
    name: str, noted: dict, expected: Callable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = cross_encoder(tmp_path / "reranker", 1, name, **noted)
    teacher = TransformersTeacher(folder, "cpu")
    assert teacher.kind == Score(texts=2) and "is a cross-encoder of sentence-transformers" in caplog.text
    assert ("through Cube, which is not done here" in caplog.text) == ("my_code" in str(noted))
    texts, seconds = random_texts(5, 0), random_texts(5, 1)
    torch.testing.assert_close(teacher(texts, seconds), expected(teacher.scores(texts, seconds, raw=True)))
    assert TransformersTeacher(folder, "cpu", given=GivenKind("score")).kind == Score()


def test_a_student_of_its_layers_answers_with_its_outputs(tmp_path: Path) -> None:
    folder = cross_encoder(tmp_path / "reranker", 1, "config.json", sentence_transformers={"activation_fn": SIGMOID})
    student = load_student("teacher-layers:0", teacher=TransformersTeacher(folder, "cpu"), device="cpu")
    student.save(tmp_path / "student")
    again, texts, seconds = TransformersTeacher(tmp_path / "student", "cpu"), random_texts(5, 0), random_texts(5, 1)
    assert again.kind == Score(texts=2) and again.activation is None
    torch.testing.assert_close(again(texts, seconds), student.answers(texts, seconds))


def test_answers_that_went_through_nothing_are_not_taken_from_the_cache(tmp_path: Path) -> None:
    folder = cross_encoder(tmp_path / "m", 1, "config.json", sentence_transformers={"activation_fn": SIGMOID})
    teacher = TransformersTeacher(folder, "cpu")
    now, teacher.activation = identity(teacher), None
    assert identity(teacher) != now


def test_a_bi_encoder_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = cross_encoder(tmp_path / "m", 1, BESIDE, model_type="SentenceTransformer")
    assert TransformersTeacher(folder, "cpu").kind == Score() and not caplog.text


def test_one_of_classes_reads_two_texts_whatever_they_are_called(tmp_path: Path) -> None:
    noted = {"sentence_transformers": {"activation_fn": IDENTITY}}
    folder, names = str(cross_encoder(tmp_path / "m", 3, "config.json", **noted)), ["bad", "fair", "good"]
    assert load_teacher(folder, "cpu").kind == PAIR
    assert load_teacher(folder, "cpu", labels=names).kind == PAIR
    assert load_teacher(folder, "cpu", labels=names, asking=Asking(kind=GivenKind("single"))).kind == SINGLE
