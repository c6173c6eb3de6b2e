"""DFKD-T3: its estimator, what it learns, what it costs, resumes, and what is refused."""

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from distill.common.errors import InputError
from distill.common.seeding import random_generator
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.embedded import classify, raw_outputs, word_table
from distill.kinds.classes import PAIR
from distill.losses import entropy, kl
from distill.methods import soft_texts
from distill.methods.config import T3Config
from distill.methods.rewriter import Rewriter
from distill.methods.soft_texts import embed_texts, soft_choice
from distill.methods.t3 import TextToText
from distill.student import load_student
from distill.teachers.callable_teacher import CallableTeacher
from distill.teachers.prediction_cache import CachedTeacher
from distill.teachers.transformers_teacher import TransformersTeacher
from tests.distill.rewriters import save_rewriter_base
from tests.distill.tiny import LABELS, random_texts

CORPUS = random_texts(100, 77, 3, 8)
OFF = {f"rewriter_{term}": 0.0 for term in ("specificity", "diversity", "hardness", "language")}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_rewriter_base(tmp_path_factory.mktemp("base") / "t5")


def cached(teacher: TransformersTeacher | CallableTeacher) -> CachedTeacher:
    return CachedTeacher(teacher, None, print)


def method(base: Path, teacher: TransformersTeacher, corpus: list[str] = CORPUS, **changes: Any) -> TextToText:
    settings = {"rewriter_batch_size": 16, "rewriter_updates": 2, "rewriter_max_length": 10, "rewriter_rank": 4,
                "rewriter_alpha": 8, "rewriter_learning_rate": 1e-2, "rewriter_hidden_share": 0.3}  # fmt: skip
    student = load_student("bert:layers=1,hidden=16,heads=2", teacher=teacher, seed=1, device="cpu")
    distiller = Distiller(student, DistillConfig(student_updates=10, student_batch_size=8), 400, 0)
    config = T3Config(rewriter=str(base), **(settings | changes))
    return TextToText(config, cached(teacher), distiller, corpus, seed=0, device="cpu")


def weights(t3: TextToText) -> dict[str, torch.Tensor]:
    return t3.rewriter.weights()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# --- the estimator ------------------------------------------------------------------------------------------------


def test_gradient_through_the_map_equals_a_hand_written_one(base: Path, teacher: TransformersTeacher) -> None:
    t3 = method(base, teacher)
    inputs = t3.rewriter.encode(CORPUS[:4], random_generator(0, "hidden"))
    tokens = t3.rewriter.sample(inputs, 0, "sample")
    logits = t3.rewriter.logits(inputs, tokens).detach().double().requires_grad_()
    temperature = 0.7
    soft = soft_choice(logits, tokens.ids, temperature, random_generator(0, "noise"))
    embedded, mask = embed_texts(tokens, soft.float(), t3.teacher_table, teacher.model, t3.to_teacher)
    entropy(classify(teacher.model, embedded, mask)).sum().backward()

    # By hand: the loss's gradient at the embeddings, carried back through table, softmax and log-softmax.
    read = embedded.detach().requires_grad_()
    (at_embeddings,) = torch.autograd.grad(entropy(classify(teacher.model, read, mask)).sum(), read)
    at_soft = at_embeddings[:, 1:] @ t3.teacher_table.T * tokens.drawn[:, :, None]
    s = soft.detach().float()
    at_log_probs = s * (at_soft - (s * at_soft).sum(dim=-1, keepdim=True)) / temperature
    p = logits.detach().softmax(dim=-1).float()
    expected = at_log_probs - p * at_log_probs.sum(dim=-1, keepdim=True)
    assert logits.grad is not None and logits.grad.abs().max() > 1e-4
    assert torch.allclose(logits.grad.float(), expected, atol=1e-6)


