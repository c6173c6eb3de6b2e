"""Understand what a function says about the words of texts: rows of probabilities, or entities as pipelines give them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from distill.common.errors import InputError
from distill.kinds.names import OUTSIDE, placed_tags, tag_at, tags_of
from distill.kinds.words import first_within, words_of
from distill.teachers.functions.answers import SMOOTHING, places_of
from distill.teachers.probabilities import matrix

EXPECTED_OF_WORDS = (
    "return for each text one row of probabilities of the tags for each word, as distill.kinds.words.words_of finds words, or "
    "its entities as dictionaries of start, end, entity and score"
)


def read_words(answer: Any, texts: Sequence[str], labels: Sequence[str]) -> tuple[np.ndarray | None, str, str]:
    """Return the probabilities of the tags of each word.

    Args:
        answer: What the function returned: for each text a row of K numbers for each word, or a list of entities.
        texts: N texts.
        labels: The K tags.

    Returns:
        (N, W, K) float64, NaN where a text's answer is unusable and 0 after its last word, or None where the form is not
        understood at all; what is wrong; and how the answer was read where it is not plainly rows of probabilities.

    Raises:
        InputError: Entities say not where they are. Only texts without any could be read, and a student would learn that
            there are none.
    """
    if not hasattr(answer, "__len__") or len(answer) != len(texts):
        return None, f"an answer that is not {len(texts)} lists", ""
    spans = [words_of(text) for text in texts]
    values = np.zeros((len(texts), max(1, *map(len, spans)), len(labels)))
    problem, note, understood = "", "", 0
    for place, row, text, words in zip(values, answer, texts, spans, strict=True):
        found: np.ndarray | None = None
        if _is_entities(row):
            found, unknown = _of_entities(row, text, words, labels)
            outside = f", and all other words get {OUTSIDE}" * (OUTSIDE in labels)
            note = f"teacher: it names entities; the other tags share what their scores leave{outside}."
            problem = problem or unknown
        elif (whole := matrix(row)) is not None and whole.shape == (len(words), len(labels)):
            found = whole
        elif whole is not None and whole.ndim:  # a lone None or NaN is no answer
            problem = problem or f"{' by '.join(map(str, whole.shape))} numbers for a text of {len(words)} words"
        if found is None:
            place[: max(1, len(words))] = np.nan
            problem = problem or "texts without a row for each word"
        else:
            place[: len(words)] = found
            understood += 1
    return (values if understood else None), problem, note


def _is_entities(row: Any) -> bool:
    return isinstance(row, list | tuple) and all(isinstance(item, dict) and {"start", "end"} <= item.keys() for item in row)


def _of_entities(
    entities: Sequence[dict[str, Any]], text: str, words: Sequence[tuple[int, int]], labels: Sequence[str]
) -> tuple[np.ndarray | None, str]:
    """Return (W, K) probabilities, or None and what is wrong."""
    places = places_of(labels)
    rows = np.zeros((len(words), len(labels)))
    if OUTSIDE in labels:
        _give(rows, range(len(words)), OUTSIDE, 1 - SMOOTHING, labels)
    names = dict(zip(placed_tags(labels), labels, strict=True))
    ends = {label: tag[2:] for tag, label in names.items() if tag[0] == "E"}
    taken: set[int] = set()
    before: tuple[str, int, bool, float] = ("", -1, False, 0.0)  # the last entity: its type, last word, whether alone, score
    for entity in entities:
        name, score = str(entity.get("entity_group") or entity.get("entity")), entity.get("score", 1 - SMOOTHING)
        name = labels[places[name]] if name in places else name  # LABEL_3
        try:
            start, end, sure = int(entity["start"]), int(entity["end"]), float(score)
        except (TypeError, ValueError, OverflowError):
            if entity["start"] is None and entity["end"] is None:
                raise InputError(
                    "teacher: the entities that it returns have no start and end, as those of a pipeline with a slow "
                    "tokenizer: give the pipeline a fast tokenizer, or return rows of probabilities."
                ) from None
            said = {key: entity.get(key) for key in ("start", "end", "score")}
            return None, f"the entity {name[:40]!r} with {str(said)[:100]}, which are no numbers"
        if not 0 <= start <= end <= len(text):
            return None, f"the entity {name[:40]!r} from {start} to {end} of a text of {len(text)} characters"
        inside = first_within(words, [(start, end)])
        covered = [number for number, place in enumerate(inside) if place == 0 and number not in taken]
        tags = {" ": name} if name in labels else tags_of(names, name)
        if not tags:
            return None, f"the entity {name[:40]!r}, which is none of {list(labels)}"
        if covered and before[:2] == (ends.get(name), covered[0] - 1):  # pipelines join B- and I-, and leave their E- apart
            _give(rows, [before[1]], tag_at(tags_of(names, ends[name]), before[2], False), before[3], labels)
        for number in covered:
            _give(rows, [number], tag_at(tags, number == covered[0], number == covered[-1]), sure, labels)
        if covered:
            before = (name, covered[-1], len(covered) == 1, sure)
        taken.update(covered)
    if len(taken) < len(words) and OUTSIDE not in labels:
        start, end = words[min(set(range(len(words))) - taken)]
        return None, f"no tag for the word {text[start:end][:40]!r}, and no {OUTSIDE} among the tags"
    return rows, ""


def _give(rows: np.ndarray, numbers: Sequence[int], tag: str, score: float, labels: Sequence[str]) -> None:
    rows[list(numbers)] = (1 - score) / (len(labels) - 1)
    rows[list(numbers), labels.index(tag)] = score
