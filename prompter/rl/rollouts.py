"""Rollouts: the reward function that the trainer calls does all the work from topic to reward.

TRL hands over the completions of one rollout and expects one number for each. Here the writer continues the topics, teacher
and student answer the texts, and the reward is computed. The batch is kept for the distillation loop, so that each
text is written and answered once.

Several processes judge a rollout together: each writes, reads and answers its part of the texts, and all of them get all rows.
"""

from pathlib import Path
from typing import Any

import torch

from distill.common.files import read_json, write_json
from distill.processes.group import ALONE, Processes
from prompter.generation.opening import AnyWriter
from prompter.generation.policy import TopicPolicy, clean
from prompter.pairs.second_texts import SecondTexts
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
        processes: Those that make the rollouts together.
        second_texts: Makes the second texts, for a teacher of pairs.

    Attributes:
        latest: The latest scored rollout; None before the first one.

    Raises:
        InputError: `candidate_tokens` leaves the writer no token for the end of a text.
    """

    __name__ = "rollout"  # TRL names its reward columns after the function

    def __init__(
        self,
        policy: TopicPolicy,
        writer: AnyWriter,
        scorer: Scorer,
        candidates: CandidateConfig,
        steps_per_rollout: int,
        seed: int,
        clock: Clock,
        processes: Processes = ALONE,
        second_texts: SecondTexts | None = None,
    ) -> None:
        self.processes, self.second_texts = processes, second_texts
        self.policy, self.writer, self.scorer = policy, writer, scorer
        self.candidates, self.steps_per_rollout, self.seed, self.clock = candidates, steps_per_rollout, seed, clock
        self.selector = CandidateSelector(len(policy.labels), scorer.kind)
        self.latest: ScoredRollout | None = None
        self._begins: AnyWriter = writer
        self._ends: AnyWriter | None = None
        if candidates.candidate_tokens:
            self._begins, self._ends = writer.in_two_parts(candidates.candidate_tokens)

    def __call__(self, prompts: list[Any], completions: list[Any], trainer_state: Any, **unused: Any) -> list[float | None]:
        """Return the rewards of one rollout; None for a topic that has no text with a usable prediction."""
        number = trainer_state.global_step // self.steps_per_rollout
        written = [text if isinstance(text, str) else text[0]["content"] for text in completions]  # of a conversation
        parts = self.processes.gather((written, self.policy.targets(prompts)))
        targets = torch.cat([part for _, part in parts])
        self.latest = self.score([text for part, _ in parts for text in part], targets, number)
        own = self.latest.topic_rewards[self.processes.part(len(targets))].tolist()
        return [reward if reward == reward else None for reward in own]

    def topics(self, targets: torch.Tensor, number: int) -> list[str]:
        """Sample one topic per target from the policy as it is, for a rollout from which it does not learn."""
        purpose = self.processes.purpose("topics")
        return self.processes.share(lambda part: self.policy.sample(part, self.seed, number, purpose)[0], targets)

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
            texts = self._write(self.writer, topics, targets, number)
            pairs = self._pairs(texts, targets, number)
        return self.scorer(topics, targets, texts, topic_of, "prompted", pairs)

    def _write(
        self, writer: AnyWriter, openings: list[str], targets: torch.Tensor, number: int, purpose: str = "writer"
    ) -> list[str]:
        purpose = self.processes.purpose(purpose)
        return self.processes.share(
            lambda part, of: writer.write(part, self.seed, number, purpose, targets=of).texts, openings, targets
        )

    def _pairs(self, texts: list[str], targets: torch.Tensor, number: int) -> list[str] | None:
        """Return the second texts for a teacher of pairs, else None."""
        made = self.second_texts
        if made is None:
            return None
        purpose = self.processes.purpose("second texts")
        return self.processes.share(lambda part, of: made.write(part, of, self.seed, number, purpose), texts, targets)

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
            candidates = self._write(self._begins, topics * copies, targets.repeat(copies), number)
            whole = None if self._ends is not None else self._pairs(candidates, targets.repeat(copies), number)
        with self.clock("screen"):
            shown = candidates if whole is None else [f"{one} {other}" for one, other in zip(candidates, whole, strict=True)]
            features = self.processes.share(self._begins.features, shown)
            pick = self.processes.from_first(lambda: self.selector.pick(features, shown, len(topics)))
            picked = torch.tensor(pick)
        texts = [candidates[i] for i in picked.tolist()]
        pairs = None if whole is None else [whole[i] for i in picked.tolist()]
        if self._ends is not None:
            with self.clock("writer"):
                texts = self._write(self._ends, texts, targets[picked % len(topics)], number, "writer's end")
                pairs = self._pairs(texts, targets[picked % len(topics)], number)
        scored = self.scorer(topics, targets, texts, picked % len(topics), "prompted", pairs)
        with self.clock("screen"):
            self.selector.learn(features[picked], scored.batch.teacher_logits)
        return scored
