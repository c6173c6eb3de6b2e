"""`prompter label`: ask a teacher about texts of the user's own, and write its answers down as a dataset.

The dataset is like that of an export: Parquet that `datasets` and pandas open, rows that are marked and never deleted, a card,
and a recipe. So `prompter distill --from` takes it. The loop commits batch by batch into an `ExportFolder`. A killed call goes
on where it stopped, asks about no text twice, and ends with the same bytes.
"""

import hashlib
import shlex
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from datasets import Features, Value

from distill.common.errors import InputError, WorthlessError
from distill.common.files import read_object, write_text
from distill.common.terminal import printable
from distill.kinds.found import kind_in, written
from distill.kinds.kind import Kind
from distill.teachers.names import teacher_name
from distill.teachers.prediction_cache import CachedTeacher
from eval.corpora.duplicates import DuplicateIndex
from eval.data.config import PAIR_COLUMN
from eval.data.labelled import load_pairs, second_texts_for
from prompter.exporting.dataset_card import dataset_header
from prompter.exporting.folder import ExportFolder, ExportProgress
from prompter.exporting.marks import Marks, answered
from prompter.exporting.opening import NOTED_TEACHER, check_same_teacher, go_on_counting, sample_of_teacher
from prompter.exporting.shards import ABOUT, CONFIDENCE, answer_features, read_rows, write_shard
from prompter.labelling.config import LabelConfig, identity
from prompter.labelling.opening import opened_teacher
from prompter.runtime.console import Console
from prompter.runtime.markdown import render
from prompter.runtime.opening import open_console
from prompter.runtime.versions import library_versions

if TYPE_CHECKING:
    from prompter.labelling.ahead import TextsAhead

ONE_SIDED = 0.95
"""Share of one class among the kept rows from which the user is told: a student would learn little of the others."""

LIBRARIES = ("prompter", "torch", "transformers", "datasets", "pyarrow", "datasketch")


def columns_of(labels: list[str], kind: Kind) -> Features:
    """Return the columns of a labelled dataset for targets of these names."""
    return Features(
        {
            "text": Value("string"),
            **({PAIR_COLUMN: Value("string")} if kind.texts == 2 else {}),
            **answer_features(labels, kind),
            "near_duplicate_of": Value("int64"),
            "keep": Value("bool"),
            "drop_reason": Value("string"),
        }
    )


def label(config: LabelConfig) -> dict[str, Any]:
    """Label texts, or continue an interrupted call.

    Args:
        config: Which texts and teacher, and where to write.

    Returns:
        The result, as in the recipe: `complete`, `rows`, `kept`, `kept_of`, `answers`, `marked`.

    Raises:
        InputError: The user can fix the cause; the message says how.
        WorthlessError: No row could be kept. The dataset is written all the same.
    """
    texts, pairs = load_pairs(config.texts, config.text_column, config.text_split, config.text_pair_column)
    if config.budget:
        texts, pairs = texts[: config.budget], None if pairs is None else pairs[: config.budget]
    about = identity(config, sha256(texts))
    seconds = {} if pairs is None else {"text_pairs_sha256": sha256(pairs)}
    folder = ExportFolder(config.to)
    try:
        with open_console(config.quiet, folder.path, "run the same command again") as console:
            folder.compare(about | seconds, seconds, sample_of_teacher)  # a teacher of single texts does not read them
            if folder.recipe is None:
                with _opened(config, texts, pairs, console) as (teacher, ahead):
                    texts = _affordable(config, texts, teacher, console)
                    pairs = second_texts_for(teacher.pairs, pairs, config.texts, config.text_pair_column)
                    about |= {} if pairs is None else seconds
                    progress = folder.open_state(about, len(teacher.kind.targets(teacher.labels)), console.say)
                    with folder.damage_named(sqlite3.Error):
                        Labelling(config, texts, teacher, folder, progress, console, ahead, pairs).run()
                    share = ahead.cut_share() if ahead else teacher.local.cut_share(texts, pairs) if teacher.local else 0.0
                if share:
                    console.say(
                        f"{share:.1%} of the texts are longer than what the teacher reads: they were cut (teacher_max_length)."
                    )
                _finish(folder, progress, teacher, about)
                if spent := config.spent(teacher.asked):
                    console.say(spent)
            else:
                folder.check_finished()
                remedy = "its rows are the answers of before. Put the former {} back, or label into another folder"
                noted = folder.recipe.get("found")
                if isinstance(noted, dict):  # not of an earlier version
                    name, since = teacher_name(config.teacher), f"when '{folder.path}' was finished"
                    found = sample_of_teacher(name)
                    source = found.pop("teacher_source", None)
                    check_same_teacher(name, found, noted, since, remedy)
                    if source and noted.get("teacher_source", source) != source:  # often an edit that changes no answer
                        said = f"teacher: {name} has another source than {since}: its rows are the answers of before. If it"
                        print(printable(f"{said} answers otherwise now, label into another folder."), file=sys.stderr)
                console.say(f"{folder.path} is finished; no text is asked about.")
            assert folder.recipe is not None
            labels: list[str] = folder.recipe["prompter"]["labels"]
            kind = kind_in(folder.recipe["prompter"])
            folder.write_further(columns_of(labels, kind), config.jsonl, config.csv)
    finally:
        folder.close()
    if config.push_to_hub:
        from prompter.saved.hub import upload_dataset

        print(printable(upload_dataset(folder.path, config.push_to_hub, config.public, "label")))
    result: dict[str, Any] = folder.recipe["result"]
    if not config.quiet:
        for line in result_lines(result, labels, str(folder.path)):
            print(printable(line))
    if not result["kept"]:
        worst = max(result["marked"], key=lambda reason: result["marked"][reason])
        raise WorthlessError(
            f"{config.texts}: no row of {result['rows']:,} is kept, most for '{worst}': look at the texts, the teacher's "
            f"answers and the filters, then label into another folder than '{folder.path}'"
        )
    return result


