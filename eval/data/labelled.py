"""Labelled texts for evaluation, and texts alone.

Labelled data serves reports only: nothing is trained on it or selected by it. Sources are what `eval.data.reading`
reads: JSON, CSV, Parquet and Arrow files, folders with one file per split, hub ids, and `toy:TASK`.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.common.errors import InputError
from distill.kinds.names import OF_PAIRS, OF_SCORES
from eval.data.config import AUTO, LOWER_IS_BETTER, METRICS_OF_KIND, PAIR_COLUMN, EvaluationDataSettings
from eval.data.folders import split_files
from eval.data.labels import class_indices
from eval.data.reading import Columns, MissingColumn, read_columns, report_long, text_lines
from eval.data.targets.label_sets import label_sets
from eval.data.targets.lists import list_in
from eval.data.targets.scores import scores
from eval.data.targets.tags import tags, with_words
from eval.data.text_files import DATA_FILES, MAX_TEXT, kind_of

if TYPE_CHECKING:
    from torch import Tensor

LOGGER = logging.getLogger("prompter")

OF_TWO = "--kind pair (score_pair, if it gives a number)"
"""How a teacher of two texts is named, for messages."""


@dataclass
class EvaluationData:
    """Labelled texts, and the teacher's answers once it was asked.

    Attributes:
        texts: N texts.
        labels: N labels: class indices in 0..K-1; of the kind `multi_label` rows of K times 0 or 1; of `score` numbers; of
            `tokens` the tag indices of each text's words.
        teacher_log_probs: The teacher's answers, float32 on the CPU, NaN in rows without a usable answer; log-probabilities
            (N, K) of classes, for the other kinds see `eval.classifiers.kinds`. None before the teacher is asked. Students can
            be compared with the teacher again and again while it is asked only once.
        text_pairs: N second texts for pair tasks; None for single texts.
        class_names: Class names as the data itself declares and numbers them; None if it declares none.
        kind: Kind of classifier that the labels are for, one of `eval.data.config.METRICS_OF_KIND`.
        names: The K names of classes, labels or tags that the labels number.
        words: The words of the N texts, for `tokens`; the texts are these with spaces between them.
        metric: Metric that results are compared by; "" for the first headline metric of the kind.
    """

    texts: list[str]
    labels: list[Any]
    teacher_log_probs: "Tensor | None" = None
    text_pairs: list[str] | None = None
    class_names: list[str] | None = None
    kind: str = "single"
    names: list[str] = field(default_factory=list)
    words: list[list[str]] | None = None
    metric: str = ""

    def compared_by(self, metric: str) -> "EvaluationData":
        """Name the metric that results are compared by, and return these data.

        Args:
            metric: The setting `eval_metric`.

        Raises:
            InputError: Labels of this kind have no such metric.
        """
        known = METRICS_OF_KIND[self.kind]
        if metric != AUTO and metric not in known:
            raise InputError(
                f"eval_metric is '{metric}', which a classifier of the kind '{self.kind}' does not have: give one of "
                f"{', '.join(name for name in known if name not in LOWER_IS_BETTER)}"
            )
        self.metric = "" if metric == AUTO else metric
        return self

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.texts)

    def part(self, first: int, last: int) -> "EvaluationData":
        """Return the rows from `first` up to before `last`, without the teacher's answers."""
        rows = slice(first, last)
        return replace(
            self,
            texts=self.texts[rows],
            labels=self.labels[rows],
            teacher_log_probs=None,
            text_pairs=self.text_pairs and self.text_pairs[rows],
            words=self.words and self.words[rows],
        )


