"""The number that a regressor gives is no coarser than float32, whatever the rest of the model computes in."""

import copy
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, pipeline

from distill.common import precision
from distill.common.precision import Float32Linear, output_layer, outputs_in_float32, using_dtype
from distill.kinds.names import GivenKind
from distill.kinds.scores import Score
from distill.student import load_student
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.tiny import make_tokenizer

TEXTS = ["the boat and a wave", "an old cow", "last street, the tram", "near"]
YEARS = Score(1990.0, 2020.0)


@pytest.fixture
def dated(tmp_path: Path) -> Path:
    """A regressor that dates texts, around 2005."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
    model = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), num_labels=1, **sizes))
    with torch.no_grad():
        model.classifier.weight.normal_(0, 1.0)
        model.classifier.bias.fill_(2005.3)
    model.save_pretrained(tmp_path / "years")
    tokenizer.save_pretrained(tmp_path / "years")
    return tmp_path / "years"


def expected(folder: Path) -> torch.Tensor:
    answers = pipeline("text-classification", str(folder), function_to_apply="none", device="cpu")(TEXTS)
    return torch.tensor([[answer["score"]] for answer in answers])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("halved", [False, True])
def test_a_teachers_scores_are_those_of_a_pipeline(
    dated: Path, dtype: str, halved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`halved`: weights are held in bfloat16 too, as on a GPU."""
    if halved and dtype == "bfloat16":
        monkeypatch.setattr("distill.teachers.transformers_teacher.weight_dtype", lambda device: torch.bfloat16)
    with using_dtype(dtype):
        teacher = TransformersTeacher(dated, "cpu", given=GivenKind("score", 1990.0, 2020.0))
        assert torch.allclose(teacher(TEXTS), expected(dated), atol=0.1, rtol=0)


def test_a_student_learns_and_answers_years(dated: Path) -> None:
    with using_dtype("bfloat16"):
        student = load_student(dated, kind=YEARS, device="cpu")
        assert torch.allclose(student.answers(TEXTS), expected(dated), atol=0.1, rtol=0)
        with precision.autocast(torch.device("cpu"), trained=True):
            outputs = student.model(**student.tokenizer(TEXTS, return_tensors="pt", padding=True)).logits
    assert outputs.dtype == torch.float32
    outputs.sum().backward()
    assert student.model.classifier.weight.grad is not None


def test_the_layer_is_saved_and_copied_like_any_other(dated: Path, tmp_path: Path) -> None:
    student = load_student(dated, kind=YEARS, device="cpu")
    student.save(tmp_path / "saved")
    assert torch.allclose(expected(tmp_path / "saved"), expected(dated))
    other = copy.deepcopy(student.model)
    assert isinstance(output_layer(other), Float32Linear)
    assert other.classifier.weight is not student.model.classifier.weight
    outputs_in_float32(other)  # a second time changes nothing
    assert other.classifier.weight.dtype == torch.float32
