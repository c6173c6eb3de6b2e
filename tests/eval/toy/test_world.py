"""The toy world: size, shares, balance, determinism, and labels that word counts cannot read."""

import hashlib
import inspect
import os
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from distill.common.errors import InputError
from eval.toy.grammar import MAX_WORDS, MIN_WORDS
from eval.toy.reviews import REVIEW_DOMAINS
from eval.toy.words import DOMAINS
from eval.toy.world import LEAD_SHARE, World, shared_world


@pytest.fixture(scope="module")
def world() -> World:
    return shared_world(0)


@pytest.fixture(scope="module")
def corpus(world: World) -> list[tuple[str, str]]:
    return world.labelled_corpus(12_000)


def test_vocabulary_and_lengths(corpus):
    words = {word for _, text in corpus for word in re.findall(r"[\w-]+", text)}
    assert len(words) >= 1500
    lengths = [len(text.split(": ")[-1].split()) for _, text in corpus]
    assert min(lengths) >= MIN_WORDS == 5
    assert max(lengths) <= MAX_WORDS == 25


def test_every_domain_is_there_and_none_is_large(world, corpus):
    assert len(world.domain_shares) >= 12
    assert sum(world.domain_shares.values()) == pytest.approx(1)
    assert max(world.domain_shares.values()) < 0.1
    shares = {domain: count / len(corpus) for domain, count in Counter(domain for domain, _ in corpus).items()}
    assert shares.keys() == world.domain_shares.keys() == DOMAINS.keys() | set(REVIEW_DOMAINS)
    assert max(shares.values()) <= 0.12
    for domain, share in shares.items():
        assert share == pytest.approx(world.domain_shares[domain], abs=0.02)


def test_some_general_texts_open_with_a_lead(corpus):
    share = sum(bool(re.match(r"\w+: ", text)) for _, text in corpus) / len(corpus)
    assert share == pytest.approx(LEAD_SHARE, abs=0.01)


def test_articles_fit_and_every_slot_is_filled(corpus):
    for _, text in corpus:
        assert "{" not in text
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text), text
        assert text[-1] in ".?!"


@pytest.mark.parametrize("name", ["sentiment", "topic"])
def test_tasks_are_balanced_and_disjoint(world, corpus, name):
    task = world.task(name)
    for labels in (task.train_labels, task.test_labels):
        counts = Counter(labels)
        assert counts.keys() == set(range(len(task.labels)))
        assert max(counts.values()) - min(counts.values()) <= 1
    train, test = set(task.train_texts), set(task.test_texts)
    assert len(train) == len(task.train_texts) == len(task.train_labels)
    assert len(test) == len(task.test_texts) == len(task.test_labels)
    assert not train & test
    general = {text.split(": ")[-1] for _, text in corpus}
    assert not (train | test) & general


def test_unknown_task_is_refused_by_name(world):
    with pytest.raises(InputError, match="'toxicity' is unknown.*sentiment and topic"):
        world.task("toxicity")


def digest(seed: int) -> str:
    world = World(seed)
    task = world.task("sentiment")
    drawn = (world.general_corpus(300, seed=5), task.train_texts, task.train_labels, task.test_texts)
    return hashlib.sha256(repr(drawn).encode()).hexdigest()


def test_other_processes_draw_the_same_world():
    program = "import hashlib\nfrom eval.toy.world import World\n" + inspect.getsource(digest) + "print(digest(0))"
    environment = {**os.environ, "PYTHONHASHSEED": "123", "PYTHONPATH": str(Path(__file__).parents[3])}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert run.stdout.strip() == digest(0)


def test_seeds_give_different_worlds_and_corpora(world):
    assert world.general_corpus(50, seed=0) == World(0).general_corpus(50, seed=0)
    assert world.general_corpus(50, seed=0) != world.general_corpus(50, seed=1)
    assert digest(1) != digest(0)
    assert set(World(1).task("topic").test_texts) != set(world.task("topic").test_texts)


def test_bag_of_words_stays_below_the_teacher(world):
    """The teacher reaches 95 % (docs); counting words must stay at 85 % or less, and well above chance."""
    task = world.task("sentiment")
    counts = CountVectorizer()
    model = LogisticRegression(max_iter=300).fit(counts.fit_transform(task.train_texts), task.train_labels)
    accuracy = model.score(counts.transform(task.test_texts), task.test_labels)
    assert 0.65 <= accuracy <= 0.85


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(-(2**40), 2**40), n=st.integers(0, 20))
def test_any_seed_gives_sentences_of_the_right_length(seed, n):
    world = World(seed)
    for domain in (*DOMAINS, *REVIEW_DOMAINS):
        text = world.domain_text(domain, random.Random(str(n)))
        assert MIN_WORDS <= len(text.split()) <= MAX_WORDS
