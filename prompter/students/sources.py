"""Sources of the texts that `prompter distill` learns from.

There are three kinds. A saved prompter writes as many texts as needed. The rows of an exported dataset already hold the
teacher's answers. For the user's own texts the teacher must be asked. Each source hands out its rows in numbered portions,
and portion k is always the same, so a resumed run only needs to count.
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
from distill.common.yaml_text import as_written
from distill.teachers.found import FoundTeacher
from eval.data.folders import parquet_files
from eval.data.labelled import load_texts
from eval.data.recipe import RECIPE_FILE, check_dataset
from prompter.exporting.config import NO_TEACHER
from prompter.saved.manifest import PROMPTER_MANIFEST, find_prompter

PORTION_ROWS = 256


@dataclass(frozen=True)
class Portion:
    """Rows of a source.

    Attributes:
        texts: N texts.
        topics: The opening of each text, or "".
        targets: (N,) int64: the target class of each text, or -1.
        logprobs: (N, K) float32: log-probabilities of the teacher, or None if it must still be asked.
    """

    texts: list[str]
    topics: list[str]
    targets: Tensor
    logprobs: Tensor | None = None


class Source(Protocol):
    """A source of texts.

    Attributes:
        name: Name of the source as the user wrote it.
        rows: Number of rows, or None if the source is endless.
        answered: Whether the rows hold the teacher's answers.
        labels: Class names of the answers, or of the prompter's teacher. None if they are unknown.
        teacher: The teacher that the source's files name, or None.
    """

    name: str
    rows: int | None
    answered: bool
    labels: list[str] | None
    teacher: FoundTeacher | None

    def portion(self, number: int) -> Portion | None:
        """Return portion `number` of `PORTION_ROWS` rows. The last portion may be smaller; after it comes None."""
        ...


class PrompterSource:
    """Fresh texts of a saved prompter, equally many for each class.

    Args:
        path: Folder of a run or of a prompter.
        seed: Seed of all random numbers.
        device: auto, cpu, cuda or cuda:N.
        base: Folder or hub id of the base model. Needed if the model has moved.

    Raises:
        InputError: See `Prompter.load`.
    """

    rows: int | None = None
    answered = False

    def __init__(self, path: str, seed: int, device: str, base: str | None = None) -> None:
        from prompter.saved.prompter import Prompter  # slow to import, and only this source needs it

        self.name, self.seed = path, seed
        self.prompter = Prompter.load(path, device=device, base=base)
        self.labels: list[str] | None = self.prompter.labels
        manifest = self.prompter.manifest
        self.teacher: FoundTeacher | None = FoundTeacher(
            manifest["teacher"], find_prompter(path) / PROMPTER_MANIFEST, manifest.get("teacher_labels", [])
        )

    def portion(self, number: int) -> Portion | None:
        """Return batch `number` of the prompter."""
        written = next(self.prompter.stream(seed=self.seed, batch_size=PORTION_ROWS, start=number))
        return Portion(written.texts, written.topics, written.targets)


class DatasetSource:
    """The kept rows of an exported dataset, with its teacher's answers.

    Args:
        path: Folder of the dataset. Its Parquet files lie in `data/`, as `prompter export` writes them, or in the folder.

    Raises:
        InputError: The files cannot be read, have no column `text`, or hold no kept row.
    """

    def __init__(self, path: str) -> None:
        self.name = path
        folder = Path(path)
        files = parquet_files(folder, "train")
        check_dataset(folder, files)
        try:
            data = pyarrow.dataset.dataset([str(file) for file in files], format="parquet")
            if "text" not in data.schema.names:
                raise InputError(
                    f"{path}: has no column 'text', only {', '.join(data.schema.names)}: give an exported dataset"
                )
            features = Features.from_arrow_schema(data.schema)
            columns = [name for name in ("text", "topic", "wanted_label", "teacher_probs") if name in features]
            keep = pyarrow.dataset.field("keep") if "keep" in features else None
            self._table = data.to_table(columns=columns, filter=keep)
        except (ArrowException, OSError) as error:
            raise InputError(f"{path}: cannot be read as Parquet ({error}): export it again") from error
        self.rows: int | None = self._table.num_rows
        if not self.rows:
            raise InputError(f"{path}: holds no kept row: export it with other filters")
        self.answered = "teacher_probs" in columns
        label = features.get("label", features.get("wanted_label"))
        self.labels: list[str] | None = list(label.names) if isinstance(label, ClassLabel) else None
        if self.answered and not isinstance(features["teacher_probs"], SequenceFeature | list):
            raise InputError(f"{path}: column 'teacher_probs' holds no lists of numbers: export it again")
        self.teacher: FoundTeacher | None = _teacher_of(folder / RECIPE_FILE)

    def portion(self, number: int) -> Portion | None:
        """Return kept rows of the dataset, in its order."""
        table = self._table.slice(number * PORTION_ROWS, PORTION_ROWS)
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
    """The user's own texts: a file, a folder with a file per split, or a hub dataset.

    Args:
        path: See `eval.data.labelled`.
        column: Column of the texts.
        split: Split of a folder or hub dataset.

    Raises:
        InputError: See `eval.data.labelled.load_texts`.
    """

    answered = False
    labels: list[str] | None = None
    teacher: FoundTeacher | None = None

    def __init__(self, path: str, column: str, split: str) -> None:
        self.name = path
        self._texts = load_texts(path, column, split)
        self.rows: int | None = len(self._texts)

    def portion(self, number: int) -> Portion | None:
        """Return rows of the file, in its order."""
        texts = self._texts[number * PORTION_ROWS : (number + 1) * PORTION_ROWS]
        return Portion(texts, [""] * len(texts), torch.full((len(texts),), -1)) if texts else None


def open_source(
    path: str, *, seed: int = 0, device: str = "auto", base: str | None = None, column: str = "text", split: str = "train"
) -> Source:
    """Open a source. The files at its place decide which kind it is.

    Args:
        path: Folder of a run, folder of a prompter, exported dataset, text file, or hub dataset.
        seed: Seed of the random numbers of a prompter.
        device: Device of a prompter.
        base: Folder or hub id of a prompter's base model. Needed if the model has moved.
        column: Column of the user's own texts.
        split: Split of the user's own texts.

    Raises:
        InputError: There is no such source, or it cannot be read.
    """
    folder = Path(path)
    if (folder / PROMPTER_MANIFEST).is_file() or (folder / "prompter" / PROMPTER_MANIFEST).is_file():
        return PrompterSource(path, seed, device, base)
    if (folder / "config.yaml").is_file():
        find_prompter(path)  # raises an error that says how to finish the run
    if folder.is_dir() and _is_exported(folder):
        return DatasetSource(path)
    return TextSource(path, column, split)


def _teacher_of(recipe: Path) -> FoundTeacher | None:
    """Return the teacher that a recipe names, or None.

    Raises:
        InputError: The recipe is damaged.
    """
    made = read_yaml(recipe).get("export") if recipe.is_file() else None
    made = made or {}
    if not isinstance(made, dict):
        raise InputError(f"{recipe}: 'export' holds no settings: export it again")
    name = made.get("teacher") or NO_TEACHER
    return None if name == NO_TEACHER else FoundTeacher(name, recipe, as_written(made.get("teacher_labels") or []))


def _is_exported(folder: Path) -> bool:
    """Return whether a folder holds an exported dataset. Other Parquet files may be a copy of any dataset of the hub."""
    files = parquet_files(folder, "train")
    if (folder / RECIPE_FILE).is_file():
        return bool(files)
    try:
        return bool(files) and bool({"teacher_probs", "keep"} & set(pyarrow.parquet.read_schema(files[0]).names))
    except (ArrowException, OSError):
        return True  # reading it as a dataset then raises an error that says what is wrong with the file


def labels_of(sources: Sequence[Source], teacher_labels: list[str] | None) -> list[str]:
    """Return the class names that all sources and the teacher share.

    Args:
        sources: The sources, possibly none.
        teacher_labels: Class names of the teacher. None if no teacher is asked.

    Raises:
        InputError: The names differ or are unknown.
    """
    named = {} if teacher_labels is None else {"the teacher": teacher_labels}
    named |= {source.name: source.labels for source in sources if source.labels is not None}
    if not named:
        raise InputError("from: the class names are unknown: give --teacher, or a dataset with named labels")
    (first, labels), *others = named.items()
    for other, names in others:
        if names != labels:
            raise InputError(f"labels differ: {first} has {labels}, {other} has {names}: give sources of one teacher only")
    return labels