def _affordable(config: LabelConfig, texts: list[str], teacher: CachedTeacher, console: Console) -> list[str]:
    """Return the texts that the money still buys, where the teacher was asked for the names of its classes first.

    Raises:
        InputError: It buys none.
    """
    left = config.budget - teacher.asked
    if not config.budget_money or not teacher.asked or left >= len(texts):
        return texts
    if left < 1:
        raise InputError(
            f"budget_money is {config.budget_money:g}, which bought the query that asks {teacher.path} for the names of its "
            "classes: give more, or give --teacher_labels"
        )
    console.say(
        f"{teacher.asked} of {config.budget:,} queries asked for the names of the classes: {left:,} texts are labelled."
    )
    return texts[:left]


def sha256(texts: Sequence[str]) -> str:
    """Return a hash of texts and of their order."""
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()


def _opened(
    config: LabelConfig, texts: Sequence[str], text_pairs: Sequence[str] | None, console: Console
) -> AbstractContextManager[tuple[CachedTeacher, "TextsAhead | None"]]:
    """Open the teacher: in this process, or in workers of Ray."""
    if config.engine == "ray":
        from prompter.labelling.ahead import label_workers

        return label_workers(config, texts, text_pairs, console)
    return nullcontext((opened_teacher(config, console.say), None))


class Labelling:
    """The loop.

    Args:
        config: What to label.
        texts: All texts.
        teacher: Labels them.
        folder: Folder of the dataset, with its working state open.
        progress: How far it is.
        console: Shows a bar.
        ahead: Has the answers to the next batches ready, where workers answer.
        text_pairs: All second texts, for a teacher of pairs.
    """

    def __init__(
        self,
        config: LabelConfig,
        texts: list[str],
        teacher: CachedTeacher,
        folder: ExportFolder,
        progress: ExportProgress,
        console: Console,
        ahead: "TextsAhead | None" = None,
        text_pairs: list[str] | None = None,
    ) -> None:
        self.ahead, self.pairs = ahead, text_pairs
        self.config, self.texts, self.teacher, self.folder, self.progress = config, texts, teacher, folder, progress
        assert folder.connection is not None
        duplicates = DuplicateIndex(folder.connection, config.near_duplicates)
        self.marks = Marks(duplicates, config.min_words, config.max_words, config.min_confidence)
        folder.watch()
        self.columns = columns_of(teacher.kind.targets(teacher.labels), teacher.kind)
        go_on_counting(teacher, progress, folder.work)
        self.console = console
        self._bar = console.bar("texts", len(texts), progress.rows)

    def run(self) -> None:
        """Label what is not labelled yet, and write the last shard."""
        progress, size = self.progress, self.config.shard_rows
        while progress.rows < len(self.texts):
            self.step()
            while progress.rows - progress.shards * size >= size:
                self._write_shard(size)
            self.folder.commit(progress)
            marked = sum(progress.marked.values())
            self.console.step(self._bar, progress.rows, f"{progress.kept:,} kept, {marked:,} marked")
        if (left := progress.rows - progress.shards * size) > 0:
            self._write_shard(left)
            self.folder.commit(progress)

    def step(self) -> None:
        """Label and mark one batch."""
        progress = self.progress
        if self.ahead is not None:
            self.ahead.at(progress)
        part = slice(progress.rows, progress.rows + self.config.batch_size)
        batch, pairs = self.texts[part], None if self.pairs is None else self.pairs[part]
        seconds: list[str | None] = [*pairs] if pairs is not None else [None] * len(batch)
        answers = answered(self.teacher.kind, self.teacher(batch, pairs), batch)
        for text, second, (label, cells) in zip(batch, seconds, answers, strict=True):
            reason, twin = self.marks.of(progress.rows, text, label, cells.get(CONFIDENCE), text_pair=second)
            row = {
                "text": text,
                **({} if second is None else {PAIR_COLUMN: second}),
                **cells,
                "near_duplicate_of": twin,
                "keep": reason is None,
                "drop_reason": reason,
            }
            self.folder.add(progress.rows, row)
            progress.rows += 1
            given = self.teacher.kind.given(cells)
            for target in given:
                progress.answers[target] += 1
            if reason is None:
                progress.kept += 1
                for target in given:
                    progress.kept_of[target] += 1
            else:
                progress.marked[reason] = progress.marked.get(reason, 0) + 1
        progress.batches += 1

    def _write_shard(self, rows: int) -> None:
        write_shard(self.folder.path, self.progress.shards, self.folder.pending(rows), self.columns)
        self.folder.add_shard(self.progress.shards, rows)
        self.folder.forget(rows)
        self.progress.shards += 1


