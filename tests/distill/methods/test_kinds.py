"""The methods with teachers of several labels and of scores: what they make, and what is refused."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import BertConfig, BertForSequenceClassification

from distill.batch import SyntheticBatch
from distill.common.errors import InputError
from distill.common.seeding import seeded
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.kinds.labels import MULTI_LABEL
from distill.kinds.names import GivenKind
from distill.kinds.scores import Score
from distill.methods.config import AsDfdConfig, T3Config, ZeroShotConfig
from distill.methods.synthesizer import Synthesizer, white_box
from distill.methods.table import METHODS, method_of
from distill.student import load_student
from distill.teachers.prediction_cache import CachedTeacher
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.rewriters import save_rewriter_base
from tests.distill.tiny import LABELS, make_tokenizer, random_texts, save_masked_lm

RANGE = GivenKind("score", -4.0, 4.0)


def teacher_of(kind: str, folder: Path) -> TransformersTeacher:
    """A two-layer BERT of random weights whose answers differ from text to text."""
    names = ["score"] if kind == "score" else LABELS
    with seeded(0, "kinds"):
        config = BertConfig(
            vocab_size=len(make_tokenizer()),
            num_hidden_layers=2,
            hidden_size=32,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            initializer_range=0.3,  # so that answers differ
            problem_type="regression" if kind == "score" else "multi_label_classification",
            id2label=dict(enumerate(names)),
            label2id={name: number for number, name in enumerate(names)},
        )
        model = BertForSequenceClassification(config)
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return TransformersTeacher(folder, "cpu", given=RANGE if kind == "score" else GivenKind())


@pytest.fixture(scope="module", params=["multi_label", "score"])
def teacher(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TransformersTeacher:
    return teacher_of(request.param, tmp_path_factory.mktemp("teacher"))


def at_work(settings: object, teacher: TransformersTeacher) -> Synthesizer:
    student = load_student("teacher-layers:0", teacher=teacher, device="cpu")
    distiller = Distiller(student, DistillConfig(student_updates=6, student_batch_size=8), 100, 0)
    corpus = random_texts(60, 5, 3, 8)
    return method_of(settings).new(settings, CachedTeacher(teacher, None, print), distiller, corpus, 0, "cpu")


def test_as_dfd_moves_samples_to_labels_and_to_steps(teacher: TransformersTeacher) -> None:
    config = AsDfdConfig(embeddings_batch_size=40, inner_steps=5, inner_keep=2, inner_step_size=0.2, masked_weight=0.0)
    step = at_work(config, teacher).step(200)
    assert step.batch.kind == teacher.kind
    assert set(step.batch.targets.tolist()) == set(range(teacher.kind.groups(len(teacher.labels))))
    assert step.metrics["inner_loss_last"] < 0.9 * step.metrics["inner_loss_first"]
    distiller = Distiller(load_student("teacher-layers:0", teacher=teacher), DistillConfig(student_updates=6), 200, 0)
    distiller.add(step.batch)
    distiller.finish()


@pytest.mark.parametrize("method", ["zero-shot", pytest.param("t3", marks=pytest.mark.slow)])
def test_texts_go_with_the_teachers_answers(method: str, teacher: TransformersTeacher, tmp_path: Path) -> None:
    if method == "t3":
        if isinstance(teacher.kind, Score):
            pytest.skip("refused, see below")
        base = save_rewriter_base(tmp_path / "t5")
        settings: object = T3Config(rewriter=str(base), rewriter_batch_size=8, rewriter_updates=2, rewriter_max_length=10)
    else:
        lm = save_masked_lm(tmp_path)
        settings = ZeroShotConfig(masked_lm=str(lm), fill_batch_size=8, fill_steps=2, student_batches=3)
    step = at_work(settings, teacher).step(60)
    assert step.batch.kind == teacher.kind
    torch.testing.assert_close(step.batch.teacher_logits, teacher(step.batch.texts), atol=1e-4, rtol=1e-4)
    assert len(step.batch) > 20
    if method == "zero-shot":
        assert step.metrics["disagreement"] > 0


def test_targets_cost_what_they_should() -> None:
    odds = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    targets = torch.tensor([1, 0])
    yes = binary_cross_entropy_with_logits(odds[[0, 1], targets], torch.ones(2), reduction="none")
    torch.testing.assert_close(MULTI_LABEL.target_loss(odds, targets), yes)
    stars = Score(1.0, 5.0)
    assert stars.target_loss(torch.tensor([[1.4], [5.0]]), torch.tensor([0, 2])).tolist() == pytest.approx([0, 0.25])


def test_distributions_are_those_of_the_decisions() -> None:
    odds = torch.randn(5, 3)
    of_labels = MULTI_LABEL.choices(odds)
    torch.testing.assert_close(of_labels.exp()[..., 1], odds.sigmoid())
    assert torch.equal(of_labels.argmax(2), MULTI_LABEL.decisions(odds))


def test_a_method_for_other_kinds_is_refused_with_those_that_take_it(tmp_path: Path) -> None:
    scores = teacher_of("score", tmp_path)
    with pytest.raises(InputError, match=r"'t3' is for .* pair, multi_label.* kind score; choose as-dfd or zero-shot or"):
        white_box(scores, "t3")
    for name in METHODS:
        assert "single" in METHODS[name].kinds


@pytest.mark.parametrize("spec", ["teacher-layers:0", "static:from-teacher", "bert:layers=1,hidden=16,heads=2"])
def test_students_of_every_make_learn_both_kinds(spec: str, teacher: TransformersTeacher) -> None:
    hidden = 0.0 if spec.startswith("static") else 0.1
    student = load_student(spec, teacher=teacher, device="cpu")
    config = DistillConfig(student_updates=20, student_batch_size=16, student_learning_rate=1e-2, student_hidden_weight=hidden)
    distiller = Distiller(student, config, 64, 0, teacher)
    texts = random_texts(64, 9, 3, 8)
    none = torch.full((64,), -1)
    distiller.add(SyntheticBatch(texts, teacher(texts), none, [""] * 64, "random", kind=teacher.kind))
    before = teacher.kind.divergence(teacher(texts), student.answers(texts)).mean()
    distiller.finish()
    assert teacher.kind.divergence(teacher(texts), student.answers(texts)).mean() < before
