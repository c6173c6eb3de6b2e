"""Settings of `prompter evaluate-data`."""

from dataclasses import dataclass, field

from distill.common.errors import InputError


@dataclass
class CorpusConfig:
    """What to judge, against what, and where to write it.

    Raises:
        InputError: A field is missing or out of its range.
    """

    data: str = field(default="", metadata={"help": "Folder of an exported dataset, or a file of texts (the first argument)."})
    reference: str | None = field(
        default=None, metadata={"help": "Real texts to compare with: file, dataset folder, hub id, or toy:TASK."}
    )
    writer: str | None = field(default=None, metadata={"help": "Causal LM that tells perplexity: folder, hub id, or toy."})
    encoder: str | None = field(
        default=None,
        metadata={"help": "Model whose mean states are the embeddings; default: the teacher, else TF-IDF."},
    )
    teacher: str | None = field(
        default=None, metadata={"help": "Asked where no answers are stored: folder, hub id, URL, module:function, toy:TASK."}
    )
    teacher_labels: list[str] = field(
        default_factory=list, metadata={"help": "Class names of a callable teacher, in the order of its answers."}
    )
    confidence: bool = field(default=False, metadata={"help": "Stop where the teacher's confidence cannot be told."})
    all_rows: bool = field(default=False, metadata={"help": "Judge the rows that the export marked, too."})
    text_column: str = field(default="text", metadata={"help": "Column of the texts."})
    reference_column: str = field(default="text", metadata={"help": "Column of the reference's texts."})
    reference_split: str = field(default="train", metadata={"help": "Split of a reference on the hub."})
    json: str | None = field(default=None, metadata={"help": "File for all figures."})
    html: str | None = field(default=None, metadata={"help": "File for a page with charts."})
    seed: int = field(default=0, metadata={"help": "Seed of every draw."})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda or cuda:N."})
    quiet: bool = field(default=False, metadata={"help": "Do not tell what is being done; the table and errors only."})

    def __post_init__(self) -> None:
        """Check ranges and choices."""
        if not self.data:
            raise InputError("data is missing: prompter evaluate-data DIR")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}, expected a whole number >= 0")
