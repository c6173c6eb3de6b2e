"""The classes of a teacher of pairs in words: how the second text of a class relates to the first one.

A class of pairs is no subject that a text can be about. So its words end the sentence "a second text that ...". For names of
classes that many classifiers share, and for the steps of a number, they are here; the user's `label_descriptions` win. All of
this is ours.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from distill.common.errors import InputError, did_you_mean
from distill.common.yaml_text import json_for_yaml
from distill.kinds.scores import STEPS
from prompter.generation.config import CONTROL, NOTHING, REQUEST, PolicyConfig, WriterConfig

RELATIONS = {
    "entailment": "must be true if the text is true",
    "notentailment": "may be false even if the text is true",
    "neutral": "may be true or false if the text is true",
    "contradiction": "cannot be true if the text is true",
    "equivalent": "says the same in other words",
    "notequivalent": "is about the same subject but says something else",
    "duplicate": "asks the same in other words",
    "notduplicate": "asks something else about the same subject",
    "paraphrase": "says the same in other words",
    "notparaphrase": "is about the same subject but says something else",
}
"""By the name of a class, without case and marks."""

STEP_RELATIONS = (
    "is about something quite different",
    "is about the same subject but says something else",
    "says partly the same and partly something else",
    "says nearly the same, but for a detail",
    "says the same in other words",
)
"""Of a number for two texts, the words of the steps of its range: it mostly says how much alike they are."""

CLOSE_STEPS = STEPS[3:]
"""Steps whose second text stays with the first one."""

CLOSE = ("entailment", "equivalent", "duplicate", "paraphrase")
"""Classes whose second text stays with the first one. At temperature 1 a small model leaves it."""

CLOSE_TEMPERATURE = 0.5
"""Sampling temperature of second texts of these classes. Ours; `docs/log.md` says what was measured."""

FIRST_REQUEST = "Write the beginning of {task}. Afterwards somebody adds a sentence that {label}."
"""What the policy of a teacher of pairs is asked for, and what the writer reads before a first text."""

FIRST_CONTROL = "Here is {task}, and then a sentence that {label}:"
"""The same for a model without a chat template, which continues it."""


def temperatures(config: WriterConfig, labels: Sequence[str]) -> list[float]:
    """Return the sampling temperature of the second texts of each class.

    Raises:
        InputError: The user names a class that does not exist.

    Examples:
        >>> temperatures(WriterConfig(), ["not_equivalent", "equivalent"])
        [1.0, 0.5]
    """
    given = config.class_temperatures()
    for name in given:
        if name not in labels:
            raise InputError(
                f"pair_temperatures: there is no class '{name}', expected some of: {', '.join(labels)}."
                f"{did_you_mean(name, list(labels))}"
            )
    close = CLOSE_STEPS if tuple(labels) == STEPS else [label for label in labels if _folded(label) in CLOSE]
    usual = [CLOSE_TEMPERATURE if label in close else config.writer_temperature for label in labels]
    return [given.get(label, temperature) for label, temperature in zip(labels, usual, strict=True)]


def _folded(label: str) -> str:
    """Return the name of a class without case and marks."""
    return re.sub(r"[\W_]+", "", label.casefold())


def pair_policy(config: PolicyConfig, labels: Sequence[str]) -> PolicyConfig:
    """Return the settings of a policy for a teacher of pairs: its prompts name relations, where the user has not chosen words.

    Args:
        config: The user's settings.
        labels: Class names of the teacher.

    Raises:
        InputError: The policy does not write openings.
    """
    if config.writes not in ("topic", NOTHING):
        raise InputError(
            f"writes is '{config.writes}', expected 'topic' or '{NOTHING}' for a teacher of pairs: the policy writes the "
            "opening of the first text"
        )
    known = {label: RELATIONS[name] for label in labels if (name := _folded(label)) in RELATIONS}
    if tuple(labels) == STEPS:
        known = dict(zip(STEPS, STEP_RELATIONS, strict=True))
    return replace(
        config,
        label_descriptions=json_for_yaml(known | config.descriptions()),
        request=FIRST_REQUEST if config.request == REQUEST else config.request,
        control=FIRST_CONTROL if config.control == CONTROL else config.control,
    )
