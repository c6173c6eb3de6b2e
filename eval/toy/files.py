"""The toy tasks as files, which the ordinary readers read: labelled train and test sets, and the general corpus."""

import json
from pathlib import Path

from distill.common.errors import InputError
from distill.common.folder_cache import cached_folder, source_hash
from eval.toy.models import toy_masked_lm, toy_rewriter, toy_teacher, toy_writer
from eval.toy.tasks.made import kind_teacher, pair_corpus, pair_writer, task_folder
from eval.toy.tasks.table import TASKS
from eval.toy.tasks.world import CORPUS_SENTENCES
from eval.toy.world import TASK_LABELS, shared_world


def toy_path(name: str, kind: str, quiet: bool = False) -> Path:
    """Return the cached file or folder behind a name such as `toy:sentiment`.

    Args:
        name: `toy` (language models and corpus) or `toy:TASK`. `toy:pairs` has a writer and a corpus of its own.
        kind: `teacher`, `writer`, `masked-lm`, `rewriter`, `train`, `test` or `corpus`.
        quiet: Show no progress bar while a model is trained.

    Raises:
        InputError: The toy task or split does not exist, or the cache cannot be written.
    """
    task = name.partition(":")[2]
    known, of_all = [*TASK_LABELS, *TASKS], kind in ("writer", "masked-lm", "rewriter", "corpus")
    if task not in known and (task or not of_all):
        tasks = ", ".join("toy:" + task for task in known)
        raise InputError(f"'{name}' is not a toy task: expected {'toy, or ' * of_all}one of {tasks}")
    if kind == "writer":
        return pair_writer(quiet=quiet) if task == "pairs" else toy_writer(quiet=quiet)
    if kind == "masked-lm":
        return toy_masked_lm(quiet=quiet)
    if kind == "rewriter":
        return toy_rewriter(quiet=quiet)
    if kind == "corpus":
        return pair_corpus() if task == "pairs" else _files("") / "corpus.txt"
    if kind not in ("teacher", "train", "test"):
        raise InputError(f"'{name}' has the splits train and test, no '{kind}'; name one of them.")
    if kind == "teacher":
        return kind_teacher(task, quiet=quiet) if task in TASKS else toy_teacher(task, quiet=quiet)
    return (task_folder(task) if task in TASKS else _files(task)) / f"{kind}.jsonl"


def _files(task: str) -> Path:
    here = Path(__file__).parent
    sources = source_hash([here / f"{module}.py" for module in ("words", "grammar", "reviews", "world", "files")])

    def build(folder: Path) -> None:
        world = shared_world(0)
        if not task:
            (folder / "corpus.txt").write_text("\n".join(world.general_corpus(CORPUS_SENTENCES)) + "\n", encoding="utf-8")
            return
        data = world.task(task)
        parts = {"train": (data.train_texts, data.train_labels), "test": (data.test_texts, data.test_labels)}
        for split, (texts, labels) in parts.items():
            rows = [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]
            (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    key = {"sources": sources} if task else {"sources": sources, "sentences": CORPUS_SENTENCES}
    return cached_folder(f"data-{task or 'corpus'}", key, build)
