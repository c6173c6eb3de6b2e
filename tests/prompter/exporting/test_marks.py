"""Why a row is not kept, one reason after the other."""

import sqlite3

from eval.corpora.duplicates import DuplicateIndex
from prompter.exporting.marks import Marks

TEXT, PAIR = "the staff was friendly and the room was clean", "nobody at the desk was ever rude to us"


def marks(near: float = 0.6) -> Marks:
    return Marks(DuplicateIndex(sqlite3.connect(":memory:"), near), min_words=3, max_words=9, min_confidence=0.5)


def test_each_reason_has_its_border() -> None:
    made = marks()
    assert made.of(0, TEXT, -1, None) == ("no answer", None)
    assert made.of(1, "two words", 0, 0.9) == ("too short", None)
    assert made.of(2, f"{TEXT} indeed", 0, 0.9) == ("too long", None)
    assert made.of(3, "12345 67890 123", 0, 0.9) == ("not text", None)
    assert made.of(4, TEXT, 0, 0.4999) == ("low confidence", None)
    assert made.of(5, TEXT, 0, 0.9, full=True) == ("class full", None)
    assert made.of(6, TEXT, 0, 0.5) == (None, None)  # just sure enough, and nothing that was marked is remembered
    assert made.of(7, f"{TEXT.upper()}!", 1, 0.9) == ("duplicate", 6)
    assert made.of(8, TEXT.replace("clean", "warm"), 1, 0.9) == ("near duplicate", 6)
    assert made.of(9, "it was quite another film", None, None) == (None, None)  # no teacher was asked


def test_both_texts_of_a_pair_are_looked_at() -> None:
    made = marks()
    assert made.of(0, TEXT, 0, 0.9, text_pair="too short") == ("too short", None)
    assert made.of(1, "too short", 0, 0.9, text_pair=TEXT) == ("too short", None)
    assert made.of(2, TEXT, 0, 0.9, text_pair=PAIR) == (None, None)
    assert made.of(3, TEXT, 0, 0.9, text_pair="they did not even open the door for us") == (None, None)
    assert made.of(4, TEXT, 0, 0.9, text_pair=PAIR) == ("duplicate", 2)
