"""Rollouts: what the trainer calls a reward function is the whole way from topic to reward.

TRL hands over the completions of one rollout and wants one number each. On the way to that number the writer continues
the topics, teacher and student answer, the reward terms are computed, and the batch is kept for the distillation loop: a
rollout is written once and judged once.
"""

from typing import Any

import torch

from prompter.generation.policy import TopicPolicy, clean
from prompter.generation.writer import Writer
from prompter.rl.candidate_selection import CandidateSelector
from prompter.rl.config import CandidateConfig
from prompter.rl.scorer import ScoredRollout, Scorer
from prompter.runtime.clock import Clock

TOPIC_WORDS_OF_TEXT = 5
"""Where the policy writes whole texts, this many first words stand for the topic."""


class Rollouts:
    """The reward function of the policy's trainer.

    Args:
        policy: Knows which class a control text asks for.
        writer: Continues topics.
        judge: Teacher, student and rewards.
        screen: How many texts are written for each one that is judged, and how much of them before the screen picks.
        steps_per_rollout: Optimizer steps between two rollouts.
        seed: Seed of the run.
        clock: Where the seconds are booked.
    """

    __name__ = "rollout"  # TRL names its reward columns after the function

    def __init__(
        self, policy: TopicPolicy, scorer: Scorer, selector: CandidateConfig, steps_per_rollout: int, seed: int, clock: Clock
    ) -> None:
        self.policy, self.scorer, self.seed, self.clock = policy, scorer, seed, clock
        self.candidates, self.steps_per_rollout = selector, steps_per_rollout
        self.selector = CandidateSelector(len(policy.labels))
        self.writer: Writer | None = None
        self.latest: ScoredRollout | None = None

    def write_with(self, writer: Writer) -> None:
        """Take a writer, once the trainer has made the model that it shares with the policy.

        Raises:
            InputError: The screen is to look at more tokens of a text than the writer writes.
        """
        self.writer, begun = writer, self.candidates.candidate_tokens
        self._begins: Writer = writer
        self._ends: Writer | None = None
        if begun:
            self._begins, self._ends = writer.in_two_parts(begun)

    def __call__(self, prompts: list[str], completions: list[str], trainer_state: Any, **unused: Any) -> list[float | None]:
        """Rewards of one rollout; None for a topic none of whose texts has a usable answer of the teacher."""
        number = trainer_state.global_step // self.steps_per_rollout
        self.latest = self.score(completions, self.policy.targets(prompts), number)
        return [reward if reward == reward else None for reward in self.latest.topic_rewards.tolist()]

    def score(self, completions: list[str], targets: torch.Tensor, number: int) -> ScoredRollout:
        """Write and judge N completions of the policy.

        Args:
            completions: What the policy wrote.
            wanted: (N,) class asked for.
            number: Number of the rollout; it seeds the writer.
        """
        topics = texts = clean(completions)
        topic_of = torch.arange(len(texts))
        if self.policy.config.writes == "text":
            topics = [" ".join(text.split()[:TOPIC_WORDS_OF_TEXT]) for text in texts]
            return self.scorer(topics, targets, texts, topic_of, "prompted")
        assert self.writer is not None
        if self.candidates.candidates > 1:
            return self._screened(topics, targets, number)
        with self.clock("writer"):
            texts = self.writer.write(topics, self.seed, number).texts
        return self.scorer(topics, targets, texts, topic_of, "prompted")

    def _screened(self, topics: list[str], targets: torch.Tensor, number: int) -> ScoredRollout:
        """Write more than is judged; see `prompter.rl.candidate_selection`."""
        with self.clock("writer"):
            candidates = self._begins.write(topics * self.candidates.candidates, self.seed, number).texts
        with self.clock("screen"):
            features = self._begins.features(candidates)
            picked = torch.tensor(self.selector.pick(features, candidates, len(topics)))
        texts = [candidates[i] for i in picked.tolist()]
        if self._ends is not None:
            with self.clock("writer"):
                texts = self._ends.write(texts, self.seed, number, "writer's end").texts
        scored = self.scorer(topics, targets, texts, picked % len(topics), "prompted")
        with self.clock("screen"):
            self.selector.learn(features[picked], scored.batch.teacher_logits)
        return scored
