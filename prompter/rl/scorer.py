"""From texts to rewards: each sample is judged once, by teacher and student together.

The answers found here are the ones the student is later trained on, so the teacher is never asked twice about a text.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from distill.batch import SyntheticBatch
from distill.student import Student
from distill.teachers.prediction_cache import CachedTeacher
from prompter.rl.config import RewardConfig
from prompter.rl.rewards import NoveltyWindow, certainty, confidence, disagreement, weighted_sum
from prompter.runtime.clock import Clock


@dataclass(frozen=True)
class ScoredRollout:
    """Samples with their rewards.

    Attributes:
        topics: The topics of the rollout.
        topic_rewards: One (T,) for each of them: the mean over its texts, NaN where none was judged.
        batch: All judged texts, in order; a teacher row is NaN where the answer was unusable.
        student_log_probs: (N, K) the student's answers at that moment.
        terms: Each reward term by name, (N,) in [0, 1].
        reward: (N,) weighted sum, NaN where the teacher's answer was unusable.
    """

    topics: list[str]
    topic_rewards: Tensor
    batch: SyntheticBatch
    student_log_probs: Tensor
    terms: dict[str, Tensor]
    reward: Tensor

    def metrics(self) -> dict[str, float]:
        """Means over the usable samples, for the log: reward, its terms, and how teacher and student answered."""
        usable = torch.isfinite(self.reward)
        teacher = self.batch.teacher_logits[usable]
        predicted = teacher.argmax(1)
        row = {"reward": self.reward[usable].mean()}
        row |= {f"reward/{name}": values[usable].mean() for name, values in self.terms.items()}
        row["confidence"] = teacher.exp().max(1).values.mean()
        row["wanted_share"] = (predicted == self.batch.targets[usable]).float().mean()
        row["agreement"] = (predicted == self.student_log_probs[usable].argmax(1)).float().mean()
        metrics = {name: round(float(value), 6) for name, value in row.items()}
        metrics["distinct_topics"] = round(len(set(self.topics)) / len(self.topics), 6)
        return metrics


class Scorer:
    """Teacher, student and the memory of recent topics.

    Args:
        teacher: Answers texts with log-probabilities and counts the queries.
        student: The student as it is being trained.
        config: Weights of the reward.
        clock: Where the seconds are booked.
    """

    def __init__(self, teacher: CachedTeacher, student: Student, config: RewardConfig, clock: Clock) -> None:
        self.teacher, self.student, self.config, self.clock = teacher, student, config, clock
        self.window = NoveltyWindow(config.novelty_ngram, config.novelty_window)

    def __call__(self, topics: list[str], targets: Tensor, texts: list[str], topic_of: Tensor, source: str) -> ScoredRollout:
        """Judge the texts of a rollout.

        Args:
            topics: T openings.
            wanted: (T,) class asked for, -1 for none.
            texts: N texts, which teacher and student read.
            topic_of: (N,) index of each text's topic.
            source: Who wrote the texts.

        Returns:
            The batch with all rewards.
        """
        with self.clock("teacher"):
            teacher_log_probs = self.teacher(texts)
        with self.clock("student answers"):
            student_log_probs = self.student.log_probs(texts)
        terms = {
            "confidence": confidence(teacher_log_probs, targets[topic_of]),
            "certainty": certainty(teacher_log_probs),
            "disagreement": disagreement(teacher_log_probs, student_log_probs),
            "novelty": self.window.score(topics)[topic_of],
        }
        reward = weighted_sum(terms, self.config)
        usable = torch.isfinite(reward)
        sums = torch.zeros(len(topics)).index_add_(0, topic_of[usable], reward[usable])
        topic_rewards = sums / torch.bincount(topic_of[usable], minlength=len(topics))  # 0 / 0 is NaN
        batch = SyntheticBatch(texts, teacher_log_probs, targets[topic_of], [topics[i] for i in topic_of.tolist()], source)
        return ScoredRollout(topics, topic_rewards, batch, student_log_probs, terms, reward)
