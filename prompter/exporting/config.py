"""Settings of `prompter export`: what to write, which rows to keep, and how the saved prompter's writer samples."""

import argparse
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from distill.common.errors import InputError, did_you_mean
from distill.common.files import read_yaml
from distill.teachers.names import teacher_name
from prompter.generation.config import WriterConfig
from prompter.runtime.parser import parse
from prompter.runtime.shipped import config_path
from prompter.saved.prompter import BACKENDS
from prompter.saved.rewriter import find_source

NO_TEACHER = "none"


@dataclass
class ExportConfig:
    """What to export.

    Raises:
        InputError: A field is missing, out of its range, or asks for a teacher where there is none.
    """

    run: str = field(
        default="", metadata={"help": "Folder of a finished run, the folder prompter in it, or a student that t3 has made."}
    )
    to: str = field(default="", metadata={"help": "Folder of the data set."})
    rows: int = field(default=0, metadata={"help": "Rows to keep; marked ones come on top."})
    teacher: str | None = field(
        default=None, metadata={"help": "Who labels: folder, hub id, module:function, or none; default: the run's teacher."}
    )
    teacher_labels: list[str] = field(
        default_factory=list, metadata={"help": "Class names of a callable teacher, in the order of its answers."}
    )
    teacher_cache: bool = field(
        default=True, metadata={"help": "Keep the teacher's answers on disk, so that no text is paid for twice."}
    )
    base: str | None = field(default=None, metadata={"help": "The model that was tuned, where it has moved."})
    generator: str | None = field(default=None, metadata={"help": "The frozen writer's model, where it has moved."})
    corpus: str | None = field(
        default=None, metadata={"help": "General text that a rewriter (method t3) rewrites; default: what it was trained on."}
    )
    writer: str = field(default="transformers", metadata={"help": "What the frozen writer runs on: transformers or vllm."})
    seed: int = field(default=0, metadata={"help": "Seed of everything drawn."})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda or cuda:N."})
    batch_size: int = field(default=256, metadata={"help": "Texts written and labelled at once."})
    shard_rows: int = field(default=10_000, metadata={"help": "Rows per Parquet file."})
    balance: bool = field(default=False, metadata={"help": "Keep equally many rows of each class of the teacher."})
    min_confidence: float = field(default=0.0, metadata={"help": "Keep rows that the teacher is at least this sure of."})
    min_words: int = field(default=3, metadata={"help": "Fewest words of a kept row."})
    max_words: int = field(default=0, metadata={"help": "Most words of a kept row; 0: no limit."})
    near_duplicates: float = field(
        default=0.8, metadata={"help": "Similarity (Jaccard, word triples) from which a row is a near-duplicate; 0: off."}
    )
    max_tries: int = field(
        default=20,
        metadata={"help": "Give up after this many times the rows asked for, or as many batches in a row without one kept."},
    )
    jsonl: bool = field(default=False, metadata={"help": "Write data.jsonl as well."})
    csv: bool = field(default=False, metadata={"help": "Write data.csv as well."})
    push_to_hub: str | None = field(default=None, metadata={"help": "Data set id on the hub to upload to, privately."})
    public: bool = field(default=False, metadata={"help": "Upload publicly."})
    quiet: bool = field(default=False, metadata={"help": "No bars; errors only."})

    def __post_init__(self) -> None:
        """Check ranges and choices."""
        if not self.run:
            raise InputError("run is missing: prompter export RUN --rows N --to FOLDER")
        if not self.to:
            raise InputError("to is missing: give --to FOLDER")
        for name, low in (("rows", 1), ("batch_size", 1), ("shard_rows", 1), ("max_tries", 1)):
            if getattr(self, name) < low:
                raise InputError(f"{name} is {getattr(self, name)}, expected a whole number >= {low}: give --{name}")
        for name in ("seed", "min_words", "max_words"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}, expected a whole number >= 0")
        if self.max_words and self.max_words < self.min_words:
            raise InputError(f"max_words is {self.max_words}, expected at least min_words = {self.min_words}, or 0")
        if not 0 <= self.min_confidence <= 1:
            raise InputError(f"min_confidence is {self.min_confidence}, expected a number from 0 to 1")
        if not 0 <= self.near_duplicates < 1:
            raise InputError(f"near_duplicates is {self.near_duplicates}, expected a number from 0 (off) to below 1")
        if self.writer not in BACKENDS:
            raise InputError(
                f"writer is '{self.writer}', expected one of: {', '.join(BACKENDS)}.{did_you_mean(self.writer, BACKENDS)}"
            )
        if self.teacher == NO_TEACHER and (self.balance or self.min_confidence):
            name = "balance" if self.balance else "min_confidence"
            raise InputError(f"{name} needs a teacher's answers, but teacher is 'none': leave one of the two out")
        if self.public and not self.push_to_hub:
            raise InputError("public says how to upload, but push_to_hub is not given: give --push_to_hub ID")


NOT_COMPARED = {"teacher_cache", "run", "to", "jsonl", "csv", "push_to_hub", "public", "quiet"}
"""Settings that may differ between an export and its continuation: they do not change the rows (the run is known by its
fingerprint, wherever it lies)."""


def recipe_settings(config: ExportConfig, writer: WriterConfig, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide what the rows are: those of a prompter's writer, or a rewriter's corpus."""
    settings = dataclasses.asdict(config) | {"teacher": teacher_name(config.teacher or "")}
    if "rewriter" in manifest:
        settings["corpus"] = config.corpus or manifest["corpus"]
    else:
        settings |= dataclasses.asdict(writer)
        del settings["corpus"]
    return {key: value for key, value in settings.items() if key not in NOT_COMPARED}


def parse_export(arguments: list[str]) -> tuple[ExportConfig, WriterConfig]:
    """Settings from the command line: RUN first, then flags, a `--config FILE` among them.

    What is not said of the writer's sampling is as the prompter was trained with it, and the teacher is the run's.

    Raises:
        InputError: See `prompter.training.settings.parse`; or there is no prompter.
    """
    if arguments and not arguments[0].startswith("-"):
        arguments = ["--run", *arguments]
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    peek.add_argument("--run", nargs="?")
    peek.add_argument("--config", nargs="?")
    typed, _ = peek.parse_known_args(arguments)
    run = typed.run or (read_yaml(config_path(typed.config)).get("run") if typed.config else None)
    defaults: dict[str, Any] = {}
    if run and not {"-h", "--help"} & set(arguments):
        _, manifest = find_source(str(run))
        known = {f.name for f in dataclasses.fields(WriterConfig)}
        defaults = {key: value for key, value in manifest["writer_settings"].items() if key in known}
    config, writer = parse((ExportConfig, WriterConfig), "prompter export RUN", arguments, defaults)
    if "rewriter" in manifest and config.writer != "transformers":
        raise InputError(f"writer is '{config.writer}', but {run} is a rewriter, which runs on transformers: leave it out")
    if "rewriter" not in manifest and config.corpus:
        raise InputError(f"corpus is for a rewriter (method t3), and {run} is a prompter: leave it out")
    if config.teacher is None:
        config.teacher = manifest["teacher"]
        config.teacher_labels = config.teacher_labels or manifest.get("teacher_labels", [])
    return config, writer
