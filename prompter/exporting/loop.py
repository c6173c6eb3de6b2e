"""`prompter export`: write a labelled dataset with a saved prompter or rewriter.

The loop writes a batch, asks the teacher once for each text, marks each row (kept, or why not), and commits all changes in
one step. Rows are marked, never deleted, so a reader who disagrees with a mark still has the row. Batch k depends on the
seed, on k and on the committed counts before it. A killed export therefore continues to the same bytes. Memory does not
grow with the rows.
"""

import math
import sqlite3
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from distill.common.files import read_object
from distill.common.terminal import one_line, printable
from distill.kinds.found import kind_in, written
from distill.teachers.prediction_cache import CachedTeacher
from eval.corpora.duplicates import DuplicateIndex
from eval.data.config import PAIR_COLUMN
from eval.report.texts import origin
from prompter.exporting.config import NO_TEACHER, ExportConfig, recipe_settings
from prompter.exporting.dataset_card import write_dataset_card
from prompter.exporting.folder import ExportFolder, ExportProgress
from prompter.exporting.marks import CLASS_FULL, DUPLICATE, LOW_CONFIDENCE, NEAR_DUPLICATE, NO_ANSWER, Marks, answered
from prompter.exporting.opening import NOTED_TEACHER, go_on_counting, load_prompter_and_teacher, sample_of_teacher
from prompter.exporting.planning import next_targets, quotas, unfinished
from prompter.exporting.shards import CONFIDENCE, features, write_shard
from prompter.generation.config import TRANSFORMERS, WriterConfig
from prompter.generation.opening import check_served
from prompter.generation.writer import Writer
from prompter.runtime.console import Console
from prompter.runtime.opening import open_console
from prompter.runtime.run_folder import default_values
from prompter.runtime.versions import library_versions
from prompter.saved.manifest import find_prompter, fingerprint
from prompter.saved.prompter import PromptedTexts, Prompter
from prompter.saved.rewriter import SavedRewriter, find_source

if TYPE_CHECKING:
    from prompter.cluster.exports import WrittenAhead

Source: TypeAlias = "Prompter | SavedRewriter | WrittenAhead"
"""What writes."""

EXPORT_LIBRARIES = ("prompter", "torch", "transformers", "peft", "datasets", "pyarrow", "datasketch")

NOT_QUITE = (
    "equal settings usually give equal texts, but not always: what runs the writer decides which texts it computes together"
)
"""What the recipe says of an export whose writer decides by itself which texts are computed together."""

REMEDIES = {
    NO_ANSWER: "look at what the teacher returns",
    LOW_CONFIDENCE: "lower --min_confidence",
    CLASS_FULL: "leave --balance out, or raise --max_tries",
    DUPLICATE: "ask for fewer rows, or raise --writer_temperature",
    NEAR_DUPLICATE: "ask for fewer rows, raise --writer_temperature or --near_duplicates",
    "too short": "lower --min_words, or raise --writer_max_new_tokens",
    "too long": "raise --max_words, or lower --writer_max_new_tokens",
    "repetitive": "raise --writer_temperature",
    "not text": "lower --writer_temperature or --writer_top_p",
}


def export(config: ExportConfig, writer: WriterConfig) -> int:
    """Write a dataset, or continue an interrupted one.

    Args:
        config: What to write.
        writer: How the frozen writer samples.

    Returns:
        Exit status: 0, or 1 if there are fewer rows than asked for. The dataset is complete in both cases.

    Raises:
        InputError: The user can fix the cause; the message says how.
    """
    source, manifest = find_source(config.run)
    identity = {"prompter_sha256": fingerprint(source), **recipe_settings(config, writer, manifest)}
    folder = ExportFolder(config.to)
    try:
        with open_console(config.quiet, folder.path, "run the same command again") as console:
            folder.compare(identity, default_values(config, writer), sample_of_teacher)
            if folder.recipe is None:
                with opened(config, writer, source, manifest, console) as (prompter, teacher):
                    check_served(getattr(prompter, "writer", None), folder.work / "writer.json")
                    progress = folder.open_state(identity, len(prompter.labels), console.say)
                    with folder.damage_named(sqlite3.Error):
                        Export(config, prompter, teacher, folder, progress, console).run()
                finish_dataset(config, folder, progress, manifest, identity)
                if teacher is not None and (spent := config.spent(teacher.asked)):
                    console.say(spent)
            else:
                folder.check_finished()
                console.say(f"{folder.path} is finished; nothing to generate.")
            columns = features(manifest["labels"], config.teacher != NO_TEACHER, kind_in(manifest))
            folder.write_further(columns, config.jsonl, config.csv)
    finally:
        folder.close()
    if config.push_to_hub:
        from prompter.saved.hub import upload_dataset

        print(printable(upload_dataset(folder.path, config.push_to_hub, config.public, "export")))
    assert folder.recipe is not None
    return report_result(config, folder.path, folder.recipe["result"], manifest["labels"])


