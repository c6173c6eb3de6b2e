"""Settings of `prompter label`: which texts, which teacher, and which rows to keep."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from distill.common.errors import InputError
from distill.common.settings import CommonSettings, check, setting
from distill.teachers.config import MoneySettings
from distill.teachers.names import teacher_name
from eval.data.config import PAIR_COLUMN_HELP, DatasetSettings, check_columns
from prompter.cluster.config import ENGINE_SETTINGS, EngineSettings, asked_here


@dataclass
class LabelConfig(MoneySettings, EngineSettings, DatasetSettings, CommonSettings):
    """What to label.

    Raises:
        InputError: A value is missing or out of its range, or two of them contradict each other.
    """

    texts: str = setting(
        "",
        "Your texts: a file (text, JSON, CSV, Parquet; .gz too), a folder with a file per split, or a hub dataset.",
        "Texts",
        required="give --texts FILE with the texts to label",
        path=True,
    )
    text_column: str = setting("text", "Column of the texts.", "Texts")
    text_pair_column: str = setting("", PAIR_COLUMN_HELP, "Texts")
    text_split: str = setting("train", "Split of a folder or hub dataset.", "Texts")
    min_confidence: float = setting(0.0, "Keep rows that the teacher is at least this sure of.", "Texts", low=0, high=1)
    near_duplicates: float = setting(
        0.0,
        "Similarity (Jaccard, word triples) from which a row is a near-duplicate; 0: only equal texts are duplicates.",
        "Texts",
        low=0,
        below=1,
    )
    budget: int = setting(0, "Label the first texts only, at most this many; 0: all.", "Budget", low=0)
    batch_size: int = setting(256, "Texts labelled at once.", "Run", low=1)

    def __post_init__(self) -> None:
        """Check ranges, and what goes together."""
        check(self)
        check_columns(self.text_column, self.text_pair_column)
        if not self.teacher:
            raise InputError("teacher is missing: give --teacher with the classifier that labels the texts")
        self.check_words()
        self.check_engine()
        if self.engine == "ray" and asked_here(self.teacher):
            raise InputError(
                f"engine is 'ray', but {teacher_name(self.teacher)} is a service or a function, which this process asks "
                "alone, so that no answer is paid for twice: leave --engine out"
            )
        self.budget = self.bought(self.budget, 0)
        self.check_upload()


NOT_COMPARED = {
    *("teacher_cache", "teacher_rate", "teacher_price", "budget_money", "batch_size", "device"),
    *("to", "jsonl", "csv", "push_to_hub", "public", "quiet", "seed"),
    *ENGINE_SETTINGS,
}
"""Settings that may differ between a call and its continuation, because they do not change the rows."""


def identity(config: LabelConfig, texts_sha256: str) -> dict[str, Any]:
    """Return what decides the rows: the settings, and the texts themselves, wherever they lie."""
    settings = dataclasses.asdict(config) | {"teacher": teacher_name(config.teacher), "texts_sha256": texts_sha256}
    if not config.text_pair_column:
        del settings["text_pair_column"]  # the hash knows the second texts
    return {key: value for key, value in settings.items() if key not in NOT_COMPARED}
