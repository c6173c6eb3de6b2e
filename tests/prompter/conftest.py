"""Fixtures shared by the tests of the prompter."""

from pathlib import Path

import pytest

from tests.prompter.saved_prompter import write_prompter
from tests.prompter.tiny import LETTERS, PAIR_LABELS, tiny_gpt2, tiny_teacher, word_tokenizer


@pytest.fixture(scope="session")
def lm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny language model and its tokenizer."""
    folder = tmp_path_factory.mktemp("lm")
    tiny_gpt2().save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny classifier of the classes good and bad."""
    folder = tmp_path_factory.mktemp("teacher")
    tiny_teacher().save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def pair_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny classifier of pairs."""
    folder = tmp_path_factory.mktemp("pair-teacher")
    tiny_teacher(labels=PAIR_LABELS).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a saved prompter of the tiny models, whose words have letters."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    for name, model in (("lm", tiny_gpt2()), ("teacher", tiny_teacher(2, scale=60.0))):
        model.save_pretrained(run.parent / name)
        word_tokenizer(LETTERS).save_pretrained(run.parent / name)
    return write_prompter(run, run.parent / "lm", run.parent / "teacher")


@pytest.fixture(scope="session")
def pair_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for a teacher of pairs."""
    run = tmp_path_factory.mktemp("pair-runs") / "tiny"
    for name, model in (("lm", tiny_gpt2()), ("teacher", tiny_teacher(2, scale=60.0, labels=PAIR_LABELS))):
        model.save_pretrained(run.parent / name)
        word_tokenizer(LETTERS).save_pretrained(run.parent / name)
    short = {"control": "{label} {task}", "pair_control": "{text} {label} :", "pair_max_new_tokens": 8}
    words = {"label_descriptions": "{equivalent: good, not_equivalent: bad}"}
    return write_prompter(run, run.parent / "lm", run.parent / "teacher", labels=PAIR_LABELS, pairs=True, **short, **words)
