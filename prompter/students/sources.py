"""Sources of the texts that `prompter distill` learns from.

There are three kinds. A saved prompter writes as many texts as needed. The rows of an exported dataset already hold the
teacher's answers. For the user's own texts the teacher must be asked. Each source hands out its rows in numbered portions,
and portion k is always the same, so a resumed run only needs to count.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from distill.batch import SyntheticBatch
from distill.common.errors import InputError
from distill.common.files import read_yaml
from distill.common.yaml_text import as_written
from distill.kinds.found import kind_by_columns, kind_in, written
from distill.kinds.kind import Kind
from distill.kinds.names import given_by
from distill.kinds.reading import add_up
from distill.kinds.scores import STEPS
from distill.kinds.tokens import Tokens
from distill.teachers.found import FoundTeacher, found_teacher
from eval.corpora.exported import is_exported, is_text_export
from eval.data.config import PAIR_COLUMN
from eval.data.folders import parquet_files, saved_files
from eval.data.labelled import load_pairs, second_texts_for
from eval.data.reading import report_long
from eval.data.recipe import RECIPE_FILE, check_dataset
from eval.data.tables import class_names, columns_of, read_table, schema_of
from eval.data.text_files import MAX_TEXT, TABLES, kind_of
from prompter.exporting.config import NO_TEACHER
from prompter.exporting.shards import check_tags
from prompter.saved.hub import holds_prompter, is_hub_id
from prompter.saved.manifest import PROMPTER_MANIFEST, find_prompter
from prompter.students.text_exports import TAKEN, read_text_export

PORTION_ROWS = 256


@dataclass(frozen=True)
class Portion:
    """Rows of a source.

    Attributes:
        texts: N texts.
        topics: The opening of each text, or "".
        targets: (N,) int64: the target class of each text, or -1.
        logprobs: (N, C) float32: answers of the teacher, or None if it must still be asked.
        text_pairs: N second texts, or None for single texts.
    """

    texts: list[str]
    topics: list[str]
    targets: Tensor
    logprobs: Tensor | None = None
    text_pairs: list[str] | None = None

    def first(self, count: int) -> "Portion":
        """Return the first rows, at most `count`."""
        parts = (self.texts, self.topics, self.targets, self.logprobs, self.text_pairs)
        return Portion(*(None if part is None else part[:count] for part in parts))  # type: ignore[arg-type, index]

    def batch(self, answers: Tensor, source: str, kind: Kind) -> SyntheticBatch:
        """Return the rows with their answers (N, C)."""
        return SyntheticBatch(self.texts, answers, self.targets, self.topics, source, self.text_pairs, kind=kind)


class Source(Protocol):
    """A source of texts.

    Attributes:
        name: Name of the source as the user wrote it.
        rows: Number of rows, or None if the source is endless.
        answered: Whether the rows hold the teacher's answers.
        labels: Class names of the answers, or of the prompter's teacher. None if they are unknown.
        kind: What the answers are, or those of the prompter's teacher. None if nothing says it.
        teacher: The teacher that the source's files name, or None.
        pairs: Whether it hands out pairs of texts; None if it holds both, and the teacher decides.
        synthetic: Whether its texts were written for the teacher. Else they are the user's own.
    """

    name: str
    rows: int | None
    answered: bool
    labels: list[str] | None
    kind: Kind | None
    teacher: FoundTeacher | None
    pairs: bool | None
    synthetic: bool

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
    answered, synthetic = False, True

    def __init__(self, path: str, seed: int, device: str, base: str | None = None) -> None:
        from prompter.saved.prompter import Prompter  # slow to import, and only this source needs it

        self.name, self.seed = path, seed
        self.prompter = Prompter.load(path, device=device, base=base)
        self.pairs: bool | None = self.prompter.second_texts is not None
        manifest = self.prompter.manifest
        self.kind: Kind | None = kind_in(manifest)
        self.labels: list[str] | None = self.kind.named_by(self.prompter.labels)
        self.teacher: FoundTeacher | None = found_teacher(manifest, find_prompter(path) / PROMPTER_MANIFEST)

    def portion(self, number: int) -> Portion | None:
        """Return batch `number` of the prompter."""
        written = next(self.prompter.stream(seed=self.seed, batch_size=PORTION_ROWS, start=number))
        return Portion(written.texts, written.topics, written.targets, None, written.text_pairs)


class DatasetSource:
    """The kept rows of an exported dataset, with its teacher's answers.

    The dataset may have passed through pandas or `datasets`: shuffled, filtered, in one file, saved with `save_to_disk`. Where
    the class names were lost on the way, those of the recipe beside it count, and then `teacher_labels`.

    Args:
        path: Folder of the dataset, one Parquet or Arrow file, or the JSON lines or CSV of an export. The Parquet files of a
            folder lie in `data/`, as `prompter export` writes them, or in the folder.

    Attributes:
        form: The kind, but for what nothing says: how many texts an answer is about, and the range of a score.
        table: The kept rows.

    Raises:
        InputError: The files cannot be read, have no column `text`, or hold no kept row.
    """

    def __init__(self, path: str) -> None:
        self.name = path
        place = Path(path)
        readable = place.is_file() and kind_of(place) not in TABLES
        recipe = (place.parent if readable else place) / RECIPE_FILE  # none of a single table, which may lie anywhere
        self.kind: Kind | None = _kind_of(recipe)
        tags = list(self.kind.tags) if isinstance(self.kind, Tokens) else []
        declared: dict[str, list[str]] = {}
        named = None
        if readable:
            table, named = read_text_export(place, _labels_of(recipe), tags)
            declared = {"tags": named or []}
        else:
            files = _dataset_files(place)
            if place.is_dir():
                check_dataset(place, files)
            if "text" not in (present := columns_of(files)) and present:
                raise InputError(f"{path}: has no column 'text', only {', '.join(present)}: give an exported dataset")
            table = read_table(path, files, TAKEN)
            declared = class_names(table.schema)
        self.table = _kept(path, table)
        self.rows: int | None = self.table.num_rows
        if not self.rows:
            raise InputError(f"{path}: holds no kept row: export it with other filters")
        self.pairs: bool | None = PAIR_COLUMN in table.column_names
        self.synthetic = "wanted_label" in table.column_names  # what `prompter label` writes was not asked for
        self.form = self.kind or kind_by_columns(table.column_names)
        if self.form.of_words and self.kind is None:
            self.form = Tokens(tuple(declared.get("tags", [])))
        self.answered = self.form.stored_in in table.column_names
        targets = named or declared.get("label") or declared.get("wanted_label") or _labels_of(recipe)
        if self.form.stored_in == "score":  # a number needs no names
            targets = targets or list(STEPS)
        self.labels: list[str] | None = self.form.named_by(targets) if targets else None
        self.classes = _answered_classes(path, self.table, self.labels, self.form) if self.answered else None
        self.teacher: FoundTeacher | None = _teacher_of(recipe)

    def portion(self, number: int) -> Portion | None:
        """Return kept rows of the dataset, in its order."""
        table = self.table.slice(number * PORTION_ROWS, PORTION_ROWS)
        if not (rows := table.num_rows):
            return None
        names = table.column_names
        topics = table.column("topic").to_pylist() if "topic" in names else [""] * rows
        targets = table.column("wanted_label").to_pylist() if "wanted_label" in names else [None] * rows
        logprobs = None
        if self.answered:
            values = table.column(self.form.stored_in).to_pylist()
            if not self.form.of_words:
                values = np.array(values, dtype=np.float32).reshape(rows, -1)
            logprobs = self.form.restored(values)
        classes = torch.tensor([_target(value) for value in targets], dtype=torch.int64)
        topics = [topic if isinstance(topic, str) else "" for topic in topics]
        seconds = table.column(PAIR_COLUMN).to_pylist() if self.pairs else None
        return Portion(table.column("text").to_pylist(), topics, classes, logprobs, seconds)


def _dataset_files(place: Path) -> list[Path]:
    if place.is_dir():
        return saved_files(place, "train") or parquet_files(place, "train")
    return [place] if kind_of(place) in TABLES and place.is_file() else []


def _kept(path: str, table: pa.Table) -> pa.Table:
    """Return the kept rows whose texts are not too long.

    Raises:
        InputError: A column holds something else than it should.
    """
    texts = [name for name in ("text", PAIR_COLUMN) if name in table.column_names]
    for name in texts:
        kind = table.schema.field(name).type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise InputError(f"{path}: column '{name}' holds {kind}, expected text: export it again")
    if "keep" in table.column_names:
        keep = table.column("keep")
        if not pa.types.is_boolean(keep.type):
            raise InputError(f"{path}: column 'keep' holds {keep.type}, expected true or false: export it again")
        table = table.filter(keep)
    for name in texts:
        if missing := table.column(name).null_count:
            raise InputError(f"{path}: column '{name}' holds nothing in {missing} rows: remove them")
    try:
        table.validate(full=True)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: is damaged ({error}): copy or export it again") from error
    short = table
    for name in texts:
        short = short.filter(pc.less_equal(pc.utf8_length(short.column(name)), MAX_TEXT))
    if short.num_rows < table.num_rows:
        report_long(path, table.num_rows - short.num_rows, table.num_rows)
    return short


def _answered_classes(path: str, table: pa.Table, labels: list[str] | None, of: Kind) -> int:
    """Return how many numbers the answers have, which are of a kind.

    Raises:
        InputError: They are not one number in 0..1 for each class in every row, or of a score one finite number.
    """
    answers = table.column(of.stored_in).combine_chunks()
    kind = answers.type
    if of.stored_in == "score":
        numbers = pa.types.is_floating(kind) or pa.types.is_integer(kind)
        if not numbers or answers.null_count or not pc.all(pc.is_finite(answers)).as_py():
            raise InputError(f"{path}: column 'score' holds something else than finite numbers: export it again")
        return 1
    if of.of_words:
        return check_tags(path, answers, labels)
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not lists or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise InputError(f"{path}: column 'teacher_probs' holds no lists of numbers: export it again")
    lengths = pc.unique(pc.list_value_length(answers)).to_pylist()
    wanted = f"{len(labels)} probabilities" if labels else "equally many probabilities"
    if len(lengths) > 1 or (labels and lengths != [len(labels)]) or (lengths[0] or 0) < of.fewest:
        found = ", ".join("nothing" if length is None else str(length) for length in lengths[:5])
        raise InputError(f"{path}: column 'teacher_probs' holds {found}, expected {wanted} in each row: remove the other rows")
    values = answers.flatten()
    inside = pc.and_(pc.greater_equal(values, 0), pc.less_equal(values, 1.001))
    if values.null_count or not pc.all(pc.fill_null(inside, False)).as_py():
        raise InputError(f"{path}: column 'teacher_probs' holds numbers that are no probabilities: export it again")
    if of.problem_type is None and 2 * add_up(values.to_numpy(zero_copy_only=False).reshape(-1, lengths[0])).sum() < len(
        answers
    ):
        raise InputError(
            f"{path}: column 'teacher_probs' holds numbers that mostly do not add up to 1: if they are of several labels, add "
            "the column 'labels', with a list of the names of each text's labels"
        )
    return int(lengths[0])


def _target(value: Any) -> int:
    """Return a target class; -1 for none. pandas turns whole numbers into others where one is missing."""
    return int(value) if isinstance(value, int | float) and 0 <= value < np.inf else -1


class TextSource:
    """The user's own texts: a file, a folder with a file per split, or a hub dataset.

    Args:
        path: See `eval.data.labelled`.
        column: Column of the texts.
        split: Split of a folder or hub dataset.
        pair_column: Column of the second texts; "" takes the column `text_pair` if there is one.

    Raises:
        InputError: See `eval.data.labelled.load_pairs`.
    """

    answered, synthetic = False, False
    labels: list[str] | None = None
    kind: Kind | None = None
    teacher: FoundTeacher | None = None
    pairs: bool | None = None

    def __init__(self, path: str, column: str, split: str, pair_column: str = "") -> None:
        self.name, self.pair_column = path, pair_column
        self._texts, self._pairs = load_pairs(path, column, split, pair_column)
        self.rows: int | None = len(self._texts)

    def settle(self, pairs: bool) -> None:
        """Hand out pairs, or single texts.

        Raises:
            InputError: See `eval.data.labelled.second_texts_for`.
        """
        self._pairs, self.pairs = second_texts_for(pairs, self._pairs, self.name, self.pair_column), pairs

    def portion(self, number: int) -> Portion | None:
        """Return rows of the file, in its order."""
        part = slice(number * PORTION_ROWS, (number + 1) * PORTION_ROWS)
        texts, pairs = self._texts[part], None if self._pairs is None else self._pairs[part]
        return Portion(texts, [""] * len(texts), torch.full((len(texts),), -1), None, pairs) if texts else None


def open_source(
    path: str,
    *,
    seed: int = 0,
    device: str = "auto",
    base: str | None = None,
    column: str = "text",
    split: str = "train",
    pair_column: str = "",
) -> Source:
    """Open a source. The files at its place decide which kind it is.

    Args:
        path: Folder of a run, folder or hub id of a prompter, exported dataset, text file, or hub dataset.
        seed: Seed of the random numbers of a prompter.
        device: Device of a prompter.
        base: Folder or hub id of a prompter's base model. Needed if the model has moved.
        column: Column of the user's own texts.
        split: Split of the user's own texts.
        pair_column: Column of their second texts; see `TextSource`.

    Raises:
        InputError: There is no such source, or it cannot be read.
    """
    folder = Path(path)
    local = any((place / PROMPTER_MANIFEST).is_file() for place in (folder, folder / "prompter"))
    if local or (is_hub_id(path) and holds_prompter(path)):
        return PrompterSource(path, seed, device, base)
    if (folder / "config.yaml").is_file():
        find_prompter(path)  # raises an error that says how to finish the run
    if _is_exported(folder):
        return DatasetSource(path)
    return TextSource(path, column, split, pair_column)


def _teacher_of(recipe: Path) -> FoundTeacher | None:
    """Return the teacher that a recipe names, or None.

    Raises:
        InputError: The recipe is damaged.
    """
    made = (read_yaml(recipe).get("export") if recipe.is_file() else None) or {}
    if not isinstance(made, dict):
        raise InputError(f"{recipe}: 'export' holds no settings: export it again")
    if kind := _kind_of(recipe):
        made = made | written(kind)
    name = made.get("teacher") or NO_TEACHER
    labels = {"teacher_labels": as_written(made.get("teacher_labels") or [])}
    return None if name == NO_TEACHER else found_teacher(made | labels | {"teacher": name}, recipe)


def _kind_of(recipe: Path) -> Kind | None:
    """Return the kind that a dataset's recipe names, or None."""
    made = read_yaml(recipe).get("prompter") if recipe.is_file() else None
    return kind_in(made) if given_by(made) else None


def _labels_of(recipe: Path) -> list[str] | None:
    """Return the class names in a dataset's recipe, or None."""
    made = read_yaml(recipe).get("prompter") if recipe.is_file() else None
    labels = as_written(made.get("labels")) if isinstance(made, dict) else None
    return labels if isinstance(labels, list) and labels and all(isinstance(name, str) for name in labels) else None


def _is_exported(place: Path) -> bool:
    """Return whether a folder or file holds an exported dataset; other Parquet files may be any dataset of the hub."""
    if is_text_export(place):
        return True
    files = _dataset_files(place)
    if not files or (place / RECIPE_FILE).is_file():
        return bool(files)
    schema = schema_of(files)  # None: reading it as a dataset raises an error that says what is wrong with the file
    return schema is None or is_exported(schema)
