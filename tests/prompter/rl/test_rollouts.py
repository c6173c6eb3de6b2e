"""Rollouts: from completions to rewards, and what a checkpoint keeps of them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from distill.kinds.classes import SINGLE
from prompter.generation.config import PolicyConfig, WriterConfig
from prompter.generation.policy import TopicPolicy
from prompter.generation.writer import Writer
from prompter.rl.config import CandidateConfig, RewardConfig
from prompter.rl.rollouts import Rollouts
from prompter.rl.scorer import Scorer
from prompter.runtime.clock import Clock
from tests.prompter.tiny import tiny_gpt2, word_tokenizer

TOPICS = ["w1 w2", "w3", "w4 w5", "w6"]
TARGETS = torch.tensor([0, 1, 0, 1])


def log_probs(texts: list[str]) -> torch.Tensor:
    """Predictions that depend on the text."""
    p = torch.tensor([0.05 + 0.9 * (sum(map(ord, text)) % 97) / 97 for text in texts])
    return torch.stack([p, 1 - p], dim=1).log()


def rollouts(**changes: Any) -> Rollouts:
    clock, tokenizer = Clock(), word_tokenizer()
    candidates = CandidateConfig(**{name: changes.pop(name) for name in list(changes) if name.startswith("candidate")})
    policy = TopicPolicy(tiny_gpt2(), tokenizer, ["good", "bad"], PolicyConfig(**changes), 3)
    writer = Writer(tiny_gpt2(), tokenizer, WriterConfig(writer_max_new_tokens=6, writer_min_new_tokens=2))
    student: Any = SimpleNamespace(answers=lambda texts: torch.full((len(texts), 2), 0.5).log())
    teacher: Any = log_probs
    teacher.kind = SINGLE
    return Rollouts(policy, writer, Scorer(teacher, student, RewardConfig(), clock), candidates, 4, 0, clock)


def test_each_completion_gets_the_reward_of_its_text() -> None:
    made = rollouts()
    rewards = made(["good:", "bad:"] * 2, TOPICS, SimpleNamespace(global_step=4))
    assert made.latest is not None
    assert rewards == made.latest.topic_rewards.tolist()
    assert made.latest.batch.targets.tolist() == TARGETS.tolist()
    for topic, text in zip(TOPICS, made.latest.batch.texts, strict=True):
        assert text.startswith(topic) and len(text) > len(topic)
    again = rollouts()
    assert again.score(TOPICS, TARGETS, 1).batch.texts == made.latest.batch.texts  # the number of the rollout decides
    assert again.score(TOPICS, TARGETS, 2).batch.texts != made.latest.batch.texts


def test_a_policy_that_writes_texts_needs_no_writer() -> None:
    scored = rollouts(writes="text").score(["w1 w2 w3 w4 w5 w6 w7"] * 4, TARGETS, 0)
    assert scored.batch.texts == ["w1 w2 w3 w4 w5 w6 w7"] * 4
    assert scored.topics == ["w1 w2 w3 w4 w5"] * 4


def test_a_checkpoint_keeps_what_later_rollouts_depend_on(tmp_path: Path) -> None:
    whole, first, second = (rollouts(candidates=3, candidate_tokens=2) for _ in range(3))
    for number in range(3):
        expected = whole.score(TOPICS, TARGETS, number)
    for number in range(2):
        first.score(TOPICS, TARGETS, number)
    first.save(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"topics.json", "screen.safetensors"}
    second.scorer.window.remember("a topic that restoring forgets")
    second.restore(tmp_path)
    found = second.score(TOPICS, TARGETS, 2)
    assert found.batch.texts == expected.batch.texts
    assert torch.equal(found.reward, expected.reward)


class NotingWriter:
    """A writer whose texts say what they were written from and for."""

    def __init__(self, word: str = "whole") -> None:
        self.word, self.draws = word, set[tuple[int, int, str]]()

    def write(self, openings: list[str], seed: int, number: int, purpose: str, targets: torch.Tensor) -> SimpleNamespace:
        self.draws.add((seed, number, purpose))
        texts = [
            f"{text} for {target} {self.word} {i}" for i, (text, target) in enumerate(zip(openings, targets, strict=True))
        ]
        return SimpleNamespace(texts=texts)

    def features(self, texts: list[str]) -> torch.Tensor:
        return torch.tensor([[sum(map(ord, text)), len(text), ord(text[-1])] for text in texts]).float()


@pytest.mark.parametrize("tokens", [0, 2])
def test_selected_texts_keep_their_topic_and_target_and_are_learnt_from(tokens: int) -> None:
    made = rollouts(candidates=3, candidate_tokens=tokens)
    begins, ends = NotingWriter("begins"), NotingWriter("ends") if tokens else None
    made._begins, made._ends = begins, ends  # type: ignore[assignment]
    shown = []
    for number in range(3):
        batch = made.score(TOPICS, TARGETS, number).batch
        assert len(batch) == len(set(batch.texts)) == 4
        for text, topic, target in zip(batch.texts, batch.topics, batch.targets.tolist(), strict=True):
            assert text.startswith(f"{topic} for {target} ") and target == TARGETS[TOPICS.index(topic)]
            assert text.count(f"for {target} ends") == (1 if tokens else 0)
        shown += [
            text.split(f" for {target} ends")[0] for text, target in zip(batch.texts, batch.targets.tolist(), strict=True)
        ]
        learnt = made.selector
        assert torch.equal(learnt.features, begins.features(shown))
        assert torch.equal(learnt.predictions[-4:], SINGLE.belonging(batch.teacher_logits))
    assert len(begins.draws) == 3 and not begins.draws & (ends.draws if ends else set())  # each draw has its own numbers


def test_a_topic_without_a_usable_text_has_no_reward(monkeypatch: pytest.MonkeyPatch) -> None:
    made = rollouts()

    def partly(texts: list[str]) -> torch.Tensor:
        found = log_probs(texts)
        found[1] = torch.nan
        return found

    monkeypatch.setattr(made.scorer, "teacher", partly)
    rewards = made(["good:", "bad:"] * 2, TOPICS, SimpleNamespace(global_step=0))
    assert rewards[1] is None and [type(reward) for reward in rewards].count(float) == 3
