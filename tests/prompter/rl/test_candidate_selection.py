"""Candidate selection: which of the written texts the teacher is asked about."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill.common.errors import InputError
from prompter.rl.candidate_selection import RIDGE, WINDOW, CandidateSelector, class_quotas
from prompter.rl.config import CandidateConfig


def world(count: int, seed: int, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of texts, and a teacher that depends on them: class 0 is common, the last one rare."""
    random = torch.Generator().manual_seed(seed)
    weights = torch.randn(8, classes, generator=torch.Generator().manual_seed(7))
    features = torch.randn(count, 8, generator=random)
    logits = 3 * features @ weights + torch.tensor([3.0, 0.0, -3.0])
    return features, logits.log_softmax(dim=1)


@given(st.lists(st.integers(0, 500), min_size=2, max_size=8), st.integers(1, 300))
def test_quotas_add_up_and_never_serve_a_class_that_is_ahead(answered: list[int], count: int) -> None:
    found = class_quotas(torch.tensor(answered), count)
    assert sum(found) == count and min(found) >= 0
    even = (sum(answered) + count) / len(answered)
    assert all(quota == 0 for quota, have in zip(found, answered, strict=True) if have >= even)


def test_the_first_candidates_are_taken_before_any_answer() -> None:
    features, _ = world(12, 0)
    assert CandidateSelector(3).pick(features, [f"text {i}" for i in range(12)], 4) == [0, 1, 2, 3]


def test_rare_classes_are_asked_for_and_certain_texts_first() -> None:
    selector = CandidateSelector(3)
    selector.learn(*world(400, 1))
    features, predictions = world(1200, 2)
    texts = [f"text {i}" for i in range(1200)]
    picked = selector.pick(features, texts, 300)
    assert len(set(picked)) == 300

    def share(rows: list[int]) -> float:
        return float((predictions[rows].argmax(dim=1) == 2).float().mean())

    everything = list(range(1200))
    assert share(picked) > 2 * share(everything) > 0
    assert predictions[picked].exp().max(dim=1).values.mean() > predictions.exp().max(dim=1).values.mean()


def test_the_classes_catch_up_round_by_round() -> None:
    selector = CandidateSelector(3)
    for number in range(8):
        features, predictions = world(512, number + 10)
        picked = selector.pick(features, [f"{i}" for i in range(512)], 64)
        selector.learn(features[picked], predictions[picked])
    plain = torch.bincount(world(512, 99)[1].argmax(dim=1), minlength=3) / 512
    shares = selector.answered / selector.answered.sum()
    assert int(selector.answered.sum()) == 512
    assert (shares - 1 / 3).abs().max() < 0.5 * (plain - 1 / 3).abs().max()


def test_the_guess_is_a_ridge_regression() -> None:
    """Against the normal equations in float64."""
    selector = CandidateSelector(3)
    features, predictions = world(50, 3)
    selector.learn(features, predictions)
    new, _ = world(5, 4)
    x = ((features - features.mean(0)) / features.std(0)).double()
    y = predictions.exp().double()
    y = y * (1 + (y * y.log()).sum(1, keepdim=True) / torch.log(torch.tensor(3.0)).double())
    weights = torch.linalg.solve(x.T @ x + RIDGE * torch.eye(8).double(), x.T @ (y - y.mean(0)))
    expected = ((new - features.mean(0)) / features.std(0)).double() @ weights + y.mean(0)
    assert torch.allclose(selector.estimate(new), expected, atol=1e-5)


def test_a_feature_that_never_varied_does_no_harm() -> None:
    selector = CandidateSelector(3)
    features, predictions = world(50, 3)
    selector.learn(torch.cat([features, torch.ones(50, 1)], dim=1), predictions)
    new, _ = world(5, 4)
    plain = CandidateSelector(3)
    plain.learn(features, predictions)
    same = selector.estimate(torch.cat([new, torch.ones(5, 1)], dim=1))
    torch.testing.assert_close(same, plain.estimate(new), atol=1e-6, rtol=1e-6)


def test_a_text_is_asked_about_once_as_long_as_there_are_others() -> None:
    selector = CandidateSelector(3)
    features, predictions = world(40, 5)
    selector.learn(features, predictions)
    texts = ["the same"] * 10 + [f"text {i}" for i in range(30)]
    picked = selector.pick(features, texts, 31)
    assert len({texts[i] for i in picked}) == 31
    assert len(set(selector.pick(features, texts, 40))) == 40
    assert CandidateSelector(3).pick(features, texts, 2) == [0, 10]


def test_unusable_answers_are_not_learnt_from_and_old_ones_forgotten() -> None:
    selector = CandidateSelector(3)
    features, predictions = world(WINDOW, 6)
    predictions[5] = float("nan")
    selector.learn(features, predictions)
    assert len(selector.predictions) == WINDOW - 1 and int(selector.answered.sum()) == WINDOW - 1
    selector.learn(*world(10, 8))
    assert len(selector.predictions) == len(selector.features) == WINDOW
    assert int(selector.answered.sum()) == WINDOW + 9


def test_a_saved_screen_picks_the_same(tmp_path) -> None:
    selector, again = CandidateSelector(3), CandidateSelector(3)
    selector.learn(*world(100, 1))
    selector.save(tmp_path / "screen.safetensors")
    again.restore(tmp_path / "screen.safetensors")
    features, _ = world(200, 2)
    texts = [str(i) for i in range(200)]
    assert again.pick(features, texts, 50) == selector.pick(features, texts, 50)
    CandidateSelector(3).save(tmp_path / "empty.safetensors")
    again.restore(tmp_path / "empty.safetensors")
    assert again.pick(features, texts, 3) == [0, 1, 2]


def test_candidates_below_one_are_refused() -> None:
    with pytest.raises(InputError, match="candidates is 0"):
        CandidateConfig(candidates=0)


def test_only_candidates_can_be_picked_by_their_beginnings() -> None:
    with pytest.raises(InputError, match="candidate_tokens is -1, expected a whole number >= 0"):
        CandidateConfig(candidates=4, candidate_tokens=-1)
    with pytest.raises(InputError, match="candidate_tokens is 8, expected 0 where candidates is 1"):
        CandidateConfig(candidate_tokens=8)
