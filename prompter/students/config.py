"""Settings of `prompter distill`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distill.common.errors import InputError, did_you_mean
from distill.common.settings import LongWorkSettings, ModelHubSettings, check, setting
from distill.config import STUDENT_HELP, DistillConfig, StudentTokenizerSettings
from distill.methods.table import METHODS
from distill.teachers.config import FoundTeacherSettings, MoneySettings
from eval.data.config import PAIR_COLUMN_HELP, EvaluationDataSettings, check_columns
from prompter.deploying.config import CalibrationSettings, DeploySettings
from prompter.runtime.parser import combined, fill, names_of


@dataclass
class StudentsConfig(
    FoundTeacherSettings,
    MoneySettings,
    EvaluationDataSettings,
    StudentTokenizerSettings,
    CalibrationSettings,
    DeploySettings,
    ModelHubSettings,
    LongWorkSettings,
):
    """What to distil from, into what.

    Raises:
        InputError: A value is missing or out of its range.
    """

    sources: list[str] = setting(
        [],
        "What to learn from: run, prompter, exported dataset, text file, prompter or dataset of the hub; several are mixed.",
        "Texts",
        aliases=("from",),
        path=True,
    )
    method: str = setting(
        "", f"Make the texts by a method instead: {', '.join(METHODS)}; see docs/explanation/methods.md.", "Texts"
    )
    corpus: str | None = setting(
        None, "General text for zero-shot and t3: text file, folder, data file, hub dataset, or toy.", "Texts", path=True
    )
    weights: list[float] = setting(
        [], "How often texts of each --from are drawn in training; default: all texts alike.", "Texts", commas="always"
    )
    text_column: str = setting("text", "Column of your own texts.", "Texts")
    text_pair_column: str = setting("", PAIR_COLUMN_HELP, "Texts")
    text_split: str = setting("train", "Split of your own texts, in a folder or on the hub.", "Texts")
    base: str | None = setting(None, "Base model of a prompter, where it has moved.", "Models", path=True)
    student: list[str] = setting(
        ["bert:layers=2,hidden=128"], f"{STUDENT_HELP}. Several share the texts.", "Models", path=True
    )
    budget: int = setting(0, "Teacher queries that may be spent; needed where a prompter writes.", "Budget", low=0)
    epochs: float = setting(0.0, "Passes over the texts, instead of student_updates.", "Student", low=0)
    held_out: float = setting(0.05, "Share of the texts that is never trained on.", "Student", low=0, below=1)
    select: str = setting(
        "best-agreement",
        "best-agreement: keep the state that agrees best on held-out texts; last: keep the last state.",
        "Student",
        choices=("best-agreement", "last"),
    )
    measure_every: int = setting(100, "Student updates between two measurements.", "Student", low=1)
    to: str = setting(
        "",
        "Folder of the student; of several students, each gets a folder in it.",
        "Output",
        aliases=("output_dir", "to"),
        required="give --output_dir (or --to) with the folder of the student",
        path=True,
    )
    sample_every: int = setting(5, "Batches of a method between two tables of samples.", "Output", low=1)
    save_seconds: float = setting(60.0, "Seconds between two checkpoints, at least.", "Output", low=0)

    def __post_init__(self) -> None:
        """Check ranges, and what goes together."""
        if self.method and self.sources:
            raise InputError(
                f"from is {', '.join(self.sources)}, but method '{self.method}' makes its own texts: leave one out"
            )
        if not self.sources and not self.method:
            raise InputError("from is missing: give --from with a run, a dataset or a text file, or a --method")
        check(self)
        check_columns(self.text_column, self.text_pair_column)
        self.budget = self.bought(self.budget, 0)
        self.check_export()
        self.check_upload()
        if self.method and self.method not in METHODS:
            hint = did_you_mean(self.method, METHODS)
            raise InputError(f"method is '{self.method}', expected one of: {', '.join(METHODS)}.{hint}")
        if self.method:
            self._check_method()
        if len(set(self.sources)) < len(self.sources):
            raise InputError(f"from names a source twice ({', '.join(self.sources)}): give a higher weight instead")
        if self.weights and (len(self.weights) != len(self.sources) or min(self.weights) <= 0):
            raise InputError(f"weights are {self.weights}, expected {len(self.sources)} numbers above 0, one for each --from")
        if not self.student or len(set(self.student)) < len(self.student):
            raise InputError(f"student names {self.student}, expected one or more different ones")
        if self.select == "best-agreement" and not self.held_out:
            raise InputError("held_out is 0, so nothing is there to select by: give a share above 0, or --select last")

    def _check_method(self) -> None:
        if not self.budget:
            raise InputError(f"budget is missing: say how many teacher queries method '{self.method}' may spend")
        if len(self.student) > 1:
            raise InputError(f"student names {len(self.student)}, but method '{self.method}' works against one: give one")
        if self.epochs:
            raise InputError("epochs is given, but a method makes its texts while the student learns: give --student_updates")
        if METHODS[self.method].needs_corpus and not self.corpus:
            raise InputError(f"corpus is missing: method '{self.method}' starts from general text; give --corpus")


NOT_COMPARED = {
    "resume",
    "quiet",
    "report_to",
    "to",
    "sample_every",
    "save_seconds",
    "teacher_cache",
    "trust_teacher",
    "teacher_rate",
    "teacher_price",
    "budget_money",
    "pilot",
    "export",
    "push_to_hub",
    "public",
    "license",
    "language",
}
"""Settings that may differ between a call and its resumption: they do not change what is computed."""


def distill_settings(values: Mapping[str, Any], where: str = "") -> list[Any]:
    """Make settings from values by name, `config` (a YAML file) and `method` among them.

    Returns:
        A `StudentsConfig`, a `DistillConfig`, and the settings of the method where there is one.

    Raises:
        InputError: See `prompter.runtime.parser.fill`; there is no such method; or a value belongs to another method.
    """
    given = combined((StudentsConfig, DistillConfig, *(method.settings for method in METHODS.values())), [(where, values)])
    name = given.get("method") or ""
    if name and (not isinstance(name, str) or name not in METHODS):
        raise InputError(f"method is '{name}', expected one of: {', '.join(METHODS)}.{did_you_mean(str(name), METHODS)}")
    for other, method in METHODS.items():
        foreign = [key for key in names_of([method.settings]) if key in given and other != name]
        if foreign:
            raise InputError(f"{foreign[0]} belongs to the method {other}, but method is '{name or 'none'}': leave it out")
    # Texts of a prompter that learns no more are all alike: nothing is gained by starting again with a fresh student.
    defaults = {"student_restart": bool(name)}
    parts = (StudentsConfig, DistillConfig, *([METHODS[name].settings] if name else []))
    return fill(parts, [("", defaults), (where, values)])