def opened(
    config: ExportConfig, writer: WriterConfig, source: Path, manifest: dict[str, Any], console: Console
) -> AbstractContextManager[tuple[Source, CachedTeacher | None]]:
    """Open what writes and what labels: in this process, or in workers of Ray.

    Raises:
        InputError: One of them cannot be loaded, or their classes differ.
    """
    if config.engine == "ray":
        from prompter.cluster.exports import export_workers

        return export_workers(config, writer, source, manifest, console)
    return nullcontext(load_prompter_and_teacher(config, writer, source, manifest, console))


class Export:
    """The loop of an export.

    Args:
        config: What to write.
        prompter: Writes the texts.
        teacher: Labels the texts, or None.
        folder: Folder of the dataset, with its working state open.
        progress: How far the export is.
        console: Shows a bar.
    """

    def __init__(
        self,
        config: ExportConfig,
        prompter: Source,
        teacher: CachedTeacher | None,
        folder: ExportFolder,
        progress: ExportProgress,
        console: Console,
    ) -> None:
        self.config, self.prompter, self.teacher, self.folder, self.progress = config, prompter, teacher, folder, progress
        assert folder.connection is not None
        duplicates = DuplicateIndex(folder.connection, config.near_duplicates)
        self.marks = Marks(duplicates, config.min_words, config.max_words, config.min_confidence)
        writer = getattr(prompter, "writer", None)
        if isinstance(writer, Writer) and not writer.config.writer_batch_size:
            folder.batch_size = writer.settle_batch_size(folder.batch_size)
        folder.watch()
        self.columns = features(prompter.labels, teacher is not None, kind_in(prompter.manifest))
        if hasattr(prompter, "follow"):  # it writes ahead, by what the loop will ask for
            prompter.follow(progress)
        self.quotas = quotas(config.rows, len(prompter.labels))
        self.name = str(prompter.manifest.get("name") or find_prompter(config.run).resolve().parent.name)
        if teacher is not None:
            go_on_counting(teacher, progress, folder.work)
        self.console = console
        self._bar = console.bar("rows kept", config.rows, progress.kept)

    def run(self) -> None:
        """Write batches until there are enough rows or the export gives up, then the last shard."""
        while unfinished(self.config, self.progress):
            self.step()
        if self._unsharded() > 0:
            self._write_shard()
            self.folder.commit(self.progress)

    def step(self) -> None:
        """Write, label and mark one batch, and commit it."""
        progress = self.progress
        targets = next_targets(self.config, progress)
        batch = self.prompter.write(targets, self.config.seed, progress.batches)
        said = self.teacher(batch.texts, batch.text_pairs) if self.teacher is not None else None
        answers = answered(self.teacher.kind, said, batch.texts) if self.teacher is not None and said is not None else None
        before = progress.kept
        for number in range(len(batch)):
            if progress.kept == self.config.rows:
                break  # nobody needs the rest of the batch
            row = self.row(batch, answers, number)
            self.folder.add(progress.rows, row)
            progress.rows += 1
        progress.batches += 1
        progress.idle = 0 if progress.kept > before else progress.idle + 1
        while self._unsharded() >= self.config.shard_rows:
            self._write_shard()
        self.folder.commit(progress)
        marked = sum(progress.marked.values())
        self.console.step(self._bar, progress.kept, f"{progress.rows:,} written, {marked:,} marked")

    def row(self, batch: PromptedTexts, answers: list[tuple[int, dict[str, Any]]] | None, number: int) -> dict[str, Any]:
        """Return one row with its mark, and count it."""
        config, progress = self.config, self.progress
        second = None if batch.text_pairs is None else batch.text_pairs[number]
        label, cells = (None, {}) if answers is None else answers[number]
        row: dict[str, Any] = {"text": batch.texts[number]} | ({} if second is None else {PAIR_COLUMN: second}) | cells
        row |= {"wanted_label": int(batch.targets[number]), "topic": batch.topics[number]}
        confidence = cells.get(CONFIDENCE)
        full = config.balance and label is not None and label >= 0 and progress.kept_of[label] >= self.quotas[label]
        reason, twin = self.marks.of(progress.rows, batch.texts[number], label, confidence, full, second)
        row |= {
            "lm_logprob": _known(float(batch.lm_logprob[number])),
            "near_duplicate_of": twin,
            "keep": reason is None,
            "drop_reason": reason,
            "prompter": self.name,
            "seed": config.seed,
        }
        counted = label if label is not None else int(batch.targets[number])
        if counted >= 0:
            progress.answers[counted] += 1
        if reason is None:
            progress.kept += 1
            if counted >= 0:
                progress.kept_of[counted] += 1
        else:
            progress.marked[reason] = progress.marked.get(reason, 0) + 1
        return row

    def _unsharded(self) -> int:
        """Return the number of rows that are in no shard yet. It is negative after the last shard if that is not full."""
        return self.progress.rows - self.progress.shards * self.config.shard_rows

    def _write_shard(self) -> None:
        rows = self.config.shard_rows
        write_shard(self.folder.path, self.progress.shards, self.folder.pending(rows), self.columns)
        self.folder.add_shard(self.progress.shards, min(rows, self._unsharded()))
        self.folder.forget(rows)
        self.progress.shards += 1


