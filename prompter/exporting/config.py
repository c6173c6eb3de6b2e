"""Settings of `prompter export`: what to write, which rows to keep, and how the saved prompter's writer samples."""

import dataclasses
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.common.errors import InputError
from distill.common.settings import CommonSettings, check, setting
from distill.kinds.names import AUTO, OF_PAIRS, given_by
from distill.teachers.config import FoundTeacherSettings
from distill.teachers.found import found_teacher, made_here
from distill.teachers.names import teacher_name
from eval.data.config import DatasetSettings
from prompter.cluster.config import ENGINE_SETTINGS, EngineSettings
from prompter.generation.config import TRANSFORMERS, VLLM, BackendSettings, WriterConfig, split_writer
from prompter.runtime.parser import combined, fill
from prompter.runtime.run_folder import default_values

NO_TEACHER = "none"


@dataclass
class ExportConfig(BackendSettings, FoundTeacherSettings, EngineSettings, DatasetSettings, CommonSettings):
    """What to export.

    Raises:
        InputError: A value is missing, out of its range, or asks for a teacher where there is none.
    """

    run: str = setting(
        "",
        "Folder of a finished run, the folder prompter in it, a student that t3 has made, or a prompter's id on the hub.",
        "Models",
        required="prompter export RUN --rows N --output_dir FOLDER",
        path=True,
    )
    base: str | None = setting(None, "The model that was tuned, where it has moved.", "Models", path=True)
    generator: str | None = setting(None, "The frozen writer's model, where it has moved.", "Models", path=True)
    rows: int = setting(0, "Rows to keep; marked rows come on top.", "Budget", low=1)
    max_tries: int = setting(
        20,
        "Give up after this many times the rows asked for, or after as many batches in a row without a kept row.",
        "Budget",
        low=1,
    )
    batch_size: int = setting(256, "Texts written and labelled at once.", "Writer", low=1)
    corpus: str | None = setting(
        None, "General text that a rewriter (method t3) rewrites; default: what it was trained on.", "Texts", path=True
    )
    balance: bool = setting(False, "Keep equally many rows of each class of the teacher.", "Texts")
    min_confidence: float = setting(0.0, "Keep rows that the teacher is at least this sure of.", "Texts", low=0, high=1)
    min_words: int = setting(3, "Fewest words of a kept row.", "Texts", low=0)
    near_duplicates: float = setting(
        0.8, "Similarity (Jaccard, word triples) from which a row is a near-duplicate; 0: off.", "Texts", low=0, below=1
    )

    def __post_init__(self) -> None:
        """Check ranges, and what goes together."""
        check(self)
        split_writer(self.writer)
        self.check_words()
        if self.teacher == NO_TEACHER and (self.balance or self.min_confidence):
            name = "balance" if self.balance else "min_confidence"
            raise InputError(f"{name} needs a teacher's predictions, but teacher is 'none': leave one of the two out")
        if self.engine == "ray" and self.writer not in (TRANSFORMERS, VLLM):
            raise InputError("writer is a server, which answers many requests at once by itself: leave --engine ray out")
        self.check_engine()
        self.check_upload()


PARTS = (ExportConfig, WriterConfig)

NOT_COMPARED = {
    *("teacher_cache", "trust_teacher", "teacher_rate", "teacher_price"),
    *("run", "to", "jsonl", "csv", "push_to_hub", "public", "quiet"),
    *ENGINE_SETTINGS,
}
"""Settings that may differ between an export and its continuation, because they do not change the rows. The run is known by
its fingerprint, wherever it lies."""


def recipe_settings(config: ExportConfig, writer: WriterConfig, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that decide what the rows are: a prompter's writer, or a rewriter's corpus, among them."""
    settings = dataclasses.asdict(config) | {"teacher": teacher_name(config.teacher), "writer": teacher_name(config.writer)}
    if "rewriter" in manifest:
        settings["corpus"] = config.corpus or manifest["corpus"]
    else:
        settings |= dataclasses.asdict(writer)
        del settings["corpus"]
        if manifest.get("kind") not in OF_PAIRS:
            settings = {key: value for key, value in settings.items() if not key.startswith("pair_")}
    return {key: value for key, value in settings.items() if key not in NOT_COMPARED}


def export_settings(values: Mapping[str, Any], where: str = "") -> tuple[ExportConfig, WriterConfig]:
    """Make settings from values by name, `config` (a YAML file) and `run` among them.

    What is not given about the writer's sampling is as the prompter was trained with it, and the teacher is the run's, where
    it may be asked. `trust_teacher` is left on only where nothing else allows that teacher.

    Raises:
        InputError: See `prompter.runtime.parser.fill`; or there is no prompter, or only a file of others names the teacher.
    """
    from prompter.saved.rewriter import find_source, manifest_file

    defaults: dict[str, Any] = {}
    if run := combined(PARTS, [(where, values)]).get("run"):
        source, manifest = find_source(str(run))
        before = default_values(WriterConfig)
        defaults = before | {key: value for key, value in manifest["writer_settings"].items() if key in before}
        fill((WriterConfig,), [(str(manifest_file(source)), defaults)])  # what is wrong only later is the caller's
    config, writer = fill(PARTS, [("", defaults), (where, values)])
    if "rewriter" in manifest and config.writer != TRANSFORMERS:
        raise InputError(
            f"writer is '{teacher_name(config.writer)}', but {run} is a rewriter, which runs on transformers: leave it out"
        )
    if "rewriter" not in manifest and config.corpus:
        raise InputError(f"corpus is for a rewriter (method t3), and {run} is a prompter: leave it out")
    if "rewriter" in manifest and not config.corpus and not config.trust_teacher:
        _check_corpus(manifest["corpus"], manifest_file(source))
    found = found_teacher(manifest, manifest_file(source))
    asking = found.asking(config.asking(), config.teacher)
    config.teacher_prompt, config.teacher_hypothesis = asking.prompt, asking.hypothesis
    if config.kind == AUTO and (kind := given_by(manifest)):  # of another teacher, too: rows of one kind are written
        config.kind, config.score_low, config.score_high = kind.name, kind.low, kind.high
    if config.teacher:
        config.trust_teacher = False  # the user's own name needs no trust
    else:
        config.trust_teacher = found.check(config.trust_teacher, "--teacher none for texts without labels")
        config.teacher = found.name
        config.teacher_labels = config.teacher_labels or found.labels
    return config, writer


def _check_corpus(name: str, file: Path) -> None:
    """Check that the corpus that a rewriter names may be read: its sentences end up in the dataset.

    Raises:
        InputError: Only a file of others names it.
    """
    if name.partition(":")[0] != "toy" and not made_here(file):
        raise InputError(
            f"corpus: {file} names the corpus '{name}', and you did not: give --corpus {shlex.quote(name)} yourself, or "
            "--trust_teacher to use what the file names"
        )
