"""Words of the data and words of a tagger, found again by their characters."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from distill.kinds.words import first_within
from distill.kinds.words import words_of as own
from eval.classifiers.kinds.words import joined, of_given_words


def test_a_word_takes_the_first_answer_within_it():
    text, spans = joined(["@Ann's", "in", "New York", "...", "\u200b", "U.S."])
    assert [text[a:b] for a, b in own(text)] == [*"@ Ann ' s in New York . . . \u200b U . S .".split(" ")]
    assert first_within(spans, own(text)) == [0, 4, 5, 7, 10, 11]
    assert first_within(joined(["a", "", " ", "b"])[1], own("a    b")) == [0, -1, -1, 1]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6), max_size=8))
def test_every_word_with_a_visible_character_finds_its_own(words):
    text, spans = joined(words)
    assert [text[start:end] for start, end in spans] == words
    for word, (start, end), found in zip(words, spans, first_within(spans, own(text)), strict=True):
        inside = [i for i, (first, last) in enumerate(own(text)) if first < end and last > start]
        assert found == (inside[0] if inside else -1)
        assert (found == -1) == (not word.strip() or not inside)


def test_answers_are_those_of_the_data_s_words():
    answers = torch.arange(1, 13, dtype=torch.float32).reshape(2, 3, 2)
    answers[1, 1:] = 0.0
    found = of_given_words(answers, [["don't", "go", "far"], ["x"]])  # don ' t go far: the tagger read three words
    assert found.tolist() == [[[1, 2], [0, 0], [0, 0]], [[7, 8], [0, 0], [0, 0]]]
