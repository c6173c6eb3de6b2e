"""Verbatim overlap: every run against brute force, and the alarm for copied texts."""

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.corpora.statistics import Tokens, tokenize
from eval.corpora.verbatim import longest_per_text, longest_runs, verbatim_overlap

# Few different words, so that runs are long and many suffixes share beginnings.
texts = st.lists(st.lists(st.integers(0, 3), max_size=12), min_size=1, max_size=6)


def tokens_of(rows):
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Tokens(np.array([word for row in rows for word in row], dtype=np.int64), starts)


def run_from(row, begin, references):
    """The longest run from a word on that a reference text holds, by trying them all."""
    best = 0
    for reference in references:
        for there in range(len(reference)):
            n = 0
            while begin + n < len(row) and there + n < len(reference) and row[begin + n] == reference[there + n]:
                n += 1
            best = max(best, n)
    return best


@given(texts, texts)
def test_runs_are_those_of_brute_force(corpus, reference):
    mine, theirs = tokens_of(corpus), tokens_of(reference)
    lengths, at = longest_runs(mine, theirs)
    expected = [run_from(row, begin, reference) for row in corpus for begin in range(len(row))]
    assert lengths.tolist() == expected
    for begin, (length, there) in enumerate(zip(lengths, at, strict=True)):
        assert mine.ids[begin : begin + length].tolist() == theirs.ids[there : there + length].tolist()
        if length:
            assert theirs.text_of[there] == theirs.text_of[there + length - 1]
    runs = longest_per_text(lengths, mine)
    assert runs.tolist() == [max((run_from(row, i, reference) for i in range(len(row))), default=0) for row in corpus]


def overlap(corpus, reference):
    vocabulary = {}
    return verbatim_overlap(tokenize(corpus, vocabulary), tokenize(reference, vocabulary), corpus, reference)


def random_texts(seed, count, length=30, vocabulary=5000):
    rng = np.random.default_rng(seed)
    return [" ".join(f"w{word}" for word in rng.integers(0, vocabulary, length)) for _ in range(count)]


def test_independent_texts_give_no_alarm():
    found = overlap(random_texts(0, 100), random_texts(1, 100))
    assert not found["alarm"] and found["copies"] == 0 and found["share"] == {"8": 0.0, "13": 0.0}
    assert found["by_chance"]["share"] == {"8": 0.0, "13": 0.0}
    assert found["words_in_runs"] == 0


def test_a_reference_that_is_the_corpus_gives_the_alarm():
    texts = random_texts(0, 50)
    found = overlap(texts, texts[::-1])
    assert found["alarm"] and found["copies"] == 1 and found["copied"] == 1 and found["words_in_runs"] == 1
    assert found["longest"]["mean"] == 30
    short = ["not bad", "quite good", "so so"]
    assert overlap(short, short)["alarm"]


def test_case_and_punctuation_do_not_hide_a_copy_and_runs_are_cut_out_of_longer_texts():
    reference = random_texts(0, 20)
    spans = ["intro " + " ".join(text.upper().split()[5:18]) + "!" for text in reference[:3]]
    found = overlap(spans + random_texts(2, 17), reference)
    assert found["share"] == {"8": 0.15, "13": 0.15} and found["copies"] == 0 and found["alarm"]
    assert [example["words"] for example in found["examples"][:3]] == [13, 13, 13]
    assert {example["row"] for example in found["examples"][:3]} == {1, 2, 3}
    assert all(example["reference"] == reference[example["row"] - 1] for example in found["examples"][:3])
    assert found["examples"][0]["run"] == " ".join(reference[0].split()[5:18])
    assert np.isclose(found["words_in_runs"], 3 * 13 / (3 * 14 + 17 * 30))


def test_texts_without_words_do_no_harm():
    found = overlap(["", "...", "a b"], ["", "b a"])
    assert found["curve"] == [[0, 1.0], [1, pytest.approx(1 / 3)]] and found["copies"] == 0
    alone = overlap(["!"], ["?"])
    assert alone["curve"] == [[0, 1.0]] and alone["by_chance"]["curve"] == [] and math.isnan(alone["by_chance"]["share"]["8"])


def test_time_grows_with_the_texts_and_not_with_their_square():
    took = []
    for count in (1000, 8000):
        corpus, reference = random_texts(0, count, 20, 300), random_texts(1, count, 20, 300)
        vocabulary = {}
        mine, theirs = tokenize(corpus, vocabulary), tokenize(reference, vocabulary)
        begin = time.process_time()
        longest_runs(mine, theirs)
        took.append(time.process_time() - begin)
    assert took[1] < 25 * took[0] + 1  # quadratic would be 64 times
