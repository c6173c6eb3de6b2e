"""Settings of `prompter export-student`, and of `--export` where a student is made."""

from dataclasses import dataclass

from distill.common.settings import check, setting
from distill.portable.formats import FORMATS, check_installed


@dataclass
class DeploySettings:
    """Formats that a new student is converted to."""

    export: list[str] = setting(
        [],
        f"Convert the student as well, into folders inside its own: {', '.join(FORMATS)}.",
        "Output",
        commas="always",
        choices=FORMATS,
    )

    def check_export(self) -> None:
        """Refuse formats that cannot be written here, before any work is done.

        Raises:
            InputError: A library is missing.
        """
        check_installed(self.export, "export")


@dataclass
class CalibrationSettings:
    """What a student's threshold stands for."""

    calibrate_to: float = setting(
        0.95, "Agreement with the teacher above the student's threshold, at 95 % confidence.", "Student", above=0.5, below=1
    )


@dataclass
class ExportStudentConfig:
    """What to convert, to what.

    Raises:
        InputError: A value is missing or out of its range, or a library is not installed.
    """

    student: str = setting(
        "",
        "Folder or hub id of a student, or of any sequence classifier.",
        "Models",
        required="prompter export-student STUDENT --format onnx",
        path=True,
    )
    format: list[str] = setting(
        [],
        f"What to convert to: {', '.join(FORMATS)}; onnx-int8 has weights of 8 bits.",
        "Output",
        commas="always",
        choices=FORMATS,
        required=f"give --format with some of: {', '.join(FORMATS)}",
    )
    to: str = setting(
        "",
        "Folder of the program; of several formats, each gets a folder in it. Default: folders inside the student's.",
        "Output",
        aliases=("output_dir", "to"),
        path=True,
    )
    texts: str | None = setting(
        None,
        "Texts to check on: file, folder or hub dataset; labels are not read. Default: those that the student was made from, "
        "where they are still there, else random words.",
        "Texts",
        path=True,
    )
    text_column: str = setting("text", "Column of these texts.", "Texts")
    text_split: str = setting("train", "Split of these texts, in a folder or on the hub.", "Texts")
    check_texts: int = setting(500, "Texts to check on, at most.", "Texts", low=10)
    quiet: bool = setting(False, "Show no bars and tables, only errors and the result.", "Run")

    def __post_init__(self) -> None:
        """Check ranges, and that the formats can be written here."""
        check(self)
        self.format = list(dict.fromkeys(self.format))
        check_installed(self.format, "format")
