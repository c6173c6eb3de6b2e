"""The names of the kinds. Free of torch, so that settings may import them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

AUTO = "auto"
"""Find the kind by the teacher's files."""

KINDS = ("single", "pair", "multi_label", "score", "score_pair", "tokens")
"""One class for a text, or for two texts; several labels for a text; a number for a text, or for two texts; a tag for each
word of a text."""

OF_SCORES = ("score", "score_pair")
"""Kinds whose answer is a number."""

OF_PAIRS = ("pair", "score_pair")
"""Those of two texts."""

NO_ENTITY = "no entity"
"""The target of a text whose words have no tag of an entity."""


@dataclass(frozen=True)
class GivenKind:
    """What the user says about the kind.

    Attributes:
        name: One of `KINDS`, or `AUTO`.
        low: Lower end of the range of a score.
        high: Upper end.
        tags: The tags of words, where files or the user say them.
    """

    name: str = AUTO
    low: float = 0.0
    high: float = 1.0
    tags: tuple[str, ...] = ()


NOT_GIVEN = GivenKind()
"""The user says nothing."""


def given_by(values: Any) -> GivenKind | None:
    """Return the kind that `distill.kinds.found.written` has put into a file; None where there is nothing that makes sense."""
    if not isinstance(values, Mapping) or values.get("kind") not in KINDS:
        return None
    low, high = values.get("score_low", 0.0), values.get("score_high", 1.0)
    if not all(isinstance(end, int | float) for end in (low, high)) or not low < high:
        return None
    tags = values.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        return None
    return GivenKind(values["kind"], float(low), float(high), tuple(tags))


PAIR_CLASSES = (
    {"entailment", "contradiction"},
    {"entailment", "notentailment"},
    {"equivalent", "notequivalent"},
    {"duplicate", "notduplicate"},
    {"paraphrase", "notparaphrase"},
)
"""Names of classes, without case and marks, that only a classifier of two texts has."""


def reads_pairs(labels: Iterable[str]) -> bool:
    """Return whether the names of the classes are those of a classifier of pairs of texts.

    Examples:
        >>> reads_pairs(["CONTRADICTION", "neutral", "entailment"]), reads_pairs(["not_duplicate", "duplicate"])
        (True, True)
        >>> reads_pairs(["positive", "neutral", "negative"])
        False
    """
    names = {re.sub(r"[\W_]+", "", label.casefold()) for label in labels}
    return any(classes <= names for classes in PAIR_CLASSES)


OUTSIDE = "O"
"""The tag of a word outside of entities."""

PLACES = {"B": "B", "I": "I", "E": "E", "L": "E", "S": "S", "U": "S"}
"""Where a word stands in its entity, as the formats IOB, BIOES and BILOU begin their tags: it begins it, is inside, ends it,
or is all of it."""

UNNAMED = re.compile(r"LABEL_\d+")
"""What transformers calls a tag that has no name."""

OTHERWISE = (re.compile(r"(?P<place>[BI])[-_.:/](?P<type>.+)", re.I), re.compile(r"(?P<type>.+)[-_.:/](?P<place>[BI])", re.I))
"""Other ways to write where a word stands in its entity, such as B_person, b-person and person-B. They are not read: taken for
types alone, the first word of a person would be another type than the second."""

IOB = "the IOB format (O, B-TYPE, I-TYPE), BIOES or BILOU, or types alone"
"""What tags may be, for messages."""


