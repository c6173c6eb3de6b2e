"""An NLI model that is asked about classes, against the zero-shot pipeline of transformers."""

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from distill.common.errors import InputError
from distill.teachers.config import Asking
from distill.teachers.loading import identity, load_teacher
from distill.teachers.prediction_cache import CachedTeacher
from distill.teachers.transformers_teacher import TransformersTeacher
from distill.teachers.zero_shot_teacher import ZeroShotTeacher

NLI = ["CONTRADICTION", "neutral", "Entailment"]
CLASSES = ["sea", "town life", "field", "harbour"]
TEXTS = ["the sea and the boat", "a street", "", "plough the field " * 30]


@pytest.fixture(scope="module")
def nli_folder(bert_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny classifier with the class names of NLI, and weights that look at both texts."""
    folder = tmp_path_factory.mktemp("nli")
    model = AutoModelForSequenceClassification.from_pretrained(bert_folder)
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.config.id2label = dict(enumerate(NLI))
    model.config.label2id = {name: i for i, name in enumerate(NLI)}
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(bert_folder)
    tokenizer.model_max_length = 48
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("hypothesis", ["", "the text is of the {} ."])
def test_answers_are_those_of_the_pipeline(nli_folder: Path, hypothesis: str) -> None:
    teacher = load_teacher(str(nli_folder), "cpu", CLASSES, asking=Asking(hypothesis=hypothesis))
    assert isinstance(teacher, ZeroShotTeacher) and teacher.labels == CLASSES
    theirs = pipeline("zero-shot-classification", model=str(nli_folder), device="cpu")
    texts = [text for text in TEXTS if text]  # the pipeline refuses the empty text
    kwargs = {"hypothesis_template": hypothesis} if hypothesis else {}
    for text, row in zip(texts, teacher(texts).exp(), strict=True):
        said = theirs(text, candidate_labels=CLASSES, **kwargs)
        expected = dict(zip(said["labels"], said["scores"], strict=True))
        torch.testing.assert_close(row, torch.tensor([expected[name] for name in CLASSES]), atol=1e-5, rtol=1e-4)
    assert (teacher.queries, teacher.invalid) == (3, 0)
    assert teacher(TEXTS).isfinite().all() and teacher([]).shape == (0, 4)


def test_labels_of_nli_rename_and_none_refuse_single_texts(nli_folder: Path) -> None:
    renamed = load_teacher(str(nli_folder), "cpu", ["contradiction", "neutral", "entailment"])
    assert isinstance(renamed, TransformersTeacher)
    with pytest.raises(InputError, match="answers pairs .*to ask a model of entailment zero-shot, give your own classes"):
        CachedTeacher(load_teacher(str(nli_folder), "cpu"), None, print)(["a text"])


def test_what_does_not_fit_is_named(nli_folder: Path, bert_folder: Path) -> None:
    with pytest.raises(InputError, match=r"teacher_hypothesis: 'It fits.' has no \{\}"):
        load_teacher(str(nli_folder), "cpu", CLASSES, asking=Asking(hypothesis="It fits."))
    with pytest.raises(InputError, match="teacher_hypothesis is for a classifier of entailment .*leave it out"):
        load_teacher(str(bert_folder), "cpu", asking=Asking(hypothesis="It is {}."))
    with pytest.raises(InputError, match="two or more different names"):
        load_teacher(str(nli_folder), "cpu", ["one"])
    with pytest.raises(InputError, match="pairs of texts were asked"):
        load_teacher(str(nli_folder), "cpu", CLASSES)(["a"], ["b"])


def test_answers_are_kept_by_classes_hypothesis_and_length(nli_folder: Path) -> None:
    def name(labels: list[str] = CLASSES, hypothesis: str = "", length: int = 512) -> str:
        teacher = load_teacher(str(nli_folder), "cpu", labels, max_length=length, asking=Asking(hypothesis=hypothesis))
        return identity(teacher)

    assert name() == name(hypothesis="This example is {}.")
    names = {
        name(),
        name(CLASSES[::-1]),
        name(hypothesis="{}!"),
        name(length=16),
        identity(load_teacher(str(nli_folder), "cpu")),
    }
    assert len(names) == 5


def test_its_layers_are_no_student(nli_folder: Path) -> None:
    assert CachedTeacher(load_teacher(str(nli_folder), "cpu", CLASSES), None, print).white_box is None


def test_a_run_does_not_go_on_with_a_model_that_was_trained_again(nli_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(nli_folder, tmp_path / "nli")
    begun = CachedTeacher(load_teacher(str(folder), "cpu", CLASSES), None, print).state()
    CachedTeacher(load_teacher(str(folder), "cpu", CLASSES), None, print).restore(begun)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    model.classifier.weight.data += 0.1
    model.save_pretrained(folder)
    with pytest.raises(InputError, match="has other weights than when this was begun"):
        CachedTeacher(load_teacher(str(folder), "cpu", CLASSES), None, print).restore(begun)
