"""Settings of `prompter distill`."""

from dataclasses import dataclass, field

from distill.common.errors import InputError
from distill.methods import table as methods

METHODS = tuple(methods.METHODS)
"""Methods that make what a student learns from, instead of a --from."""

CORPUS_METHODS = tuple(method.name for method in methods.METHODS.values() if method.needs_corpus)
"""Those that start from general text."""


@dataclass
class StudentsConfig:
    """What to distil from, into what.

    Raises:
        InputError: A field is missing or out of its range.
    """

    sources: list[str] = field(
        default_factory=list,
        metadata={"aliases": ["--from"], "help": "Run or prompter folder, exported dataset, text file, or hub dataset."},
    )
    method: str = field(
        default="", metadata={"help": f"Instead of --from: {', '.join(METHODS)}; see docs/explanation/methods.md."}
    )
    corpus: str | None = field(
        default=None,
        metadata={"help": "General text for zero-shot and t3: text file, folder, data file, hub dataset, or toy."},
    )
    weights: list[float] = field(
        default_factory=list, metadata={"help": "How often texts of each --from are drawn in training; default: all alike."}
    )
    student: list[str] = field(
        default_factory=lambda: ["bert:layers=2,hidden=128"],
        metadata={"help": "Folder, hub id, teacher-layers:0,2,4 or bert:layers=2,hidden=128; several share the texts."},
    )
    to: str = field(default="", metadata={"help": "Folder of the student; one folder in it for each of several."})
    teacher: str = field(
        default="", metadata={"help": "Folder, hub id or module:function; default: the one the prompter was trained for."}
    )
    teacher_labels: list[str] = field(
        default_factory=list, metadata={"help": "Class names of a callable teacher, in the order of its answers."}
    )
    teacher_cache: bool = field(
        default=True, metadata={"help": "Keep the teacher's answers on disk, so that no text is paid for twice."}
    )
    student_tokenizer: str | None = field(
        default=None, metadata={"help": "Tokenizer of a student made from a config; default: the teacher's."}
    )
    base: str | None = field(default=None, metadata={"help": "A prompter's base model, where it has moved."})
    budget: int = field(default=0, metadata={"help": "Teacher queries that may be spent; needed where a prompter writes."})
    epochs: float = field(default=0.0, metadata={"help": "Passes over the texts, instead of student_updates."})
    held_out: float = field(default=0.05, metadata={"help": "Share of the texts that is never trained on."})
    select: str = field(
        default="best-agreement",
        metadata={"help": "best-agreement: keep the state that agrees best on held-out texts; last: keep the last one."},
    )
    measure_every: int = field(default=100, metadata={"help": "Student updates between two measurements."})
    sample_every: int = field(default=5, metadata={"help": "Batches of a method between two tables of samples."})
    save_seconds: float = field(default=60.0, metadata={"help": "Seconds between two checkpoints, at least."})
    text_column: str = field(default="text", metadata={"help": "Column of one's own texts."})
    text_split: str = field(default="train", metadata={"help": "Split of one's own texts, in a folder or on the hub."})
    eval_data: str | None = field(
        default=None, metadata={"help": "Labelled data to report on, never to select by: file, hub id or toy:TASK."}
    )
    eval_split: str = field(default="test", metadata={"help": "Split, where eval_data is a hub id."})
    eval_text_column: str = field(default="text", metadata={"help": "Column of its texts."})
    eval_label_column: str = field(default="label", metadata={"help": "Column of its labels."})
    eval_limit: int = field(default=0, metadata={"help": "Rows used, drawn by seed 0; 0: all."})
    report_to: list[str] = field(
        default_factory=list, metadata={"help": "Trackers: tensorboard, trackio, wandb; default: none."}
    )
    seed: int = field(default=0, metadata={"help": "Seed of everything drawn."})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda or cuda:N."})
    resume: bool = field(default=False, metadata={"help": "Go on with what a stopped call began."})
    quiet: bool = field(default=False, metadata={"help": "No bars; errors and the result only."})

    def __post_init__(self) -> None:
        """Check ranges and choices."""
        if self.method and self.sources:
            raise InputError(f"from is {', '.join(self.sources)}, but method '{self.method}' makes its own: leave one out")
        if not self.sources and not self.method:
            raise InputError("from is missing: give --from with a run, a dataset or a text file, or a --method")
        if self.method and not self.budget:
            raise InputError(f"budget is missing: say how many teacher queries method '{self.method}' may spend")
        if self.method and len(self.student) > 1:
            raise InputError(f"student names {len(self.student)}, but method '{self.method}' is set against one: give one")
        if self.method and self.epochs:
            raise InputError("epochs is given, but a method's rows come while the student learns: give --student_updates")
        if self.method in CORPUS_METHODS and not self.corpus:
            raise InputError(f"corpus is missing: method '{self.method}' starts from general text; give --corpus")
        if not self.to:
            raise InputError("to is missing: give --to with the folder of the student")
        if len(set(self.sources)) < len(self.sources):
            raise InputError(f"from names a source twice ({', '.join(self.sources)}): give a higher weight instead")
        if self.weights and (len(self.weights) != len(self.sources) or min(self.weights) <= 0):
            raise InputError(f"weights are {self.weights}, expected {len(self.sources)} numbers above 0, one for each --from")
        if not self.student or len(set(self.student)) < len(self.student):
            raise InputError(f"student names {self.student}, expected one or more different ones")
        if self.select not in ("best-agreement", "last"):
            raise InputError(f"select is '{self.select}', expected one of: best-agreement, last")
        if not 0 <= self.held_out < 1:
            raise InputError(f"held_out is {self.held_out}, expected a share of at least 0 and below 1")
        if self.select == "best-agreement" and not self.held_out:
            raise InputError("held_out is 0, so nothing is there to select by: give a share above 0, or --select last")
        if self.epochs < 0:
            raise InputError(f"epochs is {self.epochs}, expected a number above 0")
        for name in ("measure_every", "sample_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected a whole number >= 1")
        for name in ("budget", "eval_limit", "seed", "save_seconds"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}, expected a number >= 0")
        for tracker in self.report_to:
            if tracker not in ("tensorboard", "trackio", "wandb"):
                raise InputError(f"report_to names '{tracker}', expected some of: tensorboard, trackio, wandb")


NOT_COMPARED = {"resume", "quiet", "report_to", "to", "sample_every", "save_seconds", "teacher_cache"}
"""Settings that may differ between a call and its resumption: they do not change what is computed."""
