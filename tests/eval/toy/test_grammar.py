"""The grammar: Zipf's law, and tables that are complete."""

import random
from collections import Counter

import pytest

from eval.toy.grammar import Grammar


def test_common_words_come_first():
    grammar = Grammar({"w": ["a1", "b2", "c3", "d4"]})
    counts = Counter(grammar.expand("{w}", random.Random(str(draw))) for draw in range(2000))
    assert counts["a1"] > counts["b2"] > counts["d4"] > 0


def test_undefined_slots_are_an_error():
    with pytest.raises(ValueError, match="'start' uses undefined slots: nowhere"):
        Grammar({"start": ["the {nowhere}"]})