def load_labelled(
    source: str | Path,
    split: str,
    text_column: str,
    label_column: str | Sequence[str],
    labels: Sequence[str],
    limit: int = 0,
    seed: int = 0,
    *,
    pair_column: str | None = None,
    revision: str | None = None,
    kind: str = "",
    span: tuple[float, float] | None = None,
) -> EvaluationData:
    """Read labelled texts, or pairs of them.

    Args:
        source: File, folder, hub id, or `toy:TASK`.
        split: Split of a folder, hub id or toy task; not used for a single file.
        text_column: Column of the texts; for the kind `tokens` of their words.
        label_column: Column of the labels, see `eval.data.labels` and `eval.data.targets`; of the kind `multi_label` also one
            column for each label, in their order.
        labels: The teacher's K class names, in the order of its outputs.
        limit: Number of rows to draw without repetition, kept in their order; 0 for all.
        seed: Seed of that draw.
        pair_column: Column of the second texts, for pair tasks.
        revision: Branch or commit of a hub id; the newest if None.
        kind: Kind of the labels; by default `pair` with a column of second texts, else `single`.
        span: Lowest and highest score allowed, for the kind `score`.

    Raises:
        InputError: The data cannot be read, a column is missing, a text is not a string, a second text is empty, a label is
            none of the kind's, or the data has no rows.
        NotReachable: The data is on the hub, which cannot be reached.
    """
    kind = kind or ("single" if pair_column is None else "pair")
    label_columns = [label_column] if isinstance(label_column, str) else list(label_column)
    text_columns = [text_column] if pair_column is None else [text_column, pair_column]
    try:
        columns = read_columns(str(source), split, [*text_columns, *label_columns], revision=revision)
    except MissingColumn as missing:
        if kind != "multi_label" or len(label_columns) > 1 or missing.name != label_columns[0]:
            raise
        flag = f"--eval_label_column {','.join(labels)[:1000]}"
        hint = f"Where each label has a column of zeros and ones: {flag}; in a task's file: label_columns"
        raise InputError(f"{missing} {hint}") from None
    words: list[list[str]] | None = None
    if kind == "tokens":
        columns, words = with_words(columns, text_column)
        texts = [" ".join(row) for row in words]
    else:
        columns = columns.without_long_texts(text_columns)
        texts = columns.texts(text_column)
    pairs = None if pair_column is None else _second_texts(columns, pair_column)
    targets: list[Any]
    if kind == "multi_label":
        targets = label_sets(columns, label_columns, list(labels))
    elif kind == "score":
        targets = scores(columns, label_columns[0], span)
    elif words is not None:
        targets = tags(columns, label_columns[0], list(labels), words)
    else:
        targets = class_indices(columns, label_columns[0], list(labels))
    if limit and limit < len(texts):
        drawn = _drawn(len(texts), limit, seed)
        texts, targets = [texts[i] for i in drawn], [targets[i] for i in drawn]
        pairs = None if pairs is None else [pairs[i] for i in drawn]
        words = None if words is None else [words[i] for i in drawn]
    return EvaluationData(
        texts,
        targets,
        text_pairs=pairs,
        class_names=columns.class_names.get(label_columns[0]) if len(label_columns) == 1 else None,
        kind=kind,
        names=list(labels),
        words=words,
    )


def load_evaluation(settings: EvaluationDataSettings, labels: Sequence[str], kind: str = "single") -> EvaluationData | None:
    """Read the labelled data that settings name; None where they name none.

    Args:
        settings: Names of the data and its columns.
        labels: The teacher's K class names, in the order of its outputs.
        kind: Name of the teacher's kind.

    Raises:
        InputError: See `load_labelled`; second texts are named for a teacher of single texts; or the kind has no such
            metric.
    """
    if not settings.eval_data:
        return None
    text_column, column = settings.columns(kind)
    return load_labelled(
        settings.eval_data,
        settings.eval_split,
        text_column,
        [part.strip() for part in column.split(",")] if kind == "multi_label" and "," in column else column,
        labels,
        settings.eval_limit,
        pair_column=settings.pair_column(kind in OF_PAIRS),
        kind="score" if kind in OF_SCORES else kind,
    ).compared_by(settings.eval_metric)


def _second_texts(columns: Columns, name: str) -> list[str]:
    """Return a column of texts, none of them empty."""
    texts = columns.texts(name)
    for row, text in enumerate(texts):
        if not text.strip():
            raise InputError(f"{columns.at(row)}: column '{name}' is empty, expected a second text; fix or remove the row.")
    return texts


class _NoText(str):
    """Stands for a second text that is empty or no text, until it is known whether anybody reads it."""

    fault: str


def _second_text(columns: Columns, name: str, row: int) -> str:
    try:
        return _second_texts(columns.take([row]), name)[0]
    except InputError as error:
        missing = _NoText()
        missing.fault = str(error)
        return missing


def load_texts(source: str | Path, text_column: str, split: str = "train") -> list[str]:
    """Read texts alone; labels beside them are ignored.

    Args:
        source: File, folder, hub id, or `toy:TASK`; or a text file (`.txt`, also `.gz`, `.xz` or `.bz2`) with one text per
            line, itself or in a folder without other files of the split.
        text_column: Column of the texts, or of the words of texts, which are joined by spaces.
        split: Split of a folder, hub id or toy task.

    Raises:
        InputError: As `load_labelled`.
    """
    path = _lines_file(source, split)
    if path is None:
        return _texts(read_columns(str(source), split, [text_column]), text_column)
    lines = [line if len(line) <= MAX_TEXT else None for line in text_lines(path) if line.strip()]
    texts = [line for line in lines if line is not None]
    if not lines:
        raise InputError(f"{source}: holds no text; give at least one line.")
    if len(texts) < len(lines):
        report_long(str(source), len(lines) - len(texts), len(lines))
    return texts


