"""Settings of `prompter evaluate-data`."""

from dataclasses import dataclass

from distill.common.files import check_file_name
from distill.common.settings import CommonSettings, check, setting
from distill.teachers.config import TeacherSettings


@dataclass
class CorpusConfig(TeacherSettings, CommonSettings):
    """What to judge, against what, and where to write it.

    Raises:
        InputError: A value is missing or out of its range.
    """

    data: str = setting(
        "", "Folder of an exported dataset, or a file of texts.", "Texts", required="prompter evaluate-data DIR", path=True
    )
    reference: str | None = setting(
        None, "Real texts to compare with: file, dataset folder, hub id, or toy:TASK.", "Texts", path=True
    )
    all_rows: bool = setting(False, "Judge the rows that the export marked, too.", "Texts")
    text_column: str = setting("text", "Column of the texts.", "Texts")
    reference_column: str = setting("text", "Column of the reference's texts.", "Texts")
    reference_split: str = setting("train", "Split of a reference that is a folder, hub id or toy:TASK.", "Texts")
    writer: str | None = setting(None, "Causal LM that measures perplexity: folder, hub id, or toy.", "Models", path=True)
    encoder: str | None = setting(
        None, "Model whose mean hidden states are the embeddings; default: the teacher, else TF-IDF.", "Models", path=True
    )
    confidence: bool = setting(False, "Stop where the teacher's confidence is not known.", "Evaluation")
    json: str | None = setting(None, "File for all metrics.", "Output", path=True)
    html: str | None = setting(None, "File for a page with charts.", "Output", path=True)

    def __post_init__(self) -> None:
        """Check ranges, and what is written to."""
        check(self)
        read = {"data": self.data, "reference": self.reference}
        check_file_name("json", self.json, read)
        check_file_name("html", self.html, read | {"json": self.json})
