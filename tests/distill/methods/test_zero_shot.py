"""Zero-shot distillation: the filler's gradient, what it does, what it costs, resumes, and what is refused."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from distill.common.errors import InputError
from distill.common.seeding import random_generator
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.losses import kl
from distill.methods import zero_shot
from distill.methods.config import ZeroShotConfig
from distill.methods.soft_texts import gumbel_choice
from distill.methods.zero_shot import ZeroShot
from distill.student import load_student
from distill.teachers.callable_teacher import CallableTeacher
from distill.teachers.prediction_cache import CachedTeacher
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.tiny import LABELS, WORDS, random_texts, save_masked_lm

STUDENT = "bert:layers=1,hidden=16,heads=1"


@pytest.fixture(scope="module")
def masked_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_masked_lm(tmp_path_factory.mktemp("masked-lm"))


@pytest.fixture
def make(masked_lm: Path, teacher: TransformersTeacher):
    """Make the method against an untrained student; keyword arguments change its settings."""

    def build(corpus: list[str] | None = None, **changes: object) -> ZeroShot:
        settings = {"masked_lm": str(masked_lm), "fill_batch_size": 8, "fill_steps": 2, "student_batches": 3} | changes
        student = load_student(STUDENT, teacher=teacher, device="cpu")
        distiller = Distiller(student, DistillConfig(student_updates=20, student_batch_size=8), 200, 0)
        texts = random_texts(100, 3) if corpus is None else corpus
        asked = CachedTeacher(teacher, None, print)
        return ZeroShot(ZeroShotConfig(**settings), asked, distiller, texts, 0, "cpu")  # type: ignore[arg-type]

    return build


def parts(method: ZeroShot) -> list:
    models = (method.white_box.model, method.distiller.student.model)
    return [(model, method._table(model, mapped)) for model, mapped in zip(models, method.maps, strict=True)]


def digest(model: torch.nn.Module) -> str:
    return hashlib.sha256(b"".join(value.numpy().tobytes() for value in model.state_dict().values())).hexdigest()


def test_classifiers_read_the_filled_text_itself(make) -> None:
    method = make()
    gaps = method._gaps(random_texts(6, 1), None, "test", 0)
    tokens, soft = gumbel_choice(method.filler.logits(gaps), 1.0, random_generator(0, "choice"))
    texts, _ = method.filler.decode(gaps, tokens)
    for (model, table), classifier in zip(parts(method), (method.white_box, method.distiller.student), strict=True):
        read = method._predictions(model, table, gaps, tokens, soft)
        told = classifier(texts) if isinstance(classifier, TransformersTeacher) else classifier.answers(texts)
        unknown = torch.tensor(["strange" in text for text in texts])
        torch.testing.assert_close(read[~unknown], told[~unknown], atol=1e-5, rtol=0)
        assert not unknown.all()


def test_the_gradient_is_a_hand_written_one(make) -> None:
    """At each gap the gradient of the objective by the logits is the softmax's Jacobian times `table @ dKL/d embedding`."""
    method = make(fill_temperature=0.7)
    gaps = method._gaps(random_texts(4, 1), None, "test", 0)
    logits = method.filler.logits(gaps).detach().requires_grad_()
    tokens, soft = gumbel_choice(logits, 0.7, random_generator(0, "choice"))
    classifiers = parts(method)
    theirs, students = (method._predictions(model, table, gaps, tokens, soft) for model, table in classifiers)
    kl(theirs, students).mean().backward()
    by_choice = torch.zeros_like(soft)
    leaves = []
    for _, table in classifiers:
        embedded = table[gaps.ids]
        embedded[gaps.hidden] = table[tokens]
        leaves.append(embedded.requires_grad_())
    plain = [
        model(inputs_embeds=leaf, attention_mask=gaps.mask).logits.log_softmax(-1)
        for (model, _), leaf in zip(classifiers, leaves, strict=True)
    ]
    for gradient, (_, table) in zip(torch.autograd.grad(kl(*plain).mean(), leaves), classifiers, strict=True):
        by_choice += gradient[gaps.hidden] @ table.T
    expected = soft.detach() * (by_choice - (soft.detach() * by_choice).sum(-1, keepdim=True)) / 0.7
    assert logits.grad is not None and logits.grad.abs().max() > 0
    torch.testing.assert_close(logits.grad, expected, atol=1e-6, rtol=1e-4)


def test_filler_learns_where_teacher_and_student_disagree(make) -> None:
    method = make(fill_learning_rate=3e-3, masked_lm_weight=0.0, fill_batch_size=32, fill_steps=40, student_batches=1)
    frozen, student = digest(method.white_box.model), digest(method.distiller.student.model)
    classifiers = parts(method)
    met = [method._update(classifiers, [])["disagreement"] for _ in range(40)]
    assert sum(met[-5:]) > 1.3 * sum(met[:5])
    assert digest(method.white_box.model) == frozen and digest(method.distiller.student.model) == student
    models = (method.distiller.student.model, method.white_box.model, method.filler.model)
    assert all(parameter.grad is None for model in models for parameter in model.parameters())


def test_masked_word_loss_keeps_the_filler_a_language_model(make) -> None:
    # The texts name one class each, so a gap can be guessed from what is around it.
    corpus = [" ".join(WORDS[8 * (i % 3) + (i * j) % 8] for j in range(1, 9)) for i in range(300)]
    method = make(corpus, fill_learning_rate=1e-2, masked_lm_weight=100.0, fill_batch_size=32)
    classifiers = parts(method)
    own = [method._update(classifiers, [])["masked_lm_loss"] for _ in range(60)]
    assert sum(own[-5:]) < 0.8 * sum(own[:5])


