"""Where the texts come from that `prompter distill` learns from.

Three kinds: a saved prompter, which writes as many as are asked for; an exported dataset, whose rows carry the teacher's
answers already; and text of the user's own, which the teacher has to be asked about. Each hands out its rows in numbered
portions, and portion k is the same whenever it is asked for, so that a run resumes by counting.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow.dataset
import pyarrow.parquet
import torch
from datasets import ClassLabel, Features
from datasets import Sequence as SequenceFeature
from pyarrow import ArrowException
from torch import Tensor

from distill.common.errors import InputError
from distill.common.files import read_yaml
from eval.data.labelled import load_texts
from eval.data.reading import parquet_files
from prompter.exporting.config import NO_TEACHER
from prompter.exporting.folder import RECIPE_FILE
from prompter.saved.manifest import PROMPTER_MANIFEST, find_prompter

PORTION = 256
"""Rows per portion."""


@dataclass(frozen=True)
class Portion:
    """Rows of a source.

    Attributes:
        texts: N texts.
        topics: The openings they were grown from, or "".
        wanted: (N,) int64, the class asked for, or -1.
        logprobs: (N, K) float32, the teacher's answers, or None where it is yet to be asked.
    """

    texts: list[str]
    topics: list[str]
    targets: Tensor
    logprobs: Tensor | None = None


class Source(Protocol):
    """A source of texts.

    Attributes:
        name: As the user wrote it.
        rows: How many there are, or None where there is no end to them.
        answered: Whether the rows carry the teacher's answers.
        labels: Class names of those answers, or of the prompter's teacher; None where nothing tells them.
        teacher: Name of the teacher that the source was made for, or None.
        teacher_labels: The class names that were given for it, where it does not bring its own.
    """

    name: str
    rows: int | None
    answered: bool
    labels: list[str] | None
    teacher: str | None
    teacher_labels: list[str]

    def portion(self, number: int) -> Portion | None:
        """Rows `number * PORTION` to `(number + 1) * PORTION`, fewer at the end, None behind it."""
        ...


class PrompterSource:
    """Fresh texts of a saved prompter, each class asked for equally often.

    Args:
        path: A run's folder or the prompter's own.
        seed: Seed of every draw.
        device: Where it writes.
        base: Folder or hub id of the base model where it has moved.

    Raises:
        InputError: As `Prompter.load`.
    """

    rows: int | None = None
    answered = False

    def __init__(self, path: str, seed: int, device: str, base: str | None = None) -> None:
        from prompter.saved.prompter import Prompter  # heavy, and only this source needs it

        self.name, self.seed = path, seed
        self.prompter = Prompter.load(path, device=device, base=base)
        self.labels: list[str] | None = self.prompter.labels
        self.teacher: str | None = self.prompter.manifest["teacher"]
        self.teacher_labels: list[str] = self.prompter.manifest.get("teacher_labels", [])

    def portion(self, number: int) -> Portion | None:
        """Texts of the prompter's batch `number`."""
        written = next(self.prompter.stream(seed=self.seed, batch_size=PORTION, start=number))
        return Portion(written.texts, written.topics, written.targets)