def fault_of_tags(labels: Sequence[str]) -> str:
    """Return what is wrong with the names of tags, or "".

    A type may have an I- and no B-, as older formats have it: an I- that continues nothing begins an entity. Tags may also be
    types alone, with or without an O.

    Examples:
        >>> fault_of_tags(["O", "B-person", "I-person"]), fault_of_tags(["O", "person"]), fault_of_tags(["NOUN", "VERB"])
        ('', '', '')
        >>> fault_of_tags(["O", "B-person", "place"])
        'place is neither O nor B-TYPE nor I-TYPE'
        >>> fault_of_tags(["O", "B_person", "I_person"])
        'B_person and I_person say otherwise than B-TYPE and I-TYPE whether a word begins an entity'
        >>> fault_of_tags(["O"])
        'there is no type of entity'
    """
    if twice := next((label for label in labels if list(labels).count(label) > 1), None):
        return f"{twice} is there twice"
    if unnamed := next(filter(UNNAMED.fullmatch, labels), None):
        return f"{unnamed} does not say what it stands for"
    alone = [label for label in labels if label != OUTSIDE and not _is_placed(label)]
    if two := _placed_otherwise(alone):
        return f"{two[0]} and {two[1]} say otherwise than B-TYPE and I-TYPE whether a word begins an entity"
    placed = len(alone) < len(labels) - (OUTSIDE in labels)
    if alone and placed:
        return f"{alone[0]} is neither {OUTSIDE} nor B-TYPE nor I-TYPE"
    if placed and OUTSIDE not in labels:
        return f"there is no {OUTSIDE} for words outside of entities"
    return "" if len(labels) > 1 else "there is no type of entity"


def placed_tags(labels: Sequence[str]) -> list[str]:
    """Return tags as it is computed with them: `O`, or the word's place in its entity (B-, I-, E-, S-) and the type.

    Of types alone, neighbouring words of one type are one entity where there is an O, as in the pipelines of transformers.
    Where there is none, as with parts of speech, each word is one.

    Args:
        labels: Tags without a fault, see `fault_of_tags`.

    Examples:
        >>> placed_tags(["O", "B-person", "L-person", "U-person"])
        ['O', 'B-person', 'E-person', 'S-person']
        >>> placed_tags(["O", "person"]), placed_tags(["NOUN", "VERB"])
        (['O', 'I-person'], ['S-NOUN', 'S-VERB'])
    """
    alone = "I-" if OUTSIDE in labels else "S-"
    return [
        label if label == OUTSIDE else f"{PLACES[label[0]]}{label[1:]}" if _is_placed(label) else alone + label
        for label in labels
    ]


PLACES_TRIED = {(True, True): " SBIE", (True, False): " BISE", (False, False): " IBES", (False, True): " EIBS"}
"""Letters of the tags that a word of an entity gets, the best first, by whether it is its first and its last word. A space
stands for a tag that was named itself."""


def tags_of(names: Mapping[str, str], kind: str) -> dict[str, str]:
    """Return the tags of a type by their letters, of tags by what `placed_tags` has for them."""
    return {placed[0]: label for placed, label in names.items() if placed[1:] == f"-{kind}"}


def tag_at(tags: Mapping[str, str], first: bool, last: bool) -> str:
    """Return the best of the tags of a type for a word of an entity, where it may be the first or the last one.

    Examples:
        >>> tags = tags_of({"O": "O", "B-sea": "B-sea", "E-sea": "L-sea"}, "sea")
        >>> tag_at(tags, first=True, last=True), tag_at(tags, first=False, last=True)
        ('B-sea', 'L-sea')
    """
    return next(tags[letter] for letter in PLACES_TRIED[first, last] if letter in tags)


def begins(before: str, tag: str) -> bool:
    """Return whether a tag that follows another begins an entity; both as `placed_tags` has them, and not `O` the second.

    Examples:
        >>> begins("O", "I-person"), begins("B-person", "I-person"), begins("E-person", "I-person")
        (True, False, True)
    """
    return tag[0] in "BS" or before[0] in "ES" or before[2:] != tag[2:]


def _is_placed(label: str) -> bool:
    return len(label) > 2 and label[1] == "-" and label[0] in PLACES


def _placed_otherwise(labels: Sequence[str]) -> tuple[str, str] | None:
    """Return two names that differ in a B and an I alone, which stand apart at their beginning or at their end."""
    for written in OTHERWISE:
        found: dict[tuple[str, str], str] = {}
        for label, match in ((label, written.fullmatch(label)) for label in labels):
            if match:
                found[match["type"], match["place"].upper()] = label
        if begun := next((kind for kind, place in found if place == "B" and (kind, "I") in found), None):
            return found[begun, "B"], found[begun, "I"]
    return None