def _known(value: float) -> float | None:
    """Return a number, None for NaN."""
    return None if math.isnan(value) else value


def finish_dataset(
    config: ExportConfig, folder: ExportFolder, progress: ExportProgress, manifest: dict[str, Any], identity: dict[str, Any]
) -> None:
    """Write the card, and the recipe that marks the dataset as finished."""
    libraries = [*EXPORT_LIBRARIES, *(["vllm"] if config.writer == "vllm" else [])]
    keys = ("name", "base", "base_revision", "writer", "writer_revision", "teacher", "labels", "training")
    made = {"rewriter": True} if "rewriter" in manifest else {"origin": origin(manifest["policy"])}
    recipe = {
        "prompter": {key: manifest.get(key) for key in keys} | made | written(kind_in(manifest)),
        "export": identity,
        "result": {
            "complete": progress.kept == config.rows,
            "rows": progress.rows,
            "kept": progress.kept,
            "kept_of": progress.kept_of,
            "answers": progress.answers,
            "marked": dict(sorted(progress.marked.items())),
        },
        **({} if config.writer == TRANSFORMERS else {"reproducible": NOT_QUITE}),
        "versions": library_versions(libraries),
    }
    found = read_object(folder.work / NOTED_TEACHER, {}, "put it back") if identity["teacher"] != NO_TEACHER else {}
    if folder.batch_size is not None:
        found |= {"writer_batch_size": folder.batch_size}
    recipe |= {"found": found} if found else {}
    write_dataset_card(folder.path, recipe)
    folder.finish(recipe, own=not config.trust_teacher)


def report_result(config: ExportConfig, path: Path, result: dict[str, Any], labels: list[str]) -> int:
    """Print the result of the export and return the exit status."""
    marked = ", ".join(f"{reason} {count:,}" for reason, count in sorted(result["marked"].items(), key=lambda item: -item[1]))
    if result["complete"]:
        if not config.quiet:
            print(printable(f"{result['kept']:,} rows kept in {path}" + (f"; marked: {marked}" if marked else "")))
        return 0
    lines = [f"{path}: only {result['kept']:,} of {config.rows:,} rows kept after {result['rows']:,} were written."]
    if config.balance:
        lines += [
            f"class '{label}' has {kept:,} of {quota:,}: the teacher answered it for {answers:,} rows."
            for label, kept, answers, quota in zip(
                labels, result["kept_of"], result["answers"], quotas(config.rows, len(labels)), strict=True
            )
            if kept < quota
        ]
    lines.append(f"Marked: {marked}.")
    most = max(result["marked"], key=lambda reason: result["marked"][reason])
    lines.append(f"The dataset is complete as it is. For more rows, {REMEDIES[most]}, with another --output_dir.")
    print("prompter: " + "\n  ".join(map(one_line, lines)), file=sys.stderr)
    return 1
