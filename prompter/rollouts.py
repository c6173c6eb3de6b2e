"""Rollouts: what the trainer calls a reward function is the whole way from topic to reward.

TRL hands over the completions of one rollout and wants one number each. On the way to that number the writer continues
the topics, teacher and student answer, the reward terms are computed, and the batch is kept for the distillation loop: a
rollout is written once and judged once.
"""

from typing import Any

import torch

from prompter.judge import Judge, Judgement
from prompter.policy import TopicPolicy, clean
from prompter.screening import Screen
from prompter.timing import Clock
from prompter.writer import Writer

TOPIC_WORDS_OF_TEXT = 5
"""Where the policy writes whole texts, this many first words stand for the topic."""


class Rollouts:
    """The reward function of the policy's trainer.

    Args:
        policy: Knows which class a control text asks for.
        writer: Continues topics.
        judge: Teacher, student and rewards.
        candidates: Texts written for each one that is judged; with more than one, the screen picks.
        steps_per_rollout: Optimizer steps between two rollouts.
        seed: Seed of the run.
        clock: Where the seconds are booked.
    """

    __name__ = "rollout"  # TRL names its reward columns after the function

    def __init__(
        self, policy: TopicPolicy, judge: Judge, candidates: int, steps_per_rollout: int, seed: int, clock: Clock
    ) -> None:
        self.policy, self.judge, self.seed, self.clock = policy, judge, seed, clock
        self.candidates, self.steps_per_rollout = candidates, steps_per_rollout
        self.screen = Screen(len(policy.labels))
        self.writer: Writer | None = None  # set once the trainer has made the model that policy and writer share
        self.latest: Judgement | None = None

    def __call__(self, prompts: list[str], completions: list[str], trainer_state: Any, **unused: Any) -> list[float | None]:
        """Rewards of one rollout; None for a topic none of whose texts has a usable answer of the teacher."""
        number = trainer_state.global_step // self.steps_per_rollout
        self.latest = self.judged(completions, self.policy.wanted(prompts), number)
        return [reward if reward == reward else None for reward in self.latest.topic_rewards.tolist()]

    def judged(self, completions: list[str], wanted: torch.Tensor, number: int) -> Judgement:
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
            return self.judge(topics, wanted, texts, topic_of, "prompted")
        assert self.writer is not None
        with self.clock("writer"):
            texts = self.writer.write(topics * self.candidates, self.seed, number).texts
        if self.candidates == 1:
            return self.judge(topics, wanted, texts, topic_of, "prompted")
        with self.clock("screen"):
            features = self.writer.features(texts)
            picked = torch.tensor(self.screen.pick(features, texts, len(topics)))
        judgement = self.judge(topics, wanted, [texts[i] for i in picked.tolist()], picked % len(topics), "prompted")
        with self.clock("screen"):
            self.screen.learn(features[picked], judgement.batch.teacher_logits)
        return judgement
