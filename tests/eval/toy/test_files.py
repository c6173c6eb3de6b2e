"""Toy names: the splits of a task, the corpus, and names that do not exist."""

import pytest

from distill.common.errors import InputError
from eval.toy import located


def test_names_of_the_toy_world_stand_for_files():
    train, test, corpus = located("toy:topic", "train"), located("toy:topic", "test"), located("toy", "corpus")
    lines = [len(open(file, encoding="utf-8").readlines()) for file in (train, test, corpus)]
    assert lines == [10_000, 1_000, 20_000]
    assert located("data/train.jsonl", "train") == "data/train.jsonl"


def test_unknown_tasks_and_splits_are_refused():
    with pytest.raises(InputError, match="'toy:topic' has the splits train and test, no 'dev'"):
        located("toy:topic", "dev")
    with pytest.raises(InputError, match="'toy:colour' is not a toy task"):
        located("toy:colour", "train")
