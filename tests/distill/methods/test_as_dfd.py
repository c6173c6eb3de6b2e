"""AS-DFD: samples are crafted as said, paid for as said, and a stopped run goes on bit for bit."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from distill.common.errors import InputError
from distill.config import DistillConfig
from distill.distiller import Distiller
from distill.embedded import classify, word_table
from distill.kinds.classes import PAIR
from distill.kinds.names import GivenKind
from distill.masked_embeddings import MaskedEmbeddings
from distill.methods.as_dfd import AsDfd
from distill.methods.config import AsDfdConfig
from distill.methods.synthesizer import Step
from distill.student import Student, load_student
from distill.teachers.callable_teacher import CallableTeacher
from distill.teachers.config import Asking
from distill.teachers.loading import load_teacher
from distill.teachers.prediction_cache import CachedTeacher
from distill.teachers.transformers_teacher import TransformersTeacher
from eval.toy.files import toy_path
from tests.distill.tiny import LABELS, make_tokenizer, random_texts

TRAINING = DistillConfig(student_updates=24, student_batch_size=8, student_learning_rate=3e-3)
SMALL = AsDfdConfig(
    embeddings_batch_size=6,
    embeddings_min_length=4,
    embeddings_max_length=12,
    inner_steps=5,
    inner_step_size=0.2,
    inner_keep=3,
    adversarial_every=2,
    masked_weight=0.1,
    masked_share=0.3,
)


def silent(notice: str) -> None:
    raise AssertionError(notice)


def make(
    folder: Path, config: AsDfdConfig = SMALL, training: DistillConfig = TRAINING, queries: int = 100, seed: int = 0
) -> AsDfd:
    """The method at work on a teacher and a student of its layers."""
    teacher = TransformersTeacher(folder, "cpu")
    student = load_student("teacher-layers:0,1", teacher=teacher, device="cpu")
    distiller = Distiller(student, training, queries, seed)
    return AsDfd(config, CachedTeacher(teacher, None, silent), distiller, seed)


def attach(teacher: TransformersTeacher, student: Student, config: AsDfdConfig = SMALL) -> AsDfd:
    return AsDfd(config, CachedTeacher(teacher, None, silent), Distiller(student, TRAINING, 10, 0), 0)


def weights_of(synthesizer: AsDfd) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in synthesizer.distiller._weights().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def stages_of(step: Step, stages: int) -> list[torch.Tensor]:
    assert step.batch.embeddings is not None
    return list(step.batch.embeddings.split(len(step.batch) // stages))


# --- samples --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "family", ["distilbert", pytest.param("bert", marks=pytest.mark.slow), pytest.param("roberta", marks=pytest.mark.slow)]
)
def test_each_kept_stage_goes_with_the_answer_to_itself(family: str, request: pytest.FixtureRequest) -> None:
    synthesizer = make(request.getfixturevalue(f"{family}_folder"))
    teacher = synthesizer._teacher
    before = {name: weight.clone() for name, weight in teacher.model.state_dict().items()}
    step = synthesizer.step(1000)
    batch = step.batch
    assert (step.queries, len(batch), batch.source) == (30, 18, "as-dfd")
    assert batch.embeddings is not None and batch.lengths is not None
    table = word_table(teacher.model)
    for row in range(len(batch)):
        length = int(batch.lengths[row])
        sample = batch.embeddings[row]
        assert 4 <= length <= 12
        assert torch.equal(sample[0], table[2]) and torch.equal(sample[length - 1], table[3])  # [CLS] and [SEP]
        assert not sample[length:].any()
        with torch.no_grad():  # alone and without padding: the answer is this stage's, not the next one's
            answer = classify(teacher.model, sample[None, :length], torch.ones(1, length, dtype=torch.int64))
        assert torch.allclose(answer[0], batch.teacher_logits[row], atol=1e-5)
    stages = stages_of(step, 3)
    moved = [(later - earlier).abs().sum(dim=(1, 2)) for earlier, later in zip(stages, stages[1:], strict=False)]
    assert all((move > 0.01).all() for move in moved)
    assert same(before, dict(teacher.model.state_dict()))
    assert all(parameter.grad is None for parameter in teacher.model.parameters())
    assert all(parameter.grad is None for parameter in synthesizer.distiller.student.model.parameters())


def test_samples_begin_as_noise_of_the_tables_mean_and_spread(bert_folder: Path) -> None:
    config = replace(SMALL, inner_steps=1, embeddings_batch_size=400)
    synthesizer = make(bert_folder, config)
    step = synthesizer.step(400)
    assert step.batch.embeddings is not None and step.batch.lengths is not None
    inner = torch.cat([row[1 : n - 1] for row, n in zip(step.batch.embeddings, step.batch.lengths.tolist(), strict=True)])
    table = word_table(synthesizer._teacher.model)
    assert torch.allclose(inner.mean(dim=0), table.mean(dim=0), atol=0.15 * float(table.std()))
    assert torch.allclose(inner.std(dim=0) / table.std(dim=0), torch.ones(inner.shape[1]), atol=0.1)
    assert set(step.batch.lengths.tolist()) == set(range(4, 13))
    assert torch.bincount(step.batch.targets).min() > 90  # of 400, three classes
    assert step.batch.texts == step.batch.topics  # one stage: it is the first one
    later = synthesizer.step(400)
    assert later.batch.embeddings is not None
    assert not torch.equal(later.batch.embeddings[0, 1], step.batch.embeddings[0, 1])


def test_a_move_equals_one_written_by_hand(bert_folder: Path) -> None:
    config = replace(SMALL, inner_steps=2, inner_keep=2, masked_weight=0.0, inner_step_size=0.3)
    synthesizer = make(bert_folder, config)
    step = synthesizer.step(1000)
    first, second = stages_of(step, 2)
    model = synthesizer._teacher.model
    std = word_table(model).std(dim=0)
    assert step.batch.lengths is not None
    for row in range(6):
        length = int(step.batch.lengths[row])
        sample = first[row, :length].clone().requires_grad_(True)
        logits = model(inputs_embeds=sample[None]).logits
        torch.nn.functional.cross_entropy(logits, step.batch.targets[row : row + 1]).backward()
        assert sample.grad is not None
        direction = sample.grad[1:-1] * std
        expected = sample.detach()[1:-1] - 0.3 * std * direction / direction.square().mean().sqrt()
        assert torch.allclose(second[row, 1 : length - 1], expected, atol=1e-5)
        assert torch.equal(second[row, length - 1], first[row, length - 1])


def test_the_inner_loop_brings_about_the_wanted_class(bert_folder: Path) -> None:
    config = replace(SMALL, embeddings_batch_size=60, inner_steps=8, inner_keep=8, adversarial_every=0)
    step = make(bert_folder, config).step(10_000)
    predictions = torch.stack(step.batch.teacher_logits.split(60))
    targets = step.batch.targets[:60]
    chosen = predictions[:, torch.arange(60), targets]
    loss = -chosen.mean(dim=1)
    assert all(later < earlier for earlier, later in zip(loss, loss[1:], strict=False))
    assert float(loss[-1]) < 0.5 * float(loss[0])
    confidence = chosen.exp().mean(dim=1)
    assert float(confidence[-1]) > float(confidence[0]) + 0.2
    assert step.metrics["inner_loss_first"] == pytest.approx(float(loss[0]), abs=1e-5)
    assert step.metrics["inner_loss_last"] == pytest.approx(float(loss[-1]), abs=1e-5)
    assert step.metrics["wanted_confidence"] == pytest.approx(float(confidence[-1]), abs=1e-5)


def test_the_adversarial_move_raises_the_students_masked_loss(bert_folder: Path) -> None:
    config = replace(SMALL, embeddings_batch_size=40)
    synthesizer = make(bert_folder, config, replace(TRAINING, student_updates=60), queries=200)
    synthesizer.distiller.consume(synthesizer.step(200).batch)
    masked, model = synthesizer.distiller.masked, synthesizer.distiller.student.model
    assert masked is not None and synthesizer.distiller.updates_done > 10
    before = weights_of(synthesizer)
    embeddings, lengths, _ = synthesizer._start(40)
    mask = (torch.arange(embeddings.shape[1]) < lengths[:, None]).long()
    inner = mask.clone()
    inner[:, 0] = 0
    inner[torch.arange(40), lengths - 1] = 0
    hidden = masked.choose(mask, "ascent-3", synthesizer.steps)
    after, loss = synthesizer._ascend(masked, embeddings, mask, inner[..., None].float(), 3)
    with torch.no_grad():
        start, end = (float(masked.loss(model, points, mask, hidden)) for points in (embeddings, after))
    assert loss == pytest.approx(start)
    assert end > start + 0.05
    untouched = ~inner.bool()
    assert torch.equal(after[untouched], embeddings[untouched])
    assert same(before, weights_of(synthesizer))


# --- cost -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(bert_folder: Path) -> tuple[TransformersTeacher, Student]:
    teacher = TransformersTeacher(bert_folder, "cpu")
    return teacher, load_student("teacher-layers:0", teacher=teacher, device="cpu")


@given(st.integers(1, 200), st.integers(1, 6), st.integers(1, 8), st.integers(1, 5))
@settings(deadline=None, max_examples=40)
def test_a_budget_is_spent_exactly(
    pair: tuple[TransformersTeacher, Student], budget: int, stages: int, keep: int, samples: int
) -> None:
    config = replace(SMALL, embeddings_batch_size=samples, inner_steps=stages, inner_keep=keep, masked_weight=0.0)
    synthesizer = attach(*pair, config)
    asked: list[int] = []
    synthesizer._ask = counting(asked)  # type: ignore[method-assign]
    left, rows, calls = budget, 0, 0
    while left:
        asked.clear()
        step = synthesizer.step(left)
        assert 1 <= step.queries <= left
        assert step.queries == sum(asked)
        assert len(step.batch) == len(step.batch.texts) >= 1
        left -= step.queries
        rows += len(step.batch)
        calls += 1
    assert rows == synthesizer.rows(budget)
    assert calls <= budget // (samples * stages) + 2
    assert synthesizer.steps == calls


def counting(asked: list[int]):
    def ask(embeddings: torch.Tensor, mask: torch.Tensor, targets: torch.Tensor, differentiate: bool):
        asked.append(len(embeddings))
        answers = torch.full((len(embeddings), 3), 1 / 3).log()
        return answers, -answers[:, 0], torch.ones_like(embeddings) if differentiate else None

    return ask


# --- learning -------------------------------------------------------------------------------------------------------


def spend(synthesizer: AsDfd, queries: int) -> None:
    left = queries
    while left:
        step = synthesizer.step(left)
        left -= step.queries
        synthesizer.distiller.consume(step.batch)


def test_a_student_learns_its_teacher_without_any_text(bert_folder: Path) -> None:
    teacher = TransformersTeacher(bert_folder, "cpu")
    texts = random_texts(400, 999)
    predictions = teacher(texts).argmax(dim=1)
    training = DistillConfig(student_updates=120, student_batch_size=32, student_learning_rate=2e-3, student_online_share=0.0)
    config = replace(
        SMALL, embeddings_batch_size=32, embeddings_max_length=22, inner_steps=4, inner_keep=4, masked_weight=0.02
    )
    student = load_student("teacher-layers:0", teacher=teacher, device="cpu")
    distiller = Distiller(student, training, 1500, 0)
    synthesizer = AsDfd(
        replace(config, inner_step_size=0.4, masked_weight=0.02), CachedTeacher(teacher, None, silent), distiller, 0
    )
    table = word_table(student.model).clone()
    before = float((student.answers(texts).argmax(dim=1) == predictions).float().mean())
    spend(synthesizer, 1500)
    distiller.finish()
    after = float((student.answers(texts).argmax(dim=1) == predictions).float().mean())
    assert before < 0.85 < 0.9 < after
    # No moment and no weight decay has touched the words that real texts are read with.
    assert distiller.config.student_weight_decay > 0
    assert torch.equal(table, word_table(student.model))


def test_the_masked_loss_is_learnt_with_the_rest(bert_folder: Path) -> None:
    with_term = make(bert_folder, queries=60)
    without = make(bert_folder, replace(SMALL, masked_weight=0.0), queries=60)
    assert without.distiller.masked is None
    for synthesizer in (with_term, without):
        spend(synthesizer, 100)
        synthesizer.distiller.finish()
    fresh = make(bert_folder).distiller.masked
    learnt = with_term.distiller.masked
    assert fresh is not None and learnt is not None
    assert not torch.equal(fresh.head.weight, learnt.head.weight)
    mine, theirs = with_term.distiller.student.model, without.distiller.student.model
    assert not same(dict(mine.state_dict()), dict(theirs.state_dict()))
    assert mine.state_dict().keys() == theirs.state_dict().keys()  # the head is no part of the student


def test_a_fresh_student_begins_with_a_fresh_head(bert_folder: Path) -> None:
    synthesizer = make(bert_folder, queries=60)
    spend(synthesizer, 100)
    other = make(bert_folder, queries=60)
    synthesizer.distiller.restart(other.distiller.student)
    assert same(weights_of(synthesizer), weights_of(other))
    spent = weights_of(synthesizer)
    synthesizer.distiller.finish()
    assert not torch.equal(spent["masked.head.weight"], weights_of(synthesizer)["masked.head.weight"])


def run_to_end(synthesizer: AsDfd, left: int, restart: bool) -> dict[str, torch.Tensor]:
    spend(synthesizer, left)
    if restart:
        teacher = synthesizer._teacher
        synthesizer.distiller.restart(load_student("teacher-layers:0,1", teacher=teacher, device="cpu"))
    synthesizer.distiller.finish()
    return weights_of(synthesizer)


@pytest.mark.parametrize(
    ("restart", "stops"),
    [(False, [0, 3]), pytest.param(False, [1, 2, 4], marks=pytest.mark.slow), pytest.param(True, [3], marks=pytest.mark.slow)],
)
def test_a_stopped_run_goes_on_bit_for_bit(restart: bool, stops: Sequence[int], bert_folder: Path, tmp_path: Path) -> None:
    config, budget = replace(SMALL, embeddings_batch_size=4), 95
    training = replace(TRAINING, replay_capacity=30)  # the ring turns over
    uninterrupted = run_to_end(make(bert_folder, config, training, queries=57), budget, restart)
    for stop in stops:
        first = make(bert_folder, config, training, queries=57)
        left = budget
        for _ in range(stop):
            step = first.step(left)
            left -= step.queries
            first.distiller.consume(step.batch)
        first.distiller.save(tmp_path / f"loop-{stop}")
        first.save(tmp_path / f"method-{stop}")
        if stop == 4:
            assert len(first.distiller.replay) == 30 and first.distiller.updates_done > 5
        torch.rand(3)  # whatever happens to the global generator in between
        second = make(bert_folder, config, training, queries=57)
        second.load(tmp_path / f"method-{stop}")
        second.distiller.load(tmp_path / f"loop-{stop}")
        assert second.steps == stop
        assert same(run_to_end(second, left, restart), uninterrupted)


def test_a_loop_is_not_restored_into_another_objective(bert_folder: Path, tmp_path: Path) -> None:
    plain = replace(SMALL, masked_weight=0.0)
    for saved, loaded in ((SMALL, plain), (plain, SMALL)):
        make(bert_folder, saved).distiller.save(tmp_path / "loop")
        with pytest.raises(InputError, match="made with another loss"):
            make(bert_folder, loaded).distiller.load(tmp_path / "loop")


def test_a_checkpoint_of_other_settings_or_a_damaged_one_is_refused(bert_folder: Path, tmp_path: Path) -> None:
    synthesizer = make(bert_folder)
    synthesizer.step(30)
    synthesizer.save(tmp_path / "method")
    other = make(bert_folder, replace(SMALL, inner_step_size=0.7), seed=1)
    with pytest.raises(InputError, match=r"inner_step_size \(0.2, now 0.7\), seed \(0, now 1\)"):
        other.load(tmp_path / "method")
    (tmp_path / "method" / "as_dfd.json").write_text("{}")
    with pytest.raises(InputError, match="damaged"):
        synthesizer.load(tmp_path / "method")
    with pytest.raises(InputError, match="cannot be read"):
        synthesizer.load(tmp_path / "nothing")


# --- what is refused ------------------------------------------------------------------------------------------------


def answer_nothing(texts: list[str]) -> list[list[float]]:
    return [[0.2, 0.3, 0.5]] * len(texts)


def test_a_black_box_is_refused(bert_folder: Path) -> None:
    student = load_student("teacher-layers:0", teacher=TransformersTeacher(bert_folder, "cpu"), device="cpu")
    box = CallableTeacher(f"{__name__}:answer_nothing", LABELS)
    with pytest.raises(InputError, match="method: 'as-dfd' follows the teacher's gradients"):
        AsDfd(SMALL, CachedTeacher(box, None, silent), Distiller(student, TRAINING, 10, 0), 0)


def test_a_student_with_words_of_its_own_is_refused(teacher: TransformersTeacher) -> None:
    for spec in ("bert:layers=1,hidden=32", "bert:layers=1,hidden=16"):
        student = load_student(spec, teacher=teacher, device="cpu")
        with pytest.raises(InputError, match=f"student: {spec} has its own word embeddings.*teacher-layers:0,2"):
            attach(teacher, student)
    student = load_student("teacher-layers:0", teacher=teacher, device="cpu")
    student.tokenizer.add_tokens(["extra"])
    with pytest.raises(InputError, match="its own word embeddings"):
        attach(teacher, student)


def test_samples_longer_than_the_models_read_are_refused(teacher: TransformersTeacher) -> None:
    student = load_student("teacher-layers:0", teacher=teacher, device="cpu")
    with pytest.raises(InputError, match="embeddings_max_length: 65; the teacher reads at most 64"):
        attach(teacher, student, replace(SMALL, embeddings_max_length=65))
    distiller = Distiller(student, replace(TRAINING, student_max_length=8), 10, 0)
    with pytest.raises(InputError, match="embeddings_max_length: 12; the student reads at most 8"):
        AsDfd(SMALL, CachedTeacher(teacher, None, silent), distiller, 0)


def test_a_tokenizer_without_special_tokens_at_both_ends_is_refused(tmp_path: Path) -> None:
    tokenizer: PreTrainedTokenizerFast = make_tokenizer()
    tokenizer.backend_tokenizer.post_processor = None
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=1,
                        intermediate_size=16, max_position_embeddings=64, num_labels=3)  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(tmp_path / "bare")
    tokenizer.save_pretrained(tmp_path / "bare")
    teacher = load_teacher(str(tmp_path / "bare"), "cpu")
    assert isinstance(teacher, TransformersTeacher)
    with pytest.raises(InputError, match="one special token on either side.*adds 0"):
        attach(teacher, load_student("teacher-layers:0", teacher=teacher, device="cpu"))


def test_answers_that_are_not_finite_stop_it(bert_folder: Path) -> None:
    synthesizer = make(bert_folder)
    with torch.no_grad():
        synthesizer._teacher.model.classifier.weight.fill_(float("nan"))
    with pytest.raises(InputError, match="not finite at step 0; lower inner_step_size"):
        synthesizer.step(1000)


def test_scores_beyond_their_range_stop_it(tmp_path: Path) -> None:
    config = BertConfig(vocab_size=len(make_tokenizer()), hidden_size=16, num_hidden_layers=2, num_attention_heads=1,
                        intermediate_size=16, max_position_embeddings=64, num_labels=1)  # fmt: skip
    model = BertForSequenceClassification(config)
    torch.nn.init.constant_(model.classifier.bias, 4.0)
    model.save_pretrained(tmp_path / "stars")
    make_tokenizer().save_pretrained(tmp_path / "stars")

    def attached(high: float) -> AsDfd:
        teacher = load_teacher(str(tmp_path / "stars"), "cpu", asking=Asking(kind=GivenKind("score", 0, high)))
        assert isinstance(teacher, TransformersTeacher)
        return attach(teacher, load_student("teacher-layers:0,1", teacher=teacher, device="cpu"))

    assert attached(5).step(60).queries == 30
    narrow = attached(1)
    with pytest.raises(InputError, match="most of its .* values lie beyond 0 to 1 .* --score_low and --score_high"):
        narrow.step(60), narrow.step(30)


# --- the claim ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(1200)  # the toy teacher is trained first
def test_crafted_embeddings_teach_more_than_noise_at_equal_cost() -> None:
    """On the toy task, with 3,000 teacher queries and 300 updates: the student is nearer to its teacher on real texts."""
    teacher = TransformersTeacher(toy_path("toy:sentiment", "teacher", quiet=True), "cpu")
    lines = toy_path("toy:sentiment", "test").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    predictions = teacher(texts)

    def distance(student: Student) -> float:
        return float((predictions.exp() * (predictions - student.answers(texts))).sum(dim=1).mean())

    def taught(config: AsDfdConfig) -> float:
        training = DistillConfig(student_updates=300, student_online_share=0.1)
        student = load_student("teacher-layers:0,2", teacher=teacher, device="cpu")
        distiller = Distiller(student, training, 3000, 0)
        spend(AsDfd(config, CachedTeacher(teacher, None, silent), distiller, 0), 3000)
        distiller.restart(load_student("teacher-layers:0,2", teacher=teacher, device="cpu"))
        distiller.finish()
        return distance(distiller.student)

    untrained = distance(load_student("teacher-layers:0,2", teacher=teacher, device="cpu"))
    crafted = taught(AsDfdConfig())
    noise = taught(AsDfdConfig(inner_steps=1, masked_weight=0.0))
    assert crafted < 0.7 * noise, (crafted, noise)
    assert crafted < 0.5 * untrained, (crafted, untrained)


# --- pairs ----------------------------------------------------------------------------------------------------------


def test_samples_of_pairs_have_two_segments(bert_folder: Path) -> None:
    teacher = TransformersTeacher(bert_folder, "cpu")
    teacher.kind = PAIR
    student = load_student("teacher-layers:0,1", teacher=teacher, device="cpu")
    method = attach(teacher, student)
    batch = method.step(100).batch
    assert batch.embeddings is not None and batch.lengths is not None
    table, closing = word_table(teacher.model), teacher.tokenizer.sep_token_id
    for row, length in enumerate(batch.lengths.tolist()):
        sample = batch.embeddings[row, :length]
        (inside,) = (sample[:-1] == table[closing]).all(dim=1).nonzero().flatten().tolist()
        assert 2 <= inside <= length - 3  # a word at least on either side
        types = torch.tensor([[0] * (inside + 1) + [1] * (length - inside - 1)])
        outputs = teacher.model(inputs_embeds=sample[None], token_type_ids=types).logits.log_softmax(dim=1)
        assert torch.allclose(outputs[0], batch.teacher_logits[row], atol=1e-5)
        plain = teacher.model(inputs_embeds=sample[None]).logits.log_softmax(dim=1)
        assert not torch.allclose(plain[0], batch.teacher_logits[row], atol=1e-6)
    method.distiller.consume(batch)
    inputs = method.distiller._inputs(torch.arange(4))
    assert (inputs["token_type_ids"].sum(dim=1) >= 2).all()  # read again from the replay, in half precision


def test_samples_of_pairs_need_room(bert_folder: Path) -> None:
    teacher = TransformersTeacher(bert_folder, "cpu")
    teacher.kind = PAIR
    student = load_student("teacher-layers:0,1", teacher=teacher, device="cpu")
    with pytest.raises(InputError, match="embeddings_max_length is 4, expected at least 5 for pairs"):
        attach(teacher, student, replace(SMALL, embeddings_max_length=4))


def test_every_kth_step_is_followed_by_one_against_the_student(bert_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthesizer = make(bert_folder, replace(SMALL, inner_steps=8, adversarial_every=3))
    seen: list[int] = []
    hidden: list[torch.Tensor] = []
    ascend, choose = synthesizer._ascend, MaskedEmbeddings.choose
    monkeypatch.setattr(synthesizer, "_ascend", lambda *given: seen.append(given[-1]) or ascend(*given))
    monkeypatch.setattr(MaskedEmbeddings, "choose", lambda *given: hidden.append(choose(*given)) or hidden[-1])
    synthesizer.step(8)
    assert seen == [2, 5]  # after the third and the sixth of seven moves
    assert len(hidden) == 2 and not torch.equal(*hidden)  # each hides other positions
