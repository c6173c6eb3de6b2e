"""Rewards: ranges, fixed points and the window's memory."""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from distill.common.errors import InputError
from distill.kinds.classes import SINGLE
from prompter.rl.config import RewardConfig
from prompter.rl.rewards import NoveltyWindow, topic_ngrams, weighted_sum


def random_log_probs(seed: int, rows: int = 6, classes: int = 4, scale: float = 5.0) -> torch.Tensor:
    return (torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed)) * scale).log_softmax(1)


@given(st.integers(0, 10**6), st.integers(2, 20), st.floats(0.1, 50))
def test_terms_stay_between_zero_and_one(seed: int, classes: int, scale: float) -> None:
    p, q = random_log_probs(seed, 6, classes, scale), random_log_probs(seed + 1, 6, classes, scale)
    targets = torch.arange(6) % (classes + 1) - 1
    for term in (SINGLE.confidence(p, targets), SINGLE.disagreement(p, q)):
        assert ((term >= 0) & (term <= 1)).all()


@given(st.integers(0, 10**6))
def test_disagreement_is_scipys_jensen_shannon_divergence(seed: int) -> None:
    p, q = random_log_probs(seed), random_log_probs(seed + 1)
    expected = jensenshannon(p.double().exp(), q.double().exp(), base=2, axis=1) ** 2
    np.testing.assert_allclose(SINGLE.disagreement(p, q).numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(SINGLE.disagreement(p, q).numpy(), SINGLE.disagreement(q, p).numpy(), atol=1e-7)


def test_confidence_grows_with_the_wanted_probability_and_has_its_fixed_points() -> None:
    p = torch.tensor([[0.97, 0.01, 0.01, 0.01], [0.25] * 4, [0.5, 0.5, 0, 0], [0.001, 0.999, 0, 0]]).log()
    values = SINGLE.confidence(p, torch.zeros(4, dtype=torch.long))
    assert values[0].item() == pytest.approx(1 + math.log(0.97) / math.log(4), abs=1e-5)
    assert values[1].item() == pytest.approx(0.0, abs=1e-6)
    assert values[2].item() == pytest.approx(0.5, abs=1e-6)
    assert values[3].item() == 0.0
    free = SINGLE.confidence(p, torch.full((4,), -1))
    assert free[1].item() == pytest.approx(0.0, abs=1e-6)
    entropy = -(np.array([0.97, 0.01, 0.01, 0.01]) * np.log([0.97, 0.01, 0.01, 0.01])).sum()
    assert free[0].item() == pytest.approx(1 - entropy / math.log(4), abs=1e-5)


def test_an_unusable_answer_gives_no_reward() -> None:
    p = random_log_probs(0)
    p[2] = torch.nan
    terms = {
        "confidence": SINGLE.confidence(p, torch.zeros(6, dtype=torch.long)),
        "disagreement": SINGLE.disagreement(p, random_log_probs(1)),
        "novelty": torch.ones(6),
    }
    reward = weighted_sum(terms, dict.fromkeys(terms, 1.0))
    assert reward.isnan().tolist() == [False, False, True, False, False, False]


def test_a_term_switched_off_does_not_count() -> None:
    terms = {
        "confidence": torch.tensor([0.5]),
        "disagreement": torch.tensor([torch.nan]),
        "novelty": torch.tensor([0.2]),
    }
    weights = {"confidence": 2.0, "disagreement": 0.0, "novelty": 1.0}
    assert weighted_sum(terms, weights).item() == pytest.approx(1.2)


def test_a_weight_below_zero_punishes_and_what_is_not_finite_is_no_reward() -> None:
    terms = {"good": torch.tensor([0.5, 0.5, torch.inf]), "long": torch.tensor([0.25, 1.0, 0.0])}
    sums = weighted_sum(terms, {"good": 1.0, "long": -2.0})
    assert sums[:2].tolist() == [0.0, -1.5] and sums[2].isnan()


def test_novelty_forgets_what_left_the_window() -> None:
    window = NoveltyWindow(n=2, size=2)
    assert window.score(["the red boat"]).item() == 1.0
    assert window.score(["The Red boat"]).item() == pytest.approx(1 - math.log(2) / math.log(3))  # case is not new
    assert window.score(["the red boat"]).item() == pytest.approx(0.0, abs=1e-6)  # all that is remembered
    assert window.score(["a b", "c d", "the red boat"]).tolist() == [1.0, 1.0, 1.0]


@example(["a a", "b", "b", "a", "c"], 1, 2)  # a word that is said twice counts once, and is forgotten once
@example(["a b a b", "c", "a b"], 2, 3)
@given(st.lists(st.text("abc ", min_size=0, max_size=12), max_size=40), st.integers(1, 3), st.integers(2, 8))
def test_novelty_equals_a_plain_recount(topics: list[str], n: int, size: int) -> None:
    scores = NoveltyWindow(n, size).score(topics).tolist()
    for i, topic in enumerate(topics):
        window = [set(topic_ngrams(earlier, n)) for earlier in topics[max(0, i - size) : i]]
        counts = [sum(gram in grams for grams in window) for gram in topic_ngrams(topic, n)]
        expected = np.mean([1 - math.log(1 + count) / math.log(1 + size) for count in counts])
        assert scores[i] == pytest.approx(expected, abs=1e-5)
        assert 0 <= scores[i] <= 1


def test_a_remembered_window_scores_like_the_original() -> None:
    first = NoveltyWindow(2, 3)
    first.score(["a b c", "c d", "d e f", "x y"])
    second = NoveltyWindow(2, 3)
    for topic in first.topics:
        second.remember(topic)
    third = NoveltyWindow(2, 3)
    third.score(["e f", "p q r", "x y"])
    third.restore(list(first.topics))
    assert third.topics == first.topics
    fourth = NoveltyWindow(2, 3)
    fourth.score(["e f", "p q r"])
    fourth.restore(["a b"])
    assert list(fourth.topics) == ["a b"] and fourth.score(["e f"]).item() == 1.0
    probe = ["a b", "c d", "e f", "x y"]
    assert first.score(probe).tolist() == second.score(probe).tolist() == third.score(probe).tolist()


@pytest.mark.parametrize(
    "field, value",
    [("reward_novelty", -1.0), ("novelty_ngram", 0), ("novelty_window", 1), ("reward_confidence", -0.1)],
)
def test_config_refuses_what_cannot_be_a_reward(field: str, value: float) -> None:
    with pytest.raises(InputError, match=field):
        RewardConfig(**{field: value})  # type: ignore[arg-type]


def test_numbers_and_punctuation_are_never_new() -> None:
    window = NoveltyWindow(n=1, size=100)
    sums = window.score([f"${i} {i}.{i}" for i in range(50)])
    marks = window.score([mark * 3 for mark in "$%&=!?;"])
    assert sums[0] == 1 and sums[-1] < 0.2
    assert marks[0] == 1 and (marks[1:] < 1).all() and (marks.diff() < 0).all()
    assert window.score(["profit"]) == 1
