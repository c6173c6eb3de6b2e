"""Settings of the reward and of the candidate selection."""

from dataclasses import dataclass, field

from distill.common.errors import InputError

TERMS = ("confidence", "certainty", "disagreement", "novelty")


@dataclass
class RewardConfig:
    """Weights of the reward's terms; zero switches a term off.

    Raises:
        InputError: A weight is negative, all are zero, or novelty has no n-grams or no window.
    """

    reward_confidence: float = field(default=1.0, metadata={"help": "Weight of teacher confidence, >= 0."})
    reward_certainty: float = field(default=0.5, metadata={"help": "Weight of teacher certainty of any class, >= 0."})
    reward_disagreement: float = field(default=0.3, metadata={"help": "Weight of student disagreement, >= 0."})
    reward_novelty: float = field(default=1.0, metadata={"help": "Weight of the topic's novelty, >= 0."})
    novelty_ngram: int = field(default=1, metadata={"help": "Words per n-gram of the novelty term, >= 1."})
    novelty_window: int = field(default=2048, metadata={"help": "Recent topics that novelty compares with, >= 2."})

    def __post_init__(self) -> None:
        """Refuse what cannot be a reward."""
        weights = {f"reward_{term}": getattr(self, f"reward_{term}") for term in TERMS}
        for name, value in weights.items():
            if value < 0:
                raise InputError(f"{name} is {value}, expected a weight >= 0")
        if not any(weights.values()):
            raise InputError("all reward weights are 0: give at least one of " + ", ".join(weights) + " a value above 0")
        for name, low in (("novelty_ngram", 1), ("novelty_window", 2)):
            if getattr(self, name) < low:
                raise InputError(f"{name} is {getattr(self, name)}, expected a whole number >= {low}")


@dataclass
class CandidateConfig:
    """How many texts there are to choose from.

    Raises:
        InputError: A field is out of its range.
    """

    candidates: int = field(
        default=1,
        metadata={"help": "Texts written for each one the teacher is asked about; 1: it is asked about all."},
    )
    candidate_tokens: int = field(
        default=0,
        metadata={"help": "Tokens of a candidate after which it is picked or not; only picked ones are written on. 0: all."},
    )

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.candidates < 1:
            raise InputError(f"candidates is {self.candidates}, expected a whole number >= 1")
        if self.candidate_tokens < 0:
            raise InputError(f"candidate_tokens is {self.candidate_tokens}, expected a whole number >= 0 (0: whole texts)")
        if self.candidate_tokens and self.candidates == 1:
            raise InputError(f"candidate_tokens is {self.candidate_tokens}, expected 0 where candidates is 1: all are picked")
