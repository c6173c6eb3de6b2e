"""The tasks of `table` as files, their trained teachers, and the writer of pairs: made once, then taken from the cache."""

import dataclasses
import json
from pathlib import Path

from distill.common.folder_cache import cached_folder, source_hash
from eval.toy.models import model_key
from eval.toy.tasks.pair_corpus import WorldOfPairs
from eval.toy.tasks.table import TASKS
from eval.toy.tasks.teachers import KindTeacherSettings, train_kind_teacher
from eval.toy.tasks.world import CORPUS_SENTENCES, private_rows, public_texts
from eval.toy.writer import WriterSettings, train_writer

SHARED = ("tasks/world", "tasks/judged", "world", "reviews", "grammar", "words")
"""Modules that the rows of every task are made of."""


def task_folder(name: str, cache_dir: str | Path | None = None, *, seed: int = 0) -> Path:
    """Return the folder with `train.jsonl` and `test.jsonl` of a task, which the ordinary readers read.

    Args:
        name: Name in `TASKS`.
        cache_dir: Folder of what is made; see `distill.common.folder_cache.default_cache_dir` if None.
        seed: Seed of the world.

    Raises:
        InputError: The cache folder cannot be written.
    """
    task = TASKS[name]
    here = Path(__file__).parents[1]
    sources = source_hash([here / f"{module}.py" for module in (*SHARED, f"tasks/{task.module}")])

    def build(folder: Path) -> None:
        for split, rows in private_rows(name, task.draw, public_texts(seed), seed=seed).items():
            (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    return cached_folder(f"data-{name}", {"sources": sources, "seed": seed}, build, cache_dir)


def kind_teacher(
    name: str,
    cache_dir: str | Path | None = None,
    *,
    seed: int = 0,
    settings: KindTeacherSettings | None = None,
    quiet: bool = False,
) -> Path:
    """Return the folder of the teacher of a task, training it first if it is not in the cache.

    Args:
        name: Name in `TASKS`.
        cache_dir: Folder of what is made; see `distill.common.folder_cache.default_cache_dir` if None.
        seed: Seed of the world and the model.
        settings: Hyper-parameters; the defaults if None.
        quiet: Show no progress bar.

    Raises:
        InputError: The cache folder cannot be written.
    """
    task = TASKS[name]
    settings = settings or dataclasses.replace(KindTeacherSettings(), epochs=task.epochs)

    def build(folder: Path) -> None:
        lines = (task_folder(name, cache_dir, seed=seed) / "train.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        train_kind_teacher(name, task.kind, task.labels, rows, settings, seed, folder, quiet, task.range)

    others = ("teacher", "fit", *SHARED, f"tasks/{task.module}")
    key = model_key("tasks/teachers", settings, seed, others, task=name, kind=task.kind, labels=task.labels, range=task.range)
    return cached_folder(f"teacher-{name}", key, build, cache_dir)


def pair_writer(
    cache_dir: str | Path | None = None,
    *,
    seed: int = 0,
    settings: WriterSettings | None = None,
    quiet: bool = False,
) -> Path:
    """Return the folder of the toy writer of pairs, training it on their corpus first if it is not in the cache.

    It is the model of `eval.toy.writer`, and has learnt from lines of one or two sentences.
    Arguments and errors are as in `kind_teacher`.
    """
    settings = settings or WriterSettings()

    def build(folder: Path) -> None:
        train_writer(WorldOfPairs(seed), settings, folder, quiet)

    others = ("fit", *SHARED, "tasks/pairs", "tasks/pair_corpus")
    return cached_folder("writer-pairs", model_key("writer", settings, seed, others), build, cache_dir)


def pair_corpus(cache_dir: str | Path | None = None, *, seed: int = 0) -> Path:
    """Return the file of the corpus of pairs, a line each. Arguments and errors are as in `task_folder`."""
    here = Path(__file__).parents[1]
    sources = source_hash([here / f"{module}.py" for module in (*SHARED, "tasks/pairs", "tasks/pair_corpus")])

    def build(folder: Path) -> None:
        lines = WorldOfPairs(seed).general_corpus(CORPUS_SENTENCES)
        (folder / "corpus.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    return cached_folder("data-corpus-pairs", {"sources": sources, "seed": seed}, build, cache_dir) / "corpus.txt"
