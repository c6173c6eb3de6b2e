"""Closeness to real texts: each metric against brute force, and at the extremes that it must distinguish."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from eval.corpora import reference as corpus_reference
from eval.corpora.reference import precision_recall, tfidf_embeddings, two_sample_test, vocabulary_overlap
from eval.corpora.statistics import tokenize
from eval.corpora.words import words

texts = st.lists(st.lists(st.sampled_from("a b c d e".split()), max_size=6).map(" ".join), min_size=1, max_size=6)


@given(texts, texts)
def test_vocabulary_overlap_equals_a_count_with_sets(one, other):
    vocabulary = {}
    found = vocabulary_overlap(tokenize(one, vocabulary), tokenize(other, vocabulary))
    mine, theirs = ([word for text in side for word in words(text)] for side in (one, other))
    together = set(mine) | set(theirs)
    if together:
        assert found["jaccard"] == len(set(mine) & set(theirs)) / len(together)
    if theirs:
        assert found["reference_covered"] == pytest.approx(sum(word in mine for word in theirs) / len(theirs))
    assert math.isnan(found["corpus_covered"]) == (not mine)


def naive_precision_recall(corpus, reference, k):
    def radius(points, i):
        return sorted(math.dist(points[i], points[j]) for j in range(len(points)) if j != i)[k - 1]

    def inside(points, centres):
        radii = [radius(centres, i) for i in range(len(centres))]
        return np.mean([any(math.dist(p, c) <= r for c, r in zip(centres, radii, strict=True)) for p in points])

    return {"precision": inside(corpus, reference), "recall": inside(reference, corpus)}


@pytest.mark.parametrize("block", [3, 512])
@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_are_those_of_the_definition(block, k, monkeypatch):
    monkeypatch.setattr(corpus_reference, "BLOCK", block)
    rng = np.random.default_rng(0)
    corpus, reference = rng.normal(0.7, 1, (23, 2)), rng.normal(0, 1.3, (31, 2))
    assert precision_recall(corpus, reference, k) == pytest.approx(naive_precision_recall(corpus, reference, k))


def test_precision_and_recall_at_their_extremes():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(600, 16)).astype(np.float32)
    assert precision_recall(points, points) == {"precision": 1.0, "recall": 1.0}
    assert precision_recall(points, points + 100) == {"precision": 0.0, "recall": 0.0}
    few_modes = precision_recall(points[:10].repeat(60, axis=0), points)
    assert few_modes["precision"] == 1 and few_modes["recall"] < 0.1
    with pytest.raises(ValueError, match="neighbours"):
        precision_recall(points[:3], points)


def test_embeddings_without_a_model_put_like_to_like():
    food = ["the soup was good", "the soup was cold", "good soup and bread", "cold bread"]
    film = ["a long film", "the film was long and dull", "dull film", "a dull long story"]
    one, other = tfidf_embeddings([food, film], 0)
    assert np.linalg.norm(one, axis=1) == pytest.approx(np.ones(4))
    assert (one @ one.T).mean() > (one @ other.T).mean() + 0.2
    again = tfidf_embeddings([food, film], 0)
    assert np.array_equal(one, again[0])
    nothing = tfidf_embeddings([["...", "!"], ["?"]], 0)
    assert [side.shape for side in nothing] == [(2, 1), (1, 1)] and not any(side.any() for side in nothing)
    assert tfidf_embeddings([["a", "a"], ["a"]], 0)[1].shape == (1, 1)


def sentences(seed, words_of_it, count):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(words_of_it, 12)) for _ in range(count)]


def test_the_two_sample_test_tells_different_sources_apart_and_equal_ones_not():
    vocabulary = [f"w{i}" for i in range(200)]
    same = two_sample_test(sentences(0, vocabulary, 400), sentences(1, vocabulary, 300), seed=0)
    assert same["held_out"] == 300 and abs(same["accuracy"] - 0.5) < 0.1 and same["p_value"] > 0.01
    other = two_sample_test(sentences(0, vocabulary[:150], 400), sentences(1, vocabulary[50:], 400), seed=0)
    assert other["accuracy"] > 0.9 and other["p_value"] < 1e-9
    right = round(other["accuracy"] * other["held_out"])
    assert other["p_value"] == pytest.approx(binomtest(right, other["held_out"], 0.5, alternative="greater").pvalue)
    assert two_sample_test(sentences(0, vocabulary, 400), sentences(1, vocabulary, 300), seed=0) == same


def test_the_two_sample_test_without_a_word_is_chance():
    assert two_sample_test(["..."] * 12, ["!"] * 12, seed=0)["accuracy"] == 0.5
