"""The scorer: terms of the reward, built in and of the user."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from distill.common.errors import InputError
from distill.kinds.classes import SINGLE
from prompter.rl.config import RewardConfig
from prompter.rl.scorer import Scorer, own_terms
from prompter.runtime.clock import Clock

TOPICS, TEXTS = ["a b", "c d"], ["a b one", "a b two", "c d three"]
ONLY_OWN = {"reward_confidence": 0.0, "reward_certainty": 0.0, "reward_disagreement": 0.0, "reward_novelty": 0.0}


def log_probs(texts: list[str]) -> torch.Tensor:
    """Predictions for two classes; none for texts that hold "two"."""
    p = torch.tensor([float("nan") if "two" in text else 0.9 for text in texts])
    return torch.stack([p, 1 - p], dim=1).log()


def scorer(*functions: Callable[..., Any], weights: list[float] | None = None, **config: float) -> Scorer:
    student: Any = SimpleNamespace(answers=lambda texts: torch.full((len(texts), 2), 0.5).log())
    teacher: Any = log_probs
    teacher.kind = SINGLE
    return Scorer(teacher, student, RewardConfig(**config), Clock(), functions, weights)  # type: ignore[arg-type]


def score(made: Scorer) -> Any:
    return made(TOPICS, torch.tensor([0, 1]), TEXTS, torch.tensor([0, 0, 1]), "test")


def length(texts: list[str], **kwargs: Any) -> list[float]:
    return [len(text) / 10 for text in texts]


def test_a_function_of_the_user_gets_all_that_is_known_of_each_text() -> None:
    seen: dict[str, Any] = {}

    def look(**kwargs: Any) -> torch.Tensor:
        seen.update(kwargs)
        return torch.ones(3)

    score(scorer(look))
    assert seen["texts"] == TEXTS and seen["topics"] == ["a b", "a b", "c d"]
    assert seen["targets"].tolist() == [0, 0, 1]
    assert seen["teacher_log_probs"].shape == seen["student_log_probs"].shape == (3, 2)


def test_own_terms_count_with_their_weights_and_are_logged_by_name() -> None:
    plain, own = score(scorer()), score(scorer(length, weights=[2.0]))
    usable = torch.tensor([True, False, True])
    expected = plain.reward + 2 * torch.tensor([0.7, 0.7, 0.9])
    torch.testing.assert_close(own.reward[usable], expected[usable])
    assert own.metrics()["reward/length"] == pytest.approx(0.8)
    assert "own rewards" not in Clock().seconds


def test_a_text_without_a_prediction_has_no_reward_whatever_a_function_says() -> None:
    scored = score(scorer(length, **ONLY_OWN))
    assert scored.reward.isnan().tolist() == [False, True, False]
    assert scored.topic_rewards.tolist() == pytest.approx([0.7, 0.9])

    def from_teacher(teacher_log_probs: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        return teacher_log_probs[:, 0].exp()

    assert score(scorer(from_teacher)).reward.isnan().tolist() == [False, True, False]


def test_means_over_no_usable_text_are_none() -> None:
    made = scorer()
    some = score(made).metrics()
    made.teacher = cast(Any, lambda texts: torch.full((len(texts), 2), torch.nan))
    none = score(made).metrics()
    assert none.keys() == some.keys() and none["distinct_topics"] == 1.0
    assert {value for name, value in none.items() if name != "distinct_topics"} == {None}


def named(name: str, values: Any) -> Callable[..., Any]:
    def function(**kwargs: Any) -> Any:
        return values

    function.__name__ = name
    return function


@pytest.mark.parametrize(
    "values, said",
    [
        ([0.5], "'mine' returned 1 for 3 texts"),
        ([0.5, 0.5, float("nan")], "'mine' returned nan for text 2"),
        ([0.5, 0.5, None], "'mine' returned no list of numbers"),
        (torch.ones(3, 1), r"'mine' returned shape \(3, 1\) for 3 texts"),
        (0.5, r"'mine' returned shape \(\) for 3 texts"),
        (None, "'mine' returned no list of numbers"),
    ],
)
def test_a_wrong_result_names_the_function(values: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        score(scorer(named("mine", values)))


@pytest.mark.parametrize(
    "names, weights, config, said",
    [
        (["a", "a"], None, {}, "two terms of the reward are called 'a'"),
        (["novelty"], None, {}, "two terms of the reward are called 'novelty'"),
        (["a"], [1.0, 2.0], {}, "2 weights for 1 reward_funcs"),
        (["a"], [float("inf")], {}, "the weight of 'a' is inf"),
        (["a"], [float("nan")], {}, "the weight of 'a' is nan"),
        (["a"], [-1e300], {}, r"the weight of 'a' is -1e\+300"),
        ([], None, {"reward_novelty": 1e300}, r"reward_novelty is 1e\+300, expected a number >= 0 and <= 1e\+06"),
        ([], None, ONLY_OWN, "all reward weights are 0"),
        (["a"], [0.0], ONLY_OWN, "all reward weights are 0"),
    ],
)
def test_weights_and_names_are_checked(names: list[str], weights: list[float] | None, config: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        scorer(*(named(name, [0.5] * 3) for name in names), weights=weights, **config)


def test_one_function_and_one_weight_need_no_list() -> None:
    assert own_terms(length, 2) == ([length], [2.0])
    assert own_terms((length,), (2,)) == ([length], [2.0])
    assert own_terms([length], np.array([2.0])) == own_terms([length], torch.tensor([2.0])) == ([length], [2.0])
    assert own_terms((), None) == ([], None)


@pytest.mark.parametrize(
    "functions, weights, said",
    [
        ("length", None, "reward_funcs is 'length', expected a function"),
        ([0.5], None, "reward_funcs is .0.5., expected a function"),
        ([length], ["much"], "reward_weights is .'much'., expected one number"),
        ([length], {"length": 1.0}, "reward_weights is .*, expected one number"),
    ],
)
def test_what_is_no_reward_is_named(functions: Any, weights: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        own_terms(functions, weights)


def test_terms_and_metrics_equal_a_plain_computation() -> None:
    made = scorer()
    taught = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4], [torch.nan, torch.nan]])
    learnt = torch.tensor([[0.2, 0.8], [0.4, 0.6], [0.9, 0.1], [0.7, 0.3], [0.5, 0.5]])
    made.teacher = cast(Any, lambda texts: taught.log())
    made.student = cast(Any, SimpleNamespace(answers=lambda texts: learnt.log()))
    topics, topic_of = ["a b", "c d", "a b"], torch.tensor([0, 0, 1, 1, 2])
    scored = made(topics, torch.tensor([0, 1, 0]), [f"text {i}" for i in range(5)], topic_of, "test")
    usable, targets = slice(0, 4), [0, 0, 1, 1, 0]
    for i in range(4):
        p, q = taught[i].double().numpy(), learnt[i].double().numpy()
        sure = 1 - float(-(p * np.log(p)).sum()) / np.log(2)
        assert float(scored.terms["certainty"][i]) == pytest.approx(sure, abs=1e-5)
        wanted = max(0.0, 1 + np.log(p[targets[i]]) / np.log(2))
        assert float(scored.terms["confidence"][i]) == pytest.approx(wanted, abs=1e-5)
        assert float(scored.terms["disagreement"][i]) == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-5)
    assert scored.terms["novelty"][:4].tolist() == [1.0] * 4 and scored.terms["novelty"][4] < 1  # each topic counts once
    assert list(made.window.topics) == topics
    terms = [weight * scored.terms[name][usable] for name, weight in made.weights.items()]
    torch.testing.assert_close(scored.reward[usable], torch.stack(terms).sum(dim=0))
    torch.testing.assert_close(scored.topic_rewards[:2], scored.reward[usable].view(2, 2).mean(dim=1))
    assert scored.topic_rewards[2].isnan()
    metrics = scored.metrics()
    assert metrics["wanted_share"] == 0.5  # the teacher says 0, 1, 1, 0
    assert metrics["agreement"] == 0.5  # the student says 1, 1, 0, 0
    assert metrics["confidence"] == pytest.approx((0.9 + 0.8 + 0.7 + 0.6) / 4, abs=1e-5)
    assert metrics["reward"] == pytest.approx(float(scored.reward[usable].mean()), abs=1e-5)
    assert metrics["distinct_topics"] == pytest.approx(2 / 3, abs=1e-5)


def test_a_function_that_changes_what_it_gets_changes_nothing() -> None:
    def spoil(texts: list[str], targets: torch.Tensor, teacher_log_probs: torch.Tensor, **others: Any) -> list[float]:
        texts.clear()
        targets.fill_(1)
        teacher_log_probs.zero_()
        others["student_log_probs"].zero_()
        others["topics"].clear()
        return [0.0] * 3

    plain, spoilt = score(scorer()), score(scorer(spoil))
    assert spoilt.batch.texts == TEXTS and spoilt.batch.topics == plain.batch.topics
    assert torch.equal(spoilt.batch.targets, plain.batch.targets)
    assert torch.equal(spoilt.student_answers, plain.student_answers)
    torch.testing.assert_close(spoilt.reward, plain.reward, equal_nan=True)