def test_the_teacher_reads_the_text_that_was_drawn(base: Path, teacher: TransformersTeacher) -> None:
    t3 = method(base, teacher)
    inputs = t3.rewriter.encode(CORPUS[:32], random_generator(0, "hidden"))
    tokens = t3.rewriter.sample(inputs, 0, "sample")
    texts = t3.rewriter.decode(tokens, CORPUS[:32])
    alike = t3._read_alike(CORPUS[:32], tokens, texts)
    assert alike.any()
    soft = soft_choice(t3.rewriter.logits(inputs, tokens), tokens.ids, 1.0, random_generator(0, "noise"))
    found = classify(teacher.model, *embed_texts(tokens, soft, t3.teacher_table, teacher.model, t3.to_teacher))
    assert torch.allclose(found[alike], teacher(texts)[alike], atol=1e-5)


def test_each_text_of_an_update_has_its_own_answer(base: Path, teacher: TransformersTeacher) -> None:
    t3 = method(base, teacher)
    alone = t3._read_alike
    t3._read_alike = lambda *given: alone(*given) & (torch.arange(32) % 3 > 0)  # type: ignore[method-assign]
    batch, metrics = t3._update(CORPUS[:32], t3.to_student.table(word_table(t3.distiller.student.model)))
    assert 3 < len(batch) <= 21 and metrics["rewriter/reused"] == pytest.approx(len(batch) / 32)
    assert torch.allclose(batch.teacher_logits, teacher(batch.texts), atol=1e-5)
    assert len({tuple(row) for row in batch.teacher_logits.tolist()}) > 3


