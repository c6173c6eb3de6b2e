"""The trained models of the toy world: made once, in about a minute at most, and then taken from the cache.

All are ordinary Hugging Face folders, so the rest of the project treats them like models of the hub. The modules `teacher`,
`writer`, `masked_lm` and `rewriter` train them.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers

import distill.common
from distill.common.folder_cache import cached_folder, source_hash
from distill.common.precision import resolve_device
from eval.toy.masked_lm import MaskedLMSettings, train_masked_lm
from eval.toy.rewriter import RewriterSettings, train_rewriter
from eval.toy.teacher import TeacherSettings, train_teacher
from eval.toy.world import TASK_LABELS, shared_world
from eval.toy.writer import WriterSettings, train_writer


def toy_teacher(
    task: str = "sentiment",
    cache_dir: str | Path | None = None,
    *,
    seed: int = 0,
    settings: TeacherSettings | None = None,
    quiet: bool = False,
) -> Path:
    """Return the folder of the teacher of a toy task, training it first if it is not in the cache.

    Args:
        task: "sentiment" or "topic".
        cache_dir: Folder for trained models; see `distill.common.folder_cache.default_cache_dir` if None.
        seed: Seed of the world and the model.
        settings: Hyper-parameters; the defaults if None.
        quiet: Show no progress bar.

    Raises:
        InputError: The task is unknown, or the cache folder cannot be written.
    """
    settings = settings or TeacherSettings()
    if task not in TASK_LABELS:
        shared_world(seed).task(task)  # refuses the task before anything is written

    def build(folder: Path) -> None:
        train_teacher(shared_world(seed), task, settings, folder, quiet)

    return cached_folder(f"teacher-{task}", model_key("teacher", settings, seed, task=task), build, cache_dir)


def toy_writer(
    cache_dir: str | Path | None = None,
    *,
    seed: int = 0,
    settings: WriterSettings | None = None,
    quiet: bool = False,
) -> Path:
    """Return the folder of the toy writer, training it on the general corpus first if it is not in the cache.

    Its tokenizer has one special token, "<|endoftext|>", which starts a text, ends it, and pads.
    Arguments and errors are as in `toy_teacher`.
    """
    settings = settings or WriterSettings()

    def build(folder: Path) -> None:
        train_writer(shared_world(seed), settings, folder, quiet)

    return cached_folder("writer", model_key("writer", settings, seed), build, cache_dir)


def toy_masked_lm(
    cache_dir: str | Path | None = None,
    *,
    seed: int = 0,
    settings: MaskedLMSettings | None = None,
    quiet: bool = False,
) -> Path:
    """Return the folder of the toy masked language model, training it first if it is not in the cache.

    Arguments and errors are as in `toy_teacher`.
    """
    settings = settings or MaskedLMSettings()

    def build(folder: Path) -> None:
        train_masked_lm(shared_world(seed), settings, folder, quiet)

    return cached_folder("masked-lm", model_key("masked_lm", settings, seed, others=("teacher", "writer")), build, cache_dir)


def toy_rewriter(
    cache_dir: str | Path | None = None,
    *,
    seed: int = 0,
    settings: RewriterSettings | None = None,
    quiet: bool = False,
) -> Path:
    """Return the folder of the toy rewriter, training it on the general corpus first if it is not in the cache.

    Its tokenizer has a token for hidden words, "<mask>".
    Arguments and errors are as in `toy_teacher`.
    """
    settings = settings or RewriterSettings()

    def build(folder: Path) -> None:
        train_rewriter(shared_world(seed), settings, folder, quiet)

    # Its word vectors are made by the code of the writer.
    return cached_folder("rewriter", model_key("rewriter", settings, seed, others=("writer",)), build, cache_dir)


def model_key(name: str, settings: Any, seed: int, others: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """Return everything that a trained model depends on.

    Args:
        name: Module of this package that trains it, such as "writer" or "tasks/teachers".
        settings: Its hyper-parameters, a dataclass.
        seed: Seed of the world and the model.
        others: Further modules of this package that make it.
        more: Whatever else it depends on, as JSON values.
    """
    here, shared = Path(__file__).parent, Path(distill.common.__file__).parent
    sources = [here / f"{part}.py" for part in ("words", "grammar", "reviews", "world", "fit", name, *others)]
    sources += [shared / f"{part}.py" for part in ("seeding", "precision", "encode")]
    return {
        **more,
        "seed": seed,
        "settings": dataclasses.asdict(settings),
        "sources": source_hash(sources),
        "versions": {module.__name__: str(module.__version__) for module in (torch, transformers, tokenizers)},
        "device": resolve_device("auto").type,
    }
