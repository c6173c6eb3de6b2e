"""Metrics of a corpus: each against a few lines that compute it in another way, and within its bounds."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.corpora.statistics import (
    class_balance,
    distinct,
    draw,
    entropy,
    histogram_counts,
    near_duplicates,
    ngrams,
    perplexity,
    self_bleu,
    spread,
    tokenize,
    topic_entropy,
    vocabulary_growth,
)
from eval.corpora.words import words

texts = st.lists(st.lists(st.sampled_from("a b c d".split()), max_size=8).map(" ".join), min_size=1, max_size=8)

SENTENCES = [
    "The soup was cold and the waiter was rude.",
    "The soup was warm, and the waiter was kind!",
    "Nobody liked the film; the ending was dull.",
    "A quiet film with a bright ending",
]


def grams(rows, n):
    return [tuple(words(row)[i : i + n]) for row in rows for i in range(len(words(row)) - n + 1)]


@given(texts, st.integers(1, 4))
def test_distinct_n_equals_a_count_with_sets(rows, n):
    found, all_grams = distinct(tokenize(rows, {}), n), grams(rows, n)
    if not all_grams:
        assert math.isnan(found)
        return
    assert found == len(set(all_grams)) / len(all_grams)
    assert 0 < found <= 1
    assert distinct(tokenize(rows + rows, {}), n) == pytest.approx(found / 2)
    assert distinct(tokenize(rows[::-1], {}), n) == found


@given(texts)
def test_equal_ngrams_get_equal_numbers(rows):
    numbers = ngrams(tokenize(rows, {"unseen": 0, "words": 1}), 2)
    assert len(numbers) == len(grams(rows, 2))
    assert len(set(zip(numbers.tolist(), grams(rows, 2), strict=True))) == len(set(numbers.tolist()))


def test_texts_are_taken_and_cut_as_lists_are():
    tokens = tokenize(["a b c", "", "d a"], {})
    assert tokens.ids.tolist() == [0, 1, 2, 3, 0] and tokens.lengths.tolist() == [3, 0, 2]
    assert tokens.text_of.tolist() == [0, 0, 0, 2, 2]
    taken = tokens.take([2, 1, 0])
    assert taken.ids.tolist() == [3, 0, 0, 1, 2] and taken.lengths.tolist() == [2, 0, 3]
    assert taken.head(3).ids.tolist() == [3, 0, 0] and taken.head(3).lengths.tolist() == [2, 0, 1]


def bleu(hypothesis, references):
    """Sentence BLEU (Papineni et al. 2002) with the orders that the text reaches, smoothed as sacrebleu does by default."""
    precisions, zeros = [], 0
    for n in range(1, min(4, len(hypothesis)) + 1):
        mine = Counter(tuple(hypothesis[i : i + n]) for i in range(len(hypothesis) - n + 1))
        most = Counter()
        for reference in references:
            most |= Counter(tuple(reference[i : i + n]) for i in range(len(reference) - n + 1))
        right = (mine & most).total()
        zeros += right == 0
        precisions.append(right / mine.total() if right else 1 / (2**zeros * mine.total()))
    if zeros == len(precisions):
        return 0.0
    nearest = min((abs(len(reference) - len(hypothesis)), len(reference)) for reference in references)[1]
    brevity = min(1.0, math.exp(1 - nearest / len(hypothesis)))
    return 100 * brevity * math.exp(sum(map(math.log, precisions)) / len(precisions))


def test_self_bleu_is_the_mean_of_every_text_against_the_others():
    found = self_bleu(SENTENCES, seed=0)
    rows = [words(sentence) for sentence in SENTENCES]
    scores = [bleu(row, rows[:i] + rows[i + 1 :]) for i, row in enumerate(rows)]
    assert found["texts"] == 4
    assert found["mean"] == pytest.approx(sum(scores) / 4)
    assert found["standard_error"] == pytest.approx(np.std(scores, ddof=1) / 2)


def test_self_bleu_draws_by_seed_and_reaches_its_bounds():
    many = [f"{one} {other} word of a text {one}{other}" for one in "abcdefgh" for other in "abcdefgh"]
    assert self_bleu(many, 1, count=10) == self_bleu(many, 1, count=10) != self_bleu(many, 2, count=10)
    assert self_bleu(many, 1, count=10)["texts"] == 10
    assert self_bleu(["all of it is the same"] * 5, 0)["mean"] == pytest.approx(100)
    assert self_bleu(["one two three four", "five six seven eight"], 0)["mean"] < 10
    alone = self_bleu(["...", "only one has words"], 0)
    assert alone["texts"] == 1 and math.isnan(alone["mean"])


def test_near_duplicates_are_counted_once_each():
    long = "the quick brown fox jumps over the lazy dog while nobody at all is looking at it from the other side of the road"
    found = near_duplicates([long, long.upper() + "!", long + " today", "something else altogether"])
    assert found == {"share": 0.5, "exact": 0.25, "threshold": 0.8}


@given(texts, st.integers(0, 5))
def test_the_vocabulary_grows_as_sets_do(rows, seed):
    found = vocabulary_growth(tokenize(rows, {}))
    flat = [word for row in rows for word in words(row)]
    assert (found["tokens"], found["types"]) == (len(flat), len(set(flat)))
    assert all(types == len(set(flat[:count])) for count, types in found["curve"])
    assert found["curve"][0] == [0, 0] and found["curve"][-1] == [len(flat), len(set(flat))]


def test_different_words_are_counted_at_round_numbers_of_words():
    rows = [" ".join(f"w{(7 * i + j) % 301}" for j in range(10)) for i in range(120)]
    flat = [word for row in rows for word in row.split()]
    assert vocabulary_growth(tokenize(rows, {}))["types_in_first"] == {"1000": len(set(flat[:1000]))}


@given(st.lists(st.integers(0, 1000), min_size=1).filter(any))
def test_entropy_equals_its_formula_and_stays_within_its_bounds(counts):
    shares = [count / sum(counts) for count in counts if count]
    found = entropy(counts)
    assert found == pytest.approx(-sum(share * math.log(share) for share in shares), abs=1e-12)
    assert -1e-12 <= found <= math.log(len(shares)) + 1e-12
    assert found == pytest.approx(entropy(counts[::-1]))


def test_class_balance_counts_empty_classes_and_missing_answers():
    found = class_balance(["good", "good", None, "bad", "bad"], ["good", "bad", "fair"])
    assert found["counts"] == {"good": 2, "bad": 2, "fair": 0} and found["unanswered"] == 1
    assert found["entropy"] == pytest.approx(math.log(2)) and found["normalised"] == pytest.approx(math.log(2) / math.log(3))
    assert class_balance(["a", "b"], ["a", "b"])["normalised"] == pytest.approx(1)
    assert math.isnan(class_balance(["a"], ["a"])["normalised"])
    nothing = class_balance([None, None], ["a", "b"])
    assert math.isnan(nothing["entropy"]) and nothing["unanswered"] == 2


def test_topic_entropy_is_one_only_if_every_topic_is_new():
    assert topic_entropy(["a", "b", "c", "d"])["normalised"] == pytest.approx(1)
    found = topic_entropy(["a", "b"] * 50)
    assert found["distinct"] == 2 and found["entropy"] == pytest.approx(math.log(2))
    assert found["normalised"] == pytest.approx(math.log(2) / math.log(100))
    assert topic_entropy(["a"] * 9)["entropy"] == 0
    assert math.isnan(topic_entropy(["a"])["normalised"])


def test_perplexity_uses_the_mean_and_skips_missing_numbers():
    logprob = np.array([-1.0, -2.0, np.nan, -4.5])
    found = perplexity(logprob)
    assert found["perplexity"] == pytest.approx(math.exp(2.5)) and found["median"] == pytest.approx(math.exp(2))
    assert found["logprob"]["n"] == 3
    assert math.isnan(perplexity(np.array([np.nan]))["perplexity"])


@given(st.lists(st.floats(-100, 100), min_size=1))
def test_spread_equals_numpy(values):
    found = spread(np.array([*values, np.nan]))
    assert found["n"] == len(values) and found["mean"] == pytest.approx(float(np.mean(values)))
    assert (found["quantiles"]["0"], found["quantiles"]["100"]) == (min(values), max(values))
    assert found["quantiles"]["50"] == pytest.approx(float(np.median(values)))


def test_histograms_count_every_value():
    values = np.array([0.0, 0.04, 0.05, 0.5, 1.0, np.nan])
    counts = histogram_counts(values, np.linspace(0, 1, 21))
    assert sum(counts) == 5 and counts[0] == 2 and counts[-1] == 1


def test_draws_are_without_repetition_and_depend_on_seed_and_purpose():
    rows = draw(100, 30, 0, "a")
    assert len(set(rows.tolist())) == 30
    assert rows.tolist() == draw(100, 30, 0, "a").tolist() != draw(100, 30, 0, "b").tolist()
    assert sorted(draw(5, 30, 0, "a").tolist()) == [0, 1, 2, 3, 4]
