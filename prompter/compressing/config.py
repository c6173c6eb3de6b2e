"""Settings of `prompter compress`."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from distill.common.errors import InputError
from distill.common.settings import LongWorkSettings, ModelHubSettings, check, setting
from distill.config import STUDENT_HELP, StudentTokenizerSettings
from distill.portable.formats import FORMATS, check_installed
from distill.teachers.config import MoneySettings, TeacherSettings
from distill.teachers.names import LANGUAGE_MODELS, teacher_name
from distill.teachers.services.label_words import template
from eval.data.config import EvaluationDataSettings
from prompter.deploying.config import CalibrationSettings
from prompter.editing.config import EditSettings
from prompter.generation.config import TRANSFORMERS, BackendSettings, split_writer

SIZES = ("tiny", "small", "base")

GENERATOR = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""The language model that writes if the user names none: small, Apache-2.0, and measured (docs/log.md, 2026-11-26)."""

BUDGET = 6000
"""What the benchmarks compare at."""

PLAN, SUMMARY = "plan.json", "summary.json"
"""Files of a compression: what is planned, written first, and what came of it, written last."""

NO_EXPORT = "none"

DEFAULT_FORMAT = "onnx"


@dataclass
class CompressConfig(
    MoneySettings,
    BackendSettings,
    EvaluationDataSettings,
    StudentTokenizerSettings,
    CalibrationSettings,
    EditSettings,
    ModelHubSettings,
    LongWorkSettings,
):
    """What to compress, into what.

    Raises:
        InputError: A value is missing or out of its range.
    """

    texts: str | None = setting(
        None, "Your own texts to learn from, without labels: file, folder, or hub dataset.", "Texts", path=True
    )
    text_column: str = setting("text", "Column of these texts.", "Texts")
    text_split: str = setting("train", "Split of these texts, in a folder or on the hub.", "Texts")
    data_free: bool = setting(
        False, "Use no text, neither yours nor a language model's; needs the teacher's weights.", "Texts"
    )
    generator: str | None = setting(
        None, f"Language model that writes, where one is needed: folder, hub id, GGUF file, or toy; default: {GENERATOR}.",
        "Models", path=True,
    )  # fmt: skip
    task_description: str | None = setting(
        None, "What a text is, in your words, for the language model: a short news report.", "Prompter"
    )
    label_descriptions: str | None = setting(
        None, "Your words for classes, for the language model: a YAML map, {World: world events}.", "Prompter"
    )
    size: str = setting("tiny", "Size of the student, where --student names none.", "Models", choices=SIZES)
    student: str | None = setting(None, f"{STUDENT_HELP}; instead of --size.", "Models", path=True)
    budget: int = setting(BUDGET, "Texts that the teacher may be asked about.", "Budget", low=1)
    to: str = setting(
        "", "Folder of everything that is made.", "Output", aliases=("to", "output_dir"),
        required="give --to with the folder of the result", path=True,
    )  # fmt: skip
    export: list[str] = setting(
        [],
        f"Formats to convert the student to: {', '.join(FORMATS)}, or none; default: onnx, where its libraries are installed.",
        "Output",
        commas="always",
        choices=(*FORMATS, NO_EXPORT),
    )
    dry_run: bool = setting(False, "Print the plan and end: no query is spent, and nothing is written.", "Run")
    explain: bool = setting(False, "Show the commands of single verbs that do the same, too.", "Run")

    def __post_init__(self) -> None:
        """Check ranges, and what goes together."""
        if not self.teacher:
            raise InputError("teacher is missing: prompter compress TEACHER --to DIR")
        check(self)
        split_writer(self.writer)
        if self.writer != TRANSFORMERS and not self.generator:
            raise InputError(
                f"writer is '{teacher_name(self.writer)}', but no language model is named: give --generator with the model "
                "that it runs"
            )
        self.check_edits()
        self.check_upload()
        self.budget = self.bought(self.budget, BUDGET)
        self.export = list(dict.fromkeys(self.export))
        if NO_EXPORT in self.export and len(self.export) > 1:
            raise InputError(f"export names {', '.join(self.export)}, but none is one of them: leave none out")
        check_installed([kind for kind in self.export if kind != NO_EXPORT], "export")
        if self.student_words and not self.student:
            raise InputError(
                "student_words is for a student of random weights, which compress makes only by name: give --student "
                "bert:layers=2,hidden=128 too, or leave it out"
            )
        if self.data_free:
            for name in ("texts", "generator", "task_description", "label_descriptions", "edit_labels"):
                if getattr(self, name):
                    raise InputError(f"{name} is given, but data_free says to use no text: leave one of the two out")

    def shared(self) -> dict[str, Any]:
        """Return the settings that every step takes, by name."""
        parts = (TeacherSettings, LongWorkSettings)
        values = {item.name: getattr(self, item.name) for part in parts for item in dataclasses.fields(part)}
        if isinstance(self.teacher, str) and self.teacher.startswith(LANGUAGE_MODELS):  # not every step knows the task
            values["teacher_prompt"] = template(self.asking(self.task_description))
        values |= {"student_tokenizer": self.student_tokenizer, "student_words": self.student_words}
        return values | {"license": self.license, "language": self.language, "resume": True}


NOT_COMPARED = {
    *("to", "resume", "quiet", "report_to", "teacher_cache", "pilot", "dry_run", "explain", "export"),
    *("push_to_hub", "public", "license", "language"),
    *("teacher_rate", "teacher_price", "budget_money"),
}
"""Settings that may differ between a call and the one that goes on with it: they do not change what is learnt."""
