"""The cache of toy models: it trains once, and again when anything changes. `prompter demo` measures the full-size models."""

import dataclasses
from pathlib import Path

import pytest

from distill.common.errors import InputError
from eval.toy import models
from eval.toy.models import toy_rewriter, toy_teacher, toy_writer
from eval.toy.rewriter import RewriterSettings
from eval.toy.teacher import TeacherSettings
from eval.toy.writer import WriterSettings

TEACHER = TeacherSettings(layers=1, hidden=48, heads=2, train_texts=64, epochs=1)
WRITER = WriterSettings(layers=1, hidden=48, heads=2, corpus_texts=300)
REWRITER = RewriterSettings(layers=1, hidden=48, corpus_texts=300)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def teacher(cache: Path) -> Path:
    return toy_teacher("topic", cache, settings=TEACHER, quiet=True)


@pytest.fixture(scope="module")
def writer(cache: Path) -> Path:
    return toy_writer(cache, settings=WRITER, quiet=True)


@pytest.fixture(scope="module")
def rewriter(cache: Path) -> Path:
    return toy_rewriter(cache, settings=REWRITER, quiet=True)


def forbid_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*arguments: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(models, "train_teacher", train)
    monkeypatch.setattr(models, "train_writer", train)
    monkeypatch.setattr(models, "train_rewriter", train)


def test_cache_hit_does_not_train(teacher, writer, rewriter, cache, monkeypatch):
    forbid_training(monkeypatch)
    assert toy_teacher("topic", cache, settings=TEACHER, quiet=True) == teacher
    assert toy_writer(cache, settings=WRITER, quiet=True) == writer
    assert toy_rewriter(cache, settings=REWRITER, quiet=True) == rewriter


@pytest.mark.parametrize(
    ("seed", "change"), [(1, {}), (0, {"epochs": 3}), (0, {"learning_rate": 4e-3}), (0, {"label_smoothing": 0.1})]
)
def test_whatever_the_teacher_depends_on_makes_it_train_again(teacher, cache, monkeypatch, seed, change):
    forbid_training(monkeypatch)
    with pytest.raises(AssertionError, match="trained again"):
        toy_teacher("topic", cache, seed=seed, settings=dataclasses.replace(TEACHER, **change), quiet=True)


def test_other_library_versions_train_again(writer, cache, monkeypatch):
    forbid_training(monkeypatch)
    monkeypatch.setattr(models.transformers, "__version__", "0.0")
    with pytest.raises(AssertionError, match="trained again"):
        toy_writer(cache, settings=WRITER, quiet=True)


def test_corrupt_model_is_trained_again_to_the_same_weights(tmp_path):
    settings = dataclasses.replace(TEACHER, train_texts=128, layers=1)
    folder = toy_teacher("topic", tmp_path, settings=settings, quiet=True)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-100])
    assert toy_teacher("topic", tmp_path, settings=settings, quiet=True) == folder
    assert (folder / "model.safetensors").read_bytes() == weights


def test_unknown_task_writes_nothing(tmp_path):
    with pytest.raises(InputError, match="'spam' is unknown"):
        toy_teacher("spam", tmp_path / "cache", quiet=True)
    assert not (tmp_path / "cache").exists()


def test_quiet_is_silent_and_otherwise_a_bar_is_shown(tmp_path, capfd):
    settings = dataclasses.replace(TEACHER, train_texts=64)
    toy_teacher("topic", tmp_path / "a", settings=settings, quiet=True)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    toy_teacher("topic", tmp_path / "b", settings=settings)
    captured = capfd.readouterr()
    assert captured.out == "" and "training the teacher (topic)" in captured.err
