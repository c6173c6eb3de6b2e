"""The classes of a teacher of pairs in words: how the second text of a class relates to the first one.

A class of pairs is no subject that a text can be about. So its words end the sentence "a second text that ...". For names of
classes that many classifiers share, they are here; the user's `label_descriptions` win. All of this is ours.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from distill.common.errors import InputError
from prompter.generation.config import CONTROL, REQUEST, PolicyConfig

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

FIRST_REQUEST = "Write the beginning of {task}. Afterwards somebody adds a sentence that {label}."
"""What the policy of a teacher of pairs is asked for, and what the writer reads before a first text."""

FIRST_CONTROL = "Here is {task}, and then a sentence that {label}:"
"""The same for a model without a chat template, which continues it."""


def pair_policy(config: PolicyConfig, labels: Sequence[str]) -> PolicyConfig:
    """Return the settings of a policy for a teacher of pairs: its prompts name relations, where the user has not chosen words.

    Args:
        config: The user's settings.
        labels: Class names of the teacher.

    Raises:
        InputError: The policy does not write openings.
    """
    if config.writes != "topic":
        raise InputError(
            f"writes is '{config.writes}', expected 'topic' for a teacher of pairs: the policy writes the opening of the "
            "first text"
        )
    known = {label: RELATIONS[name] for label in labels if (name := re.sub(r"[\W_]+", "", label.casefold())) in RELATIONS}
    return replace(
        config,
        label_descriptions=json.dumps(known | config.descriptions()),
        request=FIRST_REQUEST if config.request == REQUEST else config.request,
        control=FIRST_CONTROL if config.control == CONTROL else config.control,
    )
