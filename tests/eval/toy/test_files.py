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


@pytest.mark.parametrize("kind", ["writer", "masked-lm", "rewriter", "corpus"])
def test_a_mistyped_task_is_not_taken_for_what_all_tasks_share(kind):
    with pytest.raises(InputError, match="'toy:pair' is not a toy task: expected toy, or one of .*toy:pairs"):
        located("toy:pair", kind)


def test_a_corpus_of_another_length_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr("distill.common.folder_cache.default_cache_dir", lambda: tmp_path)
    for sentences in (30, 20):
        monkeypatch.setattr("eval.toy.files.CORPUS_SENTENCES", sentences)
        assert len(open(located("toy", "corpus"), encoding="utf-8").readlines()) == sentences
