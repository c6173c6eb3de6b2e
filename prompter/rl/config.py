"""Settings of the reward and of the candidate selection."""

from dataclasses import dataclass

from distill.common.errors import InputError
from distill.common.settings import check, setting

TERMS = ("confidence", "certainty", "disagreement", "novelty")
"""Terms of the reward; `reward_NAME` is the weight of each."""

REWARD = "Reward"

MOST_WEIGHT = 1e6
"""Largest weight of a term. Sums and squares of rewards stay far from the largest float32 number."""


@dataclass
class RewardConfig:
    """Weights of the reward's terms; zero switches a term off.

    Raises:
        InputError: A weight is negative, or above `MOST_WEIGHT`.
    """

    reward_confidence: float = setting(
        1.0, "Weight of the teacher's confidence in the target class.", REWARD, low=0, high=MOST_WEIGHT
    )
    reward_certainty: float = setting(0.5, "Weight of the teacher's certainty of any class.", REWARD, low=0, high=MOST_WEIGHT)
    reward_disagreement: float = setting(
        0.3, "Weight of the disagreement of student and teacher.", REWARD, low=0, high=MOST_WEIGHT
    )
    reward_novelty: float = setting(1.0, "Weight of the topic's novelty.", REWARD, low=0, high=MOST_WEIGHT)
    novelty_ngram: int = setting(1, "Words per n-gram of the novelty term.", REWARD, low=1)
    novelty_window: int = setting(2048, "Recent topics that novelty compares with.", REWARD, low=2)

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)


@dataclass
class CandidateConfig:
    """How many texts there are to choose from.

    Raises:
        InputError: A value is out of its range.
    """

    candidates: int = setting(
        1, "Texts written for each one the teacher is asked about; 1: it is asked about all.", "Texts", low=1, high=1000
    )
    candidate_tokens: int = setting(
        0,
        "Tokens of a candidate after which it is picked or dropped; only picked ones are written on. 0: whole texts.",
        "Texts",
        low=0,
    )

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)
        if self.candidate_tokens and self.candidates == 1:
            raise InputError(f"candidate_tokens is {self.candidate_tokens}, expected 0 where candidates is 1: all are picked")
