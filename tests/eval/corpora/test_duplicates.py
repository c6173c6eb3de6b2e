"""Near-duplicates: which texts are found, and that the index lies on disk."""

import random
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.corpora.duplicates import PERMUTATIONS, SHINGLE, DuplicateIndex, Sketch
from eval.corpora.words import words

VOCABULARY = [f"word{i}" for i in range(500)]


def jaccard(one: str, other: str) -> float:
    a, b = ({tuple(w[i : i + SHINGLE]) for i in range(len(w) - SHINGLE + 1)} for w in (words(one), words(other)))
    return len(a & b) / len(a | b)


def sentence(rng: random.Random, length: int = 40) -> str:
    return " ".join(rng.choices(VOCABULARY, k=length))


def new_index(threshold: float = 0.8, file: str | Path = ":memory:") -> DuplicateIndex:
    return DuplicateIndex(sqlite3.connect(file), threshold)


def test_exact_and_near_duplicates_are_distinguished() -> None:
    index = new_index()
    rng = random.Random(0)
    texts = [sentence(rng) for _ in range(50)]
    for row, text in enumerate(texts):
        assert index.find(index.sketch(text)) is None
        index.add(index.sketch(text), row)
    assert index.find(index.sketch(texts[7].upper() + "!")) == (7, True)
    near = texts[9].rsplit(" ", 1)[0] + " other"
    assert jaccard(near, texts[9]) > 0.9
    assert index.find(index.sketch(near)) == (9, False)
    half = " ".join(texts[9].split()[:20] + texts[3].split()[:20])
    assert index.find(index.sketch(half)) is None


def test_the_threshold_is_met_within_the_estimates_error() -> None:
    rng = random.Random(1)
    found = {"above": 0, "below": 0}
    index = new_index(0.7)
    base = [sentence(rng, 60) for _ in range(100)]
    for row, text in enumerate(base):
        index.add(index.sketch(text), row)
    for text in base:
        many, few = text.split(), text.split()
        many[0] = "changed"  # similarity 57/59
        for place in range(0, 60, 5):
            few[place] = "changed"  # similarity below 0.3
        found["above"] += index.find(index.sketch(" ".join(many))) is not None
        found["below"] += index.find(index.sketch(" ".join(few))) is not None
    assert found == {"above": 100, "below": 0}


def test_the_most_similar_row_is_named() -> None:
    index = new_index(0.5)
    text = sentence(random.Random(2), 40).split()
    index.add(index.sketch(" ".join([*text[:30], *VOCABULARY[:10]])), 0)
    index.add(index.sketch(" ".join([*text[:39], "end"])), 1)
    assert index.find(index.sketch(" ".join(text))) == (1, False)


def test_zero_looks_for_exact_ones_alone() -> None:
    index = new_index(0)
    text = sentence(random.Random(3))
    index.add(index.sketch(text), 4)
    assert index.find(index.sketch(text)) == (4, True)
    assert index.find(index.sketch(text + " more")) is None


def test_what_is_not_committed_is_forgotten(tmp_path: Path) -> None:
    one, other = "a first text of some words", "quite another text with other words"
    index = new_index(file=tmp_path / "index")
    index.add(index.sketch(one), 0)
    index.connection.commit()
    index.add(index.sketch(other), 1)
    index.connection.close()
    again = new_index(file=tmp_path / "index")
    assert again.find(again.sketch(one)) == (0, True)
    assert again.find(again.sketch(other)) is None


@pytest.mark.parametrize("threshold", [0.3, 0.8, 0.99])
@settings(max_examples=20, deadline=None)
@given(texts=st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=12).map(" ".join), max_size=15))
def test_each_text_is_found_again(threshold: float, texts: list[str]) -> None:
    index = new_index(threshold)
    kept: dict[str, int] = {}
    for row, text in enumerate(texts):
        sketch = index.sketch(text)
        twin = index.find(sketch)
        assert twin is None or twin[0] in kept.values()
        if twin is None:
            index.add(sketch, row)
            kept[text] = row
    assert all(index.find(index.sketch(text)) == (row, True) for text, row in kept.items())


def test_from_the_threshold_on_a_row_is_similar_and_of_equal_ones_the_earliest_is_named() -> None:
    index = new_index(0.5)

    def like(share: float, exact: int) -> Sketch:
        """Of which this share of the signature is zero, as that of the text."""
        return Sketch(exact, (np.arange(PERMUTATIONS) >= share * PERMUTATIONS).astype(np.uint32), [7])

    text = like(1.0, 0)
    for row, share in ((2, 0.5 - 1 / PERMUTATIONS), (4, 0.25)):
        index.add(like(share, row), row)
    assert index.find(text) is None
    for row in (9, 6):
        index.add(like(0.5, row), row)
    assert index.find(text) == (6, False)
    index.add(like(0.75, 12), 12)
    index.add(like(0.75, 11), 11)
    assert index.find(text) == (11, False)


def test_the_last_words_count() -> None:
    index = new_index()
    index.add(index.sketch("one two three four"), 0)
    assert index.find(index.sketch("one two three five")) is None  # one of three triples is shared
    assert index.find(index.sketch("one two three")) is None


def test_where_the_first_text_of_a_pair_ends_matters() -> None:
    for threshold in (0.0, 0.8):
        index = new_index(threshold)
        index.add(index.sketch("one two three", "four"), 0)
        assert index.find(index.sketch("one two", "three four")) is None
        assert index.find(index.sketch("one two three four")) is None
        assert index.find(index.sketch("One two three!", "four")) == (0, True)