def test_the_last_round_keeps_the_proportion(make) -> None:
    method = make()
    assert method._plan(1000) == method._plan(40) == (2, 24)
    for left in range(1, 40):
        updates, texts = method._plan(left)
        assert updates == 2 * left // 40 and 8 * updates + texts == left


def test_each_step_of_the_filler_draws_anew(make, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []

    def noting(logits: torch.Tensor, temperature: float, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        seeds.append(random.initial_seed())
        return gumbel_choice(logits, temperature, random)

    monkeypatch.setattr(zero_shot, "gumbel_choice", noting)
    make().step(1000)
    assert len(seeds) == len(set(seeds)) > 2


def test_a_budget_is_spent_exactly_and_every_answer_is_the_texts_own(make) -> None:
    for budget in (1, 7, 25, 203):
        method = make()
        before, spent, rows = method.white_box.queries, 0, 0
        while spent < budget:
            step = method.step(budget - spent)
            spent += step.queries
            rows += len(step.batch)
            torch.testing.assert_close(step.batch.teacher_logits, method.white_box(step.batch.texts), atol=1e-5, rtol=0)
            method.white_box.queries -= len(step.batch)
        assert spent == budget and 0.9 * budget <= rows <= method.rows(budget) == budget
        assert method.white_box.queries - before + method.updates * 8 == budget


def test_it_says_how_many_of_the_paid_texts_the_student_gets(make) -> None:
    method = make()
    step = method.step(100)
    assert step.metrics["kept"] == (len(step.batch) - 3 * 8) / (2 * 8) > 0.5
    method.read_as[:] = 0  # as if the teacher cut every text into other tokens
    step = method.step(100)
    assert step.metrics["kept"] == 0 and len(step.batch) == 3 * 8


@pytest.mark.parametrize(("clean", "filled"), [(True, False), (False, True), (True, True)])
def test_terms_can_be_switched_off(make, clean: bool, filled: bool) -> None:
    corpus = random_texts(40, 9, shortest=8)
    method = make(corpus, clean_text=clean, filled_text=filled, fill_steps=0)
    batch = method.step(24).batch
    own = sum(text in corpus for text in batch.texts)
    assert own == {(True, False): 24, (False, True): 0, (True, True): 12}[clean, filled]
    assert len(batch) == 24 and batch.source == "zero-shot"


def test_it_goes_on_bit_for_bit(make, tmp_path: Path) -> None:
    whole, first = make(), make()
    steps = [whole.step(1000) for _ in range(4)]
    for _ in range(2):
        first.step(1000)
    for _ in range(2):  # what lies there is replaced
        first.save(tmp_path / "saved")
    second = make()
    second.load(tmp_path / "saved")
    for expected in steps[2:]:
        found = second.step(1000)
        assert found.batch.texts == expected.batch.texts and found.metrics == expected.metrics
        assert torch.equal(found.batch.teacher_logits, expected.batch.teacher_logits)
    with pytest.raises(InputError, match="was made with another corpus; use the same one"):
        make(random_texts(100, 4)).load(tmp_path / "saved")
    (tmp_path / "saved" / "optimizer.pt").write_bytes(b"cut")
    with pytest.raises(InputError, match="the checkpoint is damaged"):
        make().load(tmp_path / "saved")
    weights = load_file(tmp_path / "saved" / "generator.safetensors")
    assert any(not torch.equal(weights[name], now) for name, now in second.filler.weights().items())


def test_pairs_are_made_and_judged_as_pairs(make) -> None:
    method = make(sentence_pairs=True)
    step = method.step(1000)
    assert step.batch.text_pairs is not None and all(step.batch.text_pairs)
    predictions = method.white_box(step.batch.texts, step.batch.text_pairs)
    torch.testing.assert_close(step.batch.teacher_logits, predictions, atol=1e-5, rtol=0)
    assert len(step.batch) > 3 * 8  # the texts of the filler's steps are among them


def test_texts_are_cut_to_what_all_models_can_read(make) -> None:
    long = [" ".join(WORDS[(start + word) % len(WORDS)] for word in range(200)) for start in range(20)]
    method = make(corpus=long, fill_max_length=512)
    assert method.filler.max_length == 64 == method.white_box.model.config.max_position_embeddings
    assert len(method.step(40).batch) > 0
    assert make(fill_max_length=16).filler.max_length == 16


def test_what_cannot_work_is_refused(make, masked_lm: Path, bert_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="corpus: it holds no text"):
        make([])
    with pytest.raises(InputError, match="the model of masked_lm splits the corpus.*at least 60%"):
        make(["strange"] * 5 + ["boat"])
    with pytest.raises(InputError, match="not a masked language model"):
        make(masked_lm=str(bert_folder))
    for changes, message in (
        ({"masked_lm": ""}, "masked_lm is missing"),
        ({"mask_share": 1.5}, "mask_share is 1.5"),
        ({"mask_share": 0.0}, "mask_share is 0"),
        ({"clean_text": False, "filled_text": False}, "both off"),
        ({"fill_batch_size": 0}, "fill_batch_size is 0"),
        ({"masked_lm_weight": -1.0}, "masked_lm_weight is -1"),
    ):
        with pytest.raises(InputError, match=message):
            make(**changes)


def test_a_black_box_is_refused_and_told_what_works(make) -> None:
    method = make()
    box = CachedTeacher(CallableTeacher("tests.distill.methods.test_zero_shot:answer", LABELS), None, print)
    with pytest.raises(InputError, match=r"zero-shot.*gradients.*prompter train"):
        ZeroShot(method.config, box, method.distiller, ["boat"], 0, "cpu")


def answer(texts: list[str]) -> list[list[float]]:
    return [[1.0, 0.0, 0.0] for _ in texts]