def _finish(folder: ExportFolder, progress: ExportProgress, teacher: CachedTeacher, about: dict[str, Any]) -> None:
    """Write the card, and the recipe that marks the dataset as finished."""
    kind, labels = teacher.kind, teacher.kind.targets(teacher.labels)
    noted = read_object(folder.work / NOTED_TEACHER, {}, "put it back")
    sure = CONFIDENCE in kind.columns
    total = sum(row[CONFIDENCE] for row in read_rows(folder.path) if row["keep"]) if sure else 0.0
    recipe = {
        # Readers of exports look for the classes under this key; no prompter wrote these texts.
        "prompter": {"name": None, "teacher": about["teacher"], "labels": labels} | written(kind),
        "export": about,
        "result": {
            "complete": True,
            "rows": progress.rows,
            "kept": progress.kept,
            "kept_of": progress.kept_of,
            "answers": progress.answers,
            "marked": dict(sorted(progress.marked.items())),
        },
        **({"found": noted} if noted else {}),
        "versions": library_versions(LIBRARIES),
    }
    header = dataset_header(folder.path, columns_of(labels, kind), progress.rows, synthetic=False)
    page = render(
        "labelled_card.md.j2",
        header,
        recipe=recipe,
        labels=labels,
        pairs=kind.texts == 2,
        result=recipe["result"],
        kind=kind,
        about=ABOUT | {"label": f"{ABOUT['label']}; -1 if its answer was unusable"},
        confidence=total / max(1, progress.kept) if sure else None,
    )
    write_text(folder.path / "README.md", page)
    folder.finish(recipe)


def result_lines(result: dict[str, Any], labels: Sequence[str], path: str) -> list[str]:
    """Return what the user is told at the end: rows, classes, and what is odd about them."""
    kept = result["kept"]
    marked = ", ".join(f"{reason} {count:,}" for reason, count in sorted(result["marked"].items(), key=lambda item: -item[1]))
    lines = [f"{kept:,} of {result['rows']:,} rows kept in {path}" + (f"; marked: {marked}" if marked else "")]
    if kept:
        shares = sorted(zip(result["kept_of"], labels, strict=True), key=lambda item: -item[0])
        lines.append(", ".join(f"{name} {count / kept:.0%}" for count, name in shares[:10]) + (", ..." if shares[10:] else ""))
        others = sum(result["kept_of"]) - shares[0][0]  # a text may have several labels, or none
        if sum(result["kept_of"]) <= (1 - ONE_SIDED) * kept:
            lines.append(
                "Nearly no kept text has a label: a student would learn little about them. Add texts that the teacher "
                "gives labels."
            )
        elif len(labels) > 1 and shares[0][0] >= ONE_SIDED * kept and others <= (1 - ONE_SIDED) * kept:
            lines.append(
                f"Nearly all kept texts are '{shares[0][1]}': a student would learn little about the others. Add texts "
                "that the teacher answers differently."
            )
        lines.append(
            f"A student learns from it with: prompter distill --from {shlex.quote(path)} --student SPEC --output_dir FOLDER"
        )
    return lines
