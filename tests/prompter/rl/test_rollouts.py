"""Rollouts: from completions to rewards, and what a checkpoint keeps of them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
