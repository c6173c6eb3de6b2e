"""The held-out share: decided by the text alone, never trained on, restored exactly."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill.batch import SyntheticBatch
from distill.common.errors import InputError
from distill.held_out import HeldOut, is_held_out
from distill.replay import Replay
from distill.student import Student, load_student
from tests.distill.tiny import LABELS, embedded_batch, make_tokenizer, random_batch, random_texts


def batch_of(texts: list[str], pairs: list[str] | None = None) -> SyntheticBatch:
    logits = torch.randn(len(texts), 3, generator=torch.Generator().manual_seed(0)).log_softmax(1)
    return SyntheticBatch(texts, logits, torch.full((len(texts),), -1), [""] * len(texts), "x", pairs)


@pytest.fixture(scope="module")
def student() -> Student:
    return load_student("bert:layers=1,hidden=16,heads=1", labels=LABELS, tokenizer=make_tokenizer(), device="cpu")


@given(st.lists(st.text(max_size=8), max_size=40), st.floats(0, 0.9), st.booleans())
def test_a_text_is_on_one_side_only_and_none_is_lost(texts: list[str], share: float, paired: bool) -> None:
    held = HeldOut(share)
    pairs = texts[::-1] if paired else None
    batch = batch_of(texts, pairs)
    rest = held.take(batch)
    again = held.take(batch)
    assert rest.texts == again.texts
    sides: list[str | None] = list(pairs or [None] * len(texts))
    expected = {(t, p) for t, p in zip(texts, sides, strict=True) if is_held_out(t, p, share)}
    assert set(zip(held.texts, held.text_pairs, strict=True)) == expected
    assert len(held) == len(expected) == len(held.logprobs)
    assert not expected & set(zip(rest.texts, rest.text_pairs or [None] * len(rest), strict=True))
    assert len(rest) == sum((t, p) not in expected for t, p in zip(texts, sides, strict=True))


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_out_the_same_texts_and_more(text: str, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert is_held_out(text, None, high) or not is_held_out(text, None, low)


def test_both_texts_of_a_pair_decide() -> None:
    held = [is_held_out("the same", f"pair {i}", 0.3) for i in range(1000)]
    assert 230 < sum(held) < 370


def test_unusable_answers_are_held_out_of_both_sides() -> None:
    texts = random_texts(200, 0)
    batch = batch_of(texts)
    batch.teacher_logits[::2] = float("nan")
    held = HeldOut(0.5)
    rest = held.take(batch)
    assert torch.isfinite(held.logprobs).all()
    assert 0 < len(held) < 75 and len(rest) == sum(not is_held_out(text, None, 0.5) for text in texts)


def test_figures_agree_with_an_independent_computation(student: Student) -> None:
    held = HeldOut(0.5)
    for counter in range(3):
        held.take(random_batch(60, counter))
    figures = held.measure(student)
    predictions = student.answers(held.texts).double()
    teacher = held.logprobs.double()
    same = [int(a.argmax() == t.argmax()) for a, t in zip(predictions, teacher, strict=True)]
    kl = torch.nn.functional.kl_div(predictions, teacher, reduction="batchmean", log_target=True)
    assert figures["agreement"] == pytest.approx(sum(same) / len(same))
    assert figures["kl"] == pytest.approx(float(kl), rel=1e-5)


def test_nothing_held_out_gives_no_figures(student: Student) -> None:
    held = HeldOut(0.0)
    batch = random_batch(20, 0)
    assert held.take(batch).texts == batch.texts
    assert held.measure(student) == {}


def test_it_is_restored_exactly(tmp_path: Path, student: Student) -> None:
    held = HeldOut(0.3)
    held.take(random_batch(80, 0))
    held.save(tmp_path / "held")
    other = HeldOut(0.3)
    other.load(tmp_path / "held")
    assert (other.texts, other.text_pairs) == (held.texts, held.text_pairs)
    assert torch.equal(other.logprobs, held.logprobs)
    for part in (held, other):
        part.take(random_batch(80, 0))
        part.take(random_batch(80, 1))
    assert other.texts == held.texts and other.measure(student) == held.measure(student)


def test_damage_and_wrong_shares_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="held_out"):
        HeldOut(1.0)
    held = HeldOut(0.3)
    held.take(random_batch(80, 0))
    held.save(tmp_path / "held")
    (tmp_path / "held" / "answers.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match="damaged"):
        HeldOut(0.3).load(tmp_path / "held")


def test_embeddings_are_held_out_by_their_opening_and_measured_as_embeddings(tmp_path: Path, student: Student) -> None:
    batch = embedded_batch(60, 0, width=16)
    batch.teacher_logits[5] = float("nan")
    later = replace(batch, texts=["later"] * 60)  # another stage of the same samples reads otherwise and is on the same side
    both = HeldOut(0.4)
    both.take(batch.select(torch.arange(60).repeat(2)))
    held = HeldOut(0.4)
    rest, rest_later = held.take(batch), held.take(later)
    assert rest.topics == rest_later.topics
    sides = [is_held_out(topic, None, 0.4) for topic in batch.topics]
    kept = [i for i in range(60) if sides[i] and i != 5]
    assert len(rest) == 60 - sum(sides)
    assert len(held) == len(held.embeddings) == len(held.logprobs) == 2 * len(kept) > 20
    assert len(both) == len(held) and both.samples == len({batch.topics[i] for i in kept})  # stages of a sample are no others
    assert batch.embeddings is not None and batch.lengths is not None
    expected = []
    for index in kept:
        own = batch.embeddings[index, : batch.lengths[index]].half().float()
        with torch.no_grad():
            expected.append(student.model(inputs_embeds=own[None]).logits.log_softmax(1)[0])
    predictions, teacher = torch.stack(expected).double(), batch.teacher_logits[kept].double()
    figures = held.measure(student)
    kl = torch.nn.functional.kl_div(predictions, teacher, reduction="batchmean", log_target=True)
    assert figures["kl"] == pytest.approx(float(kl), rel=1e-4)
    assert figures["agreement"] == pytest.approx(float((predictions.argmax(1) == teacher.argmax(1)).double().mean()))
    held.save(tmp_path / "held")
    other = HeldOut(0.4)
    other.load(tmp_path / "held")
    assert other.measure(student) == figures and other.samples == held.samples
    assert all(torch.equal(a, b) for a, b in zip(held.embeddings, other.embeddings, strict=True))
    other.take(embedded_batch(60, 1, width=16))
    assert len(other.embeddings) == len(other) > len(held)


def test_few_texts_of_which_none_is_held_out_give_some_up() -> None:
    texts = [text for text in random_texts(60, 0) if not is_held_out(text, None, 0.2)][:20]
    replay, held = Replay(100, seed=0), HeldOut(0.2)
    replay.add(held.take(batch_of(texts)), 0)
    assert not len(held)
    rows = held.fill(replay)
    assert len(rows) == len(held) == held.samples == 4
    larger = HeldOut(0.5)
    larger.take(batch_of(texts))
    assert set(held.texts) <= set(larger.texts)  # what a larger share would hold out first
    assert torch.equal(held.logprobs, replay.logprobs[rows]) and (held.texts[0], None) in held
    left = replay.without(rows)
    assert set(left.texts) == set(texts) - set(held.texts)
    assert not len(held.fill(left))  # enough is held out now


def test_all_stages_of_a_sample_are_given_up_together(tmp_path: Path) -> None:
    batch = embedded_batch(12, 0)
    batch = replace(batch, topics=[f"sample {i % 4}" for i in range(12)])
    replay, held = Replay(100, seed=0), HeldOut(0.001)
    replay.add(held.take(batch), 0)
    rows = held.fill(replay)
    assert (len(rows), held.samples) == (3, 1)
    held.save(tmp_path / "held")
    again = HeldOut(0.001)
    again.load(tmp_path / "held")
    assert (len(again), again.samples) == (3, 1)
    assert len({replay.topics[row] for row in rows.tolist()}) == 1
    assert [len(e) for e in held.embeddings] == [int(batch.lengths[row]) for row in rows.tolist()]  # type: ignore[index]


@pytest.mark.parametrize(("share", "texts"), [(0.0, 20), (0.01, 1), (0.9, 0)])
def test_nothing_is_given_up_where_nothing_would_be_left(share: float, texts: int) -> None:
    replay, held = Replay(100, seed=0), HeldOut(share)
    replay.add(batch_of(random_texts(texts, 3)), 0)
    assert not len(held.fill(replay)) and not len(held)
