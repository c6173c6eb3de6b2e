"""Reading a corpus in passes, and second sentences for pair tasks."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from distill.methods.corpus import REPLACED_WORDS, rows_at, second_sentences


@given(size=st.integers(1, 40), start=st.integers(0, 200), count=st.integers(0, 60), seed=st.integers(0, 5))
def test_reading_on_gives_what_reading_at_once_gives(size: int, start: int, count: int, seed: int) -> None:
    whole = rows_at(size, 0, start + count, seed)
    assert rows_at(size, start, count, seed) == whole[start:]
    for begin in range(0, len(whole) - size + 1, size):
        assert sorted(whole[begin : begin + size]) == list(range(size))


def test_passes_differ_in_order() -> None:
    rows = rows_at(50, 0, 100, seed=0)
    assert rows[:50] != rows[50:] and rows != rows_at(50, 0, 100, seed=1)


def test_second_sentences_are_of_three_kinds_in_equal_parts() -> None:
    corpus = [" ".join(f"t{i}w{j}" for j in range(10)) for i in range(400)]
    rows = list(range(300))
    seconds = second_sentences(corpus, rows, seed=0, number=0)
    kinds: Counter[str] = Counter()
    for row, second in zip(rows, seconds, strict=True):
        shared = sum(a == b for a, b in zip(corpus[row].split(), second.split(), strict=True))
        if 0 < shared < 10:
            assert shared >= 10 - REPLACED_WORDS
            kinds["changed"] += 1
        else:
            kinds["neighbour" if second == corpus[row + 1] else "stranger"] += 1
            assert second in corpus
    assert all(70 < count < 130 for count in kinds.values()) and len(kinds) == 3
    assert seconds == second_sentences(corpus, rows, seed=0, number=0) != second_sentences(corpus, rows, seed=0, number=1)
    assert second_sentences(["", "two words"], [0, 1] * 20, seed=1, number=0)  # an empty text has no word to replace
