"""Rollouts: the reward function that the trainer calls does all the work from topic to reward.

TRL hands over the completions of one rollout and expects one number for each. Here the writer continues the topics, teacher
and student answer the texts, and the reward is computed. The batch is kept for the distillation loop, so that each
text is written and answered once.
"""

from pathlib import Path
from typing import Any

import torch

from distill.common.files import read_json, write_json
from prompter.generation.policy import TopicPolicy, clean
from prompter.generation.writer import Writer
from prompter.rl.candidate_selection import CandidateSelector
from prompter.rl.config import CandidateConfig
from prompter.rl.scorer import ScoredRollout, Scorer
from prompter.runtime.clock import Clock

TOPIC_WORDS_OF_TEXT = 5
"""If the policy writes whole texts, the first words of a text, up to this many, count as its topic."""

TOPICS, SELECTOR = "topics.json", "screen.safetensors"
"""Files of a checkpoint: the recent topics, and what the candidate selection has learnt from."""


class Rollouts:
    """The reward function of the policy's trainer.

    Args:
        policy: Maps a class prompt to its target class.
        writer: Continues topics.
        scorer: Asks teacher and student, and computes rewards.
        candidates: How many texts are written for each one that the teacher is asked about.
        steps_per_rollout: Optimizer steps between two rollouts.
        seed: Seed of the run.
        clock: Counts the seconds.

    Attributes:
        latest: The latest scored rollout; None before the first one.

    Raises:
        InputError: `candidate_tokens` leaves the writer no token for the end of a text.
    """

    __name__ = "rollout"  # TRL names its reward columns after the function

    def __init__(
        self,
        policy: TopicPolicy,
        writer: Writer,
        scorer: Scorer,
        candidates: CandidateConfig,
        steps_per_rollout: int,
        seed: int,
        clock: Clock,
    ) -> None:
        self.policy, self.writer, self.scorer = policy, writer, scorer
        self.candidates, self.steps_per_rollout, self.seed, self.clock = candidates, steps_per_rollout, seed, clock
        self.selector = CandidateSelector(len(policy.labels))
        self.latest: ScoredRollout | None = None
        self._begins: Writer = writer
        self._ends: Writer | None = None
        if candidates.candidate_tokens:
            self._begins, self._ends = writer.in_two_parts(candidates.candidate_tokens)

    def __call__(self, prompts: list[Any], completions: list[Any], trainer_state: Any, **unused: Any) -> list[float | None]:
        """Return the rewards of one rollout; None for a topic that has no text with a usable prediction."""
        number = trainer_state.global_step // self.steps_per_rollout
        written = [text if isinstance(text, str) else text[0]["content"] for text in completions]  # of a conversation
        self.latest = self.score(written, self.policy.targets(prompts), number)
        return [reward if reward == reward else None for reward in self.latest.topic_rewards.tolist()]

    def score(self, completions: list[str], targets: torch.Tensor, number: int) -> ScoredRollout:
        """Write texts for N completions of the policy, and score them.

        Args:
            completions: What the policy wrote.
            targets: (N,) target classes.
            number: Number of the rollout; it seeds the writer.
        """
        topics = texts = clean(completions)
        topic_of = torch.arange(len(texts))
        if self.policy.config.writes == "text":
            topics = [" ".join(text.split()[:TOPIC_WORDS_OF_TEXT]) for text in texts]
            return self.scorer(topics, targets, texts, topic_of, "prompted")
        if self.candidates.candidates > 1:
            return self._selected(topics, targets, number)
        with self.clock("writer"):
            texts = self.writer.write(topics, self.seed, number, targets=targets).texts
        return self.scorer(topics, targets, texts, topic_of, "prompted")

    def save(self, folder: Path) -> None:
        """Write everything that later rollouts depend on to the folder of a checkpoint."""
        write_json(folder / TOPICS, list(self.scorer.window.topics))
        if self.candidates.candidates > 1:
            self.selector.save(folder / SELECTOR)

    def restore(self, folder: Path) -> None:
        """Continue from what `save` wrote."""
        self.scorer.window.restore(read_json(folder / TOPICS))
        if self.candidates.candidates > 1:
            self.selector.restore(folder / SELECTOR)

    def _selected(self, topics: list[str], targets: torch.Tensor, number: int) -> ScoredRollout:
        """Write more texts than the teacher is asked about; see `prompter.rl.candidate_selection`."""
        copies = self.candidates.candidates
        with self.clock("writer"):
            candidates = self._begins.write(topics * copies, self.seed, number, targets=targets.repeat(copies)).texts
        with self.clock("screen"):
            features = self._begins.features(candidates)
            picked = torch.tensor(self.selector.pick(features, candidates, len(topics)))
        texts = [candidates[i] for i in picked.tolist()]
        if self._ends is not None:
            with self.clock("writer"):
                texts = self._ends.write(texts, self.seed, number, "writer's end", targets=targets[picked % len(topics)]).texts
        scored = self.scorer(topics, targets, texts, picked % len(topics), "prompted")
        with self.clock("screen"):
            self.selector.learn(features[picked], scored.batch.teacher_logits)
        return scored