def _lines_file(source: str | Path, split: str) -> Path | None:
    """Return the file of one text per line that is meant; None for every other source.

    Raises:
        InputError: The file is of a kind that is not read, or the folder has no file of the split.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        path = split_files(path, split, lines=True)[0]
    elif path.is_file() and not kind_of(path):
        raise InputError(
            f"{source}: files of this kind are not read; expected .txt with one text per line, or one of {DATA_FILES}."
        )
    return path if kind_of(path) == ".txt" else None


def _texts(columns: Columns, name: str) -> list[str]:
    """Return a column of texts, or of lists of words as data with tags holds them; too long ones are left out.

    Where every value of a text file spells such a list, as pandas writes them into CSV, lists they are.
    """
    values = columns.values[name]
    if values and (isinstance(values[0], list | tuple) or all(map(_are_words, values))):
        return [" ".join(words) for words in with_words(columns, name)[1]]
    return columns.without_long_texts([name]).texts(name)


def _are_words(value: Any) -> bool:
    words = list_in(value)
    return words is not None and all(isinstance(word, str) for word in words)


def load_pairs(
    source: str | Path, text_column: str, split: str = "train", pair_column: str = ""
) -> tuple[list[str], list[str] | None]:
    """Read texts with their second texts; labels beside them are ignored.

    Args:
        source: See `load_texts`.
        text_column: Column of the texts.
        split: Split of a folder, hub id or toy task.
        pair_column: Column of the second texts; "" takes the column `text_pair` if there is one and it is not the texts'.

    Returns:
        N texts, and N second texts, or None where the source has single texts. Where nobody named the column, a second text
        that is empty or none is "": a classifier of single texts does not read it, and `second_texts_for` refuses it for
        others.

    Raises:
        InputError: As `load_texts`; or a second text of the named column is empty.
    """
    if _lines_file(source, split) is not None:
        if pair_column:
            raise InputError(
                f"{source}: one text per line has no column '{pair_column}' of second texts; give JSON lines, CSV or Parquet."
            )
        return load_texts(source, text_column, split), None
    wanted = [text_column, *([pair_column] if pair_column else [])]
    found = read_columns(str(source), split, wanted, optional=() if pair_column else (PAIR_COLUMN,))
    second = pair_column or (PAIR_COLUMN if PAIR_COLUMN in found.values and text_column != PAIR_COLUMN else "")
    if not second:
        return _texts(found, text_column), None
    found = found.without_long_texts([text_column, second])
    try:
        return found.texts(text_column), _second_texts(found, second)
    except InputError:
        if pair_column:
            raise
    return found.texts(text_column), [_second_text(found, second, row) for row in range(len(found))]


def second_texts_for(pairs: bool, second_texts: list[str] | None, source: str, pair_column: str) -> list[str] | None:
    """Return the second texts that a classifier is asked about; None for a classifier of single texts.

    Args:
        pairs: Whether it classifies pairs of texts.
        second_texts: What `load_pairs` found.
        source: The source, for messages.
        pair_column: The column of second texts that the user named, or "".

    Raises:
        InputError: It classifies pairs and there are none, or one is empty; or the user named a column for a classifier of
            single texts.
    """
    if pairs and second_texts is None:
        raise InputError(
            f"{source}: holds single texts, but the teacher classifies pairs of texts: name the column of the second texts "
            "with --text_pair_column."
        )
    for second in second_texts or [] if pairs else []:
        if isinstance(second, _NoText):
            raise InputError(second.fault)
    if not pairs and pair_column:
        raise InputError(
            f"text_pair_column is '{pair_column}', but the teacher classifies single texts: leave it out, or give {OF_TWO}."
        )
    if not pairs and second_texts is not None:
        LOGGER.warning(
            "%s: %s",
            source,
            f"its column '{PAIR_COLUMN}' is not read: the teacher classifies single texts; if it reads two, give {OF_TWO}",
        )
    return second_texts if pairs else None


def _drawn(rows: int, limit: int, seed: int) -> list[int]:
    """Draw row indices without repetition and return them in ascending order."""
    import torch  # task files are read without it

    from distill.common.seeding import random_generator

    drawn = torch.randperm(rows, generator=random_generator(seed, "evaluation rows"))[:limit]
    indices: list[int] = drawn.sort().values.tolist()
    return indices