class DatasetSource:
    """The kept rows of an exported dataset, with the teacher's answers it holds.

    Args:
        path: The dataset's folder, as `prompter export` writes it: Parquet files in `data/`, or beside each other.

    Raises:
        InputError: The files cannot be read, have no column `text`, or no row is kept.
    """

    def __init__(self, path: str) -> None:
        self.name = path
        folder = Path(path)
        files = parquet_files(folder, "train")
        try:
            data = pyarrow.dataset.dataset([str(file) for file in files], format="parquet")
            if "text" not in data.schema.names:
                raise InputError(
                    f"{path}: has no column 'text', only {', '.join(data.schema.names)}; give an exported dataset."
                )
            features = Features.from_arrow_schema(data.schema)
            columns = [name for name in ("text", "topic", "wanted_label", "teacher_probs") if name in features]
            keep = pyarrow.dataset.field("keep") if "keep" in features else None
            self._table = data.to_table(columns=columns, filter=keep)
        except (ArrowException, OSError) as error:
            raise InputError(f"{path}: cannot be read as Parquet ({error}); export it again.") from error
        self.rows: int | None = self._table.num_rows
        if not self.rows:
            raise InputError(f"{path}: holds no kept row; export one with at least one.")
        self.answered = "teacher_probs" in columns
        label = features.get("label", features.get("wanted_label"))
        self.labels: list[str] | None = list(label.names) if isinstance(label, ClassLabel) else None
        if self.answered and not isinstance(features["teacher_probs"], SequenceFeature | list):
            raise InputError(f"{path}: column 'teacher_probs' is no list of numbers; export it again.")
        made = read_yaml(folder / RECIPE_FILE).get("export", {}) if (folder / RECIPE_FILE).is_file() else {}
        self.teacher: str | None = None if made.get("teacher") == NO_TEACHER else made.get("teacher")
        self.teacher_labels: list[str] = made.get("teacher_labels", [])

    def portion(self, number: int) -> Portion | None:
        """Kept rows of the dataset, in its order."""
        table = self._table.slice(number * PORTION, PORTION)
        rows = table.num_rows
        if not rows:
            return None
        names = table.column_names
        topics = table.column("topic").to_pylist() if "topic" in names else [""] * rows
        targets = table.column("wanted_label").to_pylist() if "wanted_label" in names else [None] * rows
        logprobs = None
        if self.answered:
            probabilities = np.array(table.column("teacher_probs").to_pylist(), dtype=np.float32)
            logprobs = torch.from_numpy(probabilities).clamp_min(1e-7).log().log_softmax(dim=1)
        classes = torch.tensor([-1 if value is None else value for value in targets], dtype=torch.int64)
        return Portion(table.column("text").to_pylist(), [topic or "" for topic in topics], classes, logprobs)


class TextSource:
    """Text of the user's own: a file, a folder with a file per split, or a hub dataset.

    Args:
        path: See `eval.data.labelled`.
        column: Column of the texts.
        split: Split of a folder or hub dataset.

    Raises:
        InputError: As `eval.data.labelled.load_texts`.
    """

    answered = False
    labels: list[str] | None = None
    teacher: str | None = None
    teacher_labels: list[str] = []

    def __init__(self, path: str, column: str, split: str) -> None:
        self.name = path
        self._texts = load_texts(path, column, split)
        self.rows: int | None = len(self._texts)

    def portion(self, number: int) -> Portion | None:
        """Rows of the file, in its order."""
        texts = self._texts[number * PORTION : (number + 1) * PORTION]
        return Portion(texts, [""] * len(texts), torch.full((len(texts),), -1)) if texts else None


def open_source(
    path: str, *, seed: int = 0, device: str = "auto", base: str | None = None, column: str = "text", split: str = "train"
) -> Source:
    """Open what a `--from` names, told by what lies there.

    Args:
        path: A run's folder, a prompter's folder, an exported dataset, a text file, or a hub dataset.
        seed: Seed of a prompter's draws.
        device: Where a prompter writes.
        base: Where a prompter's base model has moved to.
        column: Column of the user's own texts.
        split: Split of the user's own texts.

    Raises:
        InputError: There is nothing of the kind, or it cannot be read.
    """
    folder = Path(path)
    if (folder / PROMPTER_MANIFEST).is_file() or (folder / "prompter" / PROMPTER_MANIFEST).is_file():
        return PrompterSource(path, seed, device, base)
    if (folder / "config.yaml").is_file():
        find_prompter(path)  # tells how to finish the run
    if folder.is_dir() and _is_exported(folder):
        return DatasetSource(path)
    return TextSource(path, column, split)


def _is_exported(folder: Path) -> bool:
    """Whether a folder holds a dataset of ours, and not just Parquet files, which may be a copy of any dataset of the hub."""
    files = parquet_files(folder, "train")
    if (folder / RECIPE_FILE).is_file():
        return bool(files)
    try:
        return bool(files) and bool({"teacher_probs", "keep"} & set(pyarrow.parquet.read_schema(files[0]).names))
    except (ArrowException, OSError):
        return True  # which says what is wrong with the file


def labels_of(sources: Sequence[Source], teacher_labels: list[str] | None) -> list[str]:
    """The class names that all sources and the teacher share.

    Args:
        sources: At least one.
        teacher_labels: The teacher's, None where none is asked.

    Raises:
        InputError: Two of them differ, or nothing tells the names.
    """
    named = {} if teacher_labels is None else {"the teacher": teacher_labels}
    named |= {source.name: source.labels for source in sources if source.labels is not None}
    if not named:
        raise InputError("from: nothing tells the class names; give --teacher, or a dataset whose labels have names.")
    (first, labels), *others = named.items()
    for other, names in others:
        if names != labels:
            raise InputError(f"labels differ: {first} has {labels}, {other} has {names}; mix what one teacher answers only.")
    return labels