# --- each term does what it says ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "term",
    ["hardness", pytest.param("specificity", marks=pytest.mark.slow), pytest.param("diversity", marks=pytest.mark.slow)],
)
def test_a_term_alone_moves_what_it_names(base: Path, teacher: TransformersTeacher, term: str) -> None:
    corpus = CORPUS
    if term == "diversity":  # sentences of one class: the mean answer has something to gain
        judged = teacher(CORPUS).softmax(dim=1)
        corpus = [CORPUS[i] for i in judged[:, 0].topk(25).indices.tolist()]
    t3 = method(base, teacher, corpus, **(OFF | {f"rewriter_{term}": 1.0}), rewriter_updates=8)

    def measured() -> float:
        texts = t3.write(corpus * (600 // len(corpus)), 99).texts
        p_teacher, p_student = t3.white_box(texts), t3.distiller.student.answers(texts)
        if term == "hardness":
            return float(kl(p_teacher, p_student).mean())
        return float(entropy(p_teacher).mean() if term == "specificity" else entropy(p_teacher.exp().mean(0, True).log()))

    before = measured()
    for _ in range(2):
        t3.step(10_000)
    change = measured() - before
    assert change < -0.03 if term == "specificity" else change > 0.03, (before, change)


def test_the_loss_is_made_of_its_terms_as_the_settings_say(base: Path, teacher: TransformersTeacher) -> None:
    weights_of_terms = {"rewriter_specificity": 0.7, "rewriter_diversity": 0.4, "rewriter_hardness": 0.9}
    t3 = method(base, teacher, **(OFF | weights_of_terms))
    sources, rewriter, table = CORPUS[:8], t3.rewriter, t3.to_student.table(word_table(t3.distiller.student.model))
    inputs = rewriter.encode(sources, random_generator(0, "hidden"))
    tokens = rewriter.sample(inputs, 0, "sample")
    soft = soft_choice(rewriter.logits(inputs, tokens), tokens.ids, 1.0, random_generator(0, "noise"))
    answers = t3._answers(
        raw_outputs(teacher.model, *t3._embedded(sources, tokens, soft, t3.white_box, t3.teacher_table, t3.to_teacher)), tokens
    )
    loss, parts, terms = t3._task_terms(sources, tokens, soft, answers, table)
    said = raw_outputs(
        t3.distiller.student.model, *t3._embedded(sources, tokens, soft, t3.distiller.student, table, t3.to_student)
    )
    p, q = (rows.detach().double().softmax(dim=1) for rows in (answers, said))
    mean = p.mean(dim=0)
    expected = {
        "specificity": float(-(p * p.log()).sum(dim=1).mean()),
        "diversity": float(-(mean * mean.log()).sum()),
        "hardness": float((p * (p / q).log()).sum(dim=1).mean()),
    }
    assert {name: float(term.detach()) for name, term in terms.items()} == pytest.approx(expected, abs=1e-5)
    whole = 0.7 * expected["specificity"] - 0.4 * expected["diversity"] - 0.9 * expected["hardness"]
    assert float(loss.detach()) == pytest.approx(whole, abs=1e-5)
    assert float(parts.detach().mean()) == pytest.approx(whole, abs=1e-5)  # what each rewriting adds to it


def test_the_language_term_is_the_mean_divergence_of_a_drawn_token(
    base: Path, teacher: TransformersTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    t3 = method(base, teacher, rewriter_language=0.5, rewriter_updates=6)
    t3.step(10_000)
    sources, rewriter, done = CORPUS[:8], t3.rewriter, t3.updates_done
    inputs = rewriter.encode(sources, random_generator(t3.seed, "t3", "hidden", done))
    tokens = rewriter.sample(inputs, t3.seed, "t3", "sample", done)
    assert not tokens.drawn.all()
    with torch.no_grad():
        p, q = (rewriter.logits(inputs, tokens, tuned=tuned).double().log_softmax(dim=2) for tuned in (True, False))
    expected = (p.exp() * (p - q)).sum(dim=2)[tokens.drawn].mean()
    of_texts: list[torch.Tensor] = []
    score = soft_texts.score_loss
    monkeypatch.setattr(
        soft_texts, "score_loss", lambda losses, log_probs: of_texts.append(log_probs) or score(losses, log_probs)
    )
    _, metrics = t3._update(sources, t3.to_student.table(word_table(t3.distiller.student.model)))
    assert metrics["rewriter/language"] == pytest.approx(float(expected), rel=1e-3) and float(expected) > 1e-4
    chosen = p.gather(2, tokens.ids[:, :, None]).squeeze(2)
    whole = torch.stack([row[drawn].sum() for row, drawn in zip(chosen, tokens.drawn, strict=True)])
    torch.testing.assert_close(of_texts[0].detach().double(), whole, atol=1e-3, rtol=1e-3)


def test_language_term_holds_the_rewriter_back(base: Path, teacher: TransformersTeacher) -> None:
    divergence = []
    for weight in (0.0, 20.0):
        t3 = method(base, teacher, rewriter_language=weight, rewriter_updates=16)
        t3.step(10_000)
        inputs = t3.rewriter.encode(CORPUS, random_generator(0, "hidden"))
        tokens = t3.rewriter.sample(inputs, 0, "sample")
        tuned, base_says = t3.rewriter.logits(inputs, tokens), t3.rewriter.logits(inputs, tokens, tuned=False)
        apart = kl(tuned.log_softmax(dim=-1), base_says.log_softmax(dim=-1))
        divergence.append(float(apart[tokens.drawn].mean().detach()))
    assert divergence[1] < 0.1 * divergence[0], divergence
    assert divergence[1] < 0.05


def test_frozen_models_stay_as_they_are(base: Path, teacher: TransformersTeacher) -> None:
    t3 = method(base, teacher)
    student = t3.distiller.student.model
    frozen = {"t." + n: w.clone() for n, w in teacher.model.state_dict().items()}
    frozen |= {"s." + n: w.clone() for n, w in student.state_dict().items()}
    frozen |= {"g." + n: w.clone() for n, w in t3.rewriter.model.state_dict().items() if ".lora_" not in n}
    adapter = weights(t3)
    t3.step(200)
    now = {"t." + n: w for n, w in teacher.model.state_dict().items()}
    now |= {"s." + n: w for n, w in student.state_dict().items()}
    now |= {"g." + n: w for n, w in t3.rewriter.model.state_dict().items() if ".lora_" not in n}
    assert same(frozen, now)
    assert not same(adapter, weights(t3))
    assert all(parameter.grad is None for model in (teacher.model, student) for parameter in model.parameters())


# --- the budget -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [1, 16, 17, 47, 48, 100])
def test_the_budget_is_spent_to_the_last_query(base: Path, teacher: TransformersTeacher, budget: int) -> None:
    t3 = method(base, teacher)
    planned, left, rows, asked = t3.rows(budget), budget, 0, 0
    passed = []
    teacher.model.register_forward_pre_hook(
        lambda module, args, kwargs: passed.append(len(kwargs.get("input_ids", kwargs.get("inputs_embeds")))), with_kwargs=True
    )
    while left:
        step = t3.step(left)
        assert 1 <= step.queries <= left and len(step.batch) >= 1
        left -= step.queries
        rows += len(step.batch)
        asked += step.queries
    assert asked == budget == sum(passed)
    assert rows <= budget and planned <= budget
    assert abs(rows - planned) <= 0.1 * budget


def test_rows_are_answered_as_the_teacher_answers_texts(base: Path, teacher: TransformersTeacher) -> None:
    step = method(base, teacher).step(48)
    assert len(step.batch) > 16  # rows that moved the rewriter are among them
    assert torch.allclose(step.batch.teacher_logits, teacher(step.batch.texts), atol=1e-5)
    assert step.batch.source == "rewritten"
    assert {"rewriter/specificity", "rewriter/language", "rewriter/reused", "rewriter/logprob"} <= step.metrics.keys()


def test_every_sentence_is_read_before_one_is_read_again(base: Path, teacher: TransformersTeacher) -> None:
    t3 = method(base, teacher)
    first = t3._sources(60) + t3._sources(40)
    assert sorted(first) == sorted(CORPUS) and first != CORPUS
    second = t3._sources(100)
    assert sorted(second) == sorted(CORPUS) and second != first


# --- going on -------------------------------------------------------------------------------------------------------


def test_a_stopped_run_goes_on_bit_for_bit(base: Path, teacher: TransformersTeacher, tmp_path: Path) -> None:
    whole, first = method(base, teacher), method(base, teacher)
    for t3 in (whole, first):
        t3.step(48)
    first.save(tmp_path / "state")
    torch.rand(3)
    second = method(base, teacher)
    second.load(tmp_path / "state")
    expected, found = [[t3.step(48) for _ in range(2)] for t3 in (whole, second)]
    for a, b in zip(expected, found, strict=True):
        assert a.batch.texts == b.batch.texts and torch.equal(a.batch.teacher_logits, b.batch.teacher_logits)
        assert a.metrics == b.metrics
    assert same(weights(whole), weights(second))


@pytest.mark.parametrize("name", ["t3.json", "adapter.safetensors", "optimizer.pt"])
@pytest.mark.parametrize("damage", ["cut", pytest.param("gone", marks=pytest.mark.slow)])
def test_a_damaged_checkpoint_is_refused(
    base: Path, teacher: TransformersTeacher, tmp_path: Path, name: str, damage: str
) -> None:
    t3 = method(base, teacher)
    t3.step(48)
    t3.save(tmp_path / "state")
    content = (tmp_path / "state" / name).read_bytes()
    (tmp_path / "state" / name).unlink()
    if damage == "cut":
        (tmp_path / "state" / name).write_bytes(content[: len(content) // 2])
    other = method(base, teacher)
    before = weights(other)
    with pytest.raises(InputError, match="state"):
        other.load(tmp_path / "state")
    assert same(before, weights(other)) and other.updates_done == 0


def test_a_checkpoint_of_other_settings_is_refused(base: Path, teacher: TransformersTeacher, tmp_path: Path) -> None:
    method(base, teacher).save(tmp_path / "state")
    with pytest.raises(InputError, match="other settings: corpus, rewriter_hardness"):
        method(base, teacher, CORPUS[:50], rewriter_hardness=0.5).load(tmp_path / "state")
    (tmp_path / "link").symlink_to(base)  # the same rewriter, called otherwise
    method(tmp_path / "link", teacher).load(tmp_path / "state")


def test_the_saved_rewriter_writes_without_teacher(base: Path, teacher: TransformersTeacher, tmp_path: Path) -> None:
    t3 = method(base, teacher)
    t3.step(48)
    t3.save_rewriter(tmp_path / "rewriter")
    texts = t3.write(CORPUS[:20], 3).texts
    loaded = Rewriter.load(shutil.move(tmp_path / "rewriter", tmp_path / "moved"), device="cpu")
    assert loaded.write(CORPUS[:20], 3).texts == texts
    assert isinstance(texts[0], str) and len(texts) == 20


# --- what is refused ------------------------------------------------------------------------------------------------


def test_a_black_box_is_refused(base: Path, teacher: TransformersTeacher) -> None:
    t3 = method(base, teacher)
    with pytest.raises(InputError, match="method: 't3' follows the teacher's gradients"):
        TextToText(t3.config, cached(CallableTeacher("json:loads", LABELS)), t3.distiller, CORPUS, 0, "cpu")


def test_an_empty_corpus_is_refused(base: Path, teacher: TransformersTeacher) -> None:
    with pytest.raises(InputError, match="corpus: it has no sentences"):
        method(base, teacher, ["", "  "])


def test_a_foreign_vocabulary_is_refused(teacher: TransformersTeacher, tmp_path: Path) -> None:
    words = ["bateau", "vague", "champ", "ville", "the", "net"]
    base = save_rewriter_base(tmp_path / "french", words)
    with pytest.raises(InputError, match="teacher: .* knows only 25% of the tokens"):
        method(base, teacher, ["bateau vague the ville"])


def test_a_loss_that_is_not_finite_stops_with_a_remedy(base: Path, teacher: TransformersTeacher) -> None:
    t3 = method(base, teacher)
    t3.teacher_table[5:] = float("nan")
    with pytest.raises(InputError, match=r"not finite at update 0; lower rewriter_learning_rate \(0.01\)"):
        t3.step(100)


# --- pairs --------------------------------------------------------------------------------------------------------


def of_pairs(teacher: TransformersTeacher) -> TransformersTeacher:
    """The same model as a teacher of pairs."""
    made = copy.copy(teacher)
    made.kind = PAIR
    return made


def test_a_sentence_and_its_rewriting_are_read_as_a_pair(base: Path, teacher: TransformersTeacher) -> None:
    t3 = method(base, of_pairs(teacher))
    sources = CORPUS[:12]
    inputs = t3.rewriter.encode(sources, random_generator(0, "hidden"))
    tokens = t3.rewriter.sample(inputs, 0, "sample")
    soft = soft_choice(t3.rewriter.logits(inputs, tokens), tokens.ids, 1.0, random_generator(0, "noise"))
    for reader, table, mapped in (
        (teacher, t3.teacher_table, t3.to_teacher),
        (t3.distiller.student, t3.to_student.table(word_table(t3.distiller.student.model)), t3.to_student),
    ):
        read = classify(reader.model, *t3._embedded(sources, tokens, soft, reader, table, mapped))
        texts = t3.rewriter.decode(tokens, sources)
        alike = t3._read_alike(sources, tokens, texts)
        own = reader(sources, texts) if reader is teacher else reader.answers(sources, texts)  # type: ignore[operator, union-attr]
        assert alike.any() and torch.allclose(read.detach()[alike], own[alike], atol=1e-5)


def test_its_batches_are_pairs_with_the_answers_to_them(base: Path, teacher: TransformersTeacher) -> None:
    asked = of_pairs(teacher)
    step = method(base, asked).step(80)
    assert step.batch.text_pairs is not None and set(step.batch.texts) <= set(CORPUS) and len(step.batch) > 16
    assert torch.allclose(step.batch.teacher_logits, asked(step.batch.texts, step.batch.text_pairs), atol=1e-5)
    assert not torch.allclose(step.batch.teacher_logits, asked(step.batch.texts), atol=1e-3)
