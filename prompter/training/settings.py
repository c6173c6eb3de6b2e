"""Settings: dataclasses, filled from a YAML file and from flags; flags win.

Every key of the YAML file is the name of a flag. Values of the file pass through the same parser as flags do, so a wrong
type is caught in either place and named alike.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from distill.common.errors import InputError, did_you_mean
from distill.config import DistillConfig
from distill.teachers.names import teacher_name
from prompter.generation.config import PolicyConfig, WriterConfig
from prompter.rl.config import CandidateConfig, RewardConfig
from prompter.runtime.parser import parse
from prompter.training.baseline_names import BASELINES, SOURCES


@dataclass
class RunConfig:
    """What to compress, with what, at which cost.

    Raises:
        InputError: A field is missing or out of its range.
    """

    output_dir: str = field(default="", metadata={"help": "Folder of the run."})
    teacher: str = field(
        default="",
        metadata={"help": "Classifier: folder, hub id, http(s)://HOST/predict, Python callable module:function, or toy:TASK."},
    )
    teacher_labels: list[str] = field(
        default_factory=list,
        metadata={"help": "Class names of a callable teacher, in the order of its answers, or of an HTTP teacher, in any."},
    )
    teacher_cache: bool = field(
        default=True,
        metadata={
            "help": "Keep the teacher's answers between runs, so that no text is paid for twice; --no-teacher-cache: do not."
        },
    )
    generator: str = field(default="", metadata={"help": "Causal LM that writes the texts: folder, hub id, or toy."})
    student: str = field(
        default="bert:layers=2,hidden=128",
        metadata={"help": "Folder, hub id, teacher-layers:0,2,4 or bert:layers=2,hidden=128."},
    )
    student_tokenizer: str | None = field(
        default=None, metadata={"help": "Tokenizer of a student made from a config; default: the teacher's."}
    )
    budget: int = field(default=16000, metadata={"help": "Teacher queries that the run may spend."})
    seed: int = field(default=0, metadata={"help": "Seed of everything drawn."})
    device: str = field(default="auto", metadata={"help": "auto, cpu or cuda."})
    save_every: int = field(default=10, metadata={"help": "Policy updates between two checkpoints."})
    sample_every: int = field(default=5, metadata={"help": "Policy updates between two tables of samples."})
    report_to: list[str] = field(
        default_factory=list, metadata={"help": "Trackers: tensorboard, trackio, wandb; default: none."}
    )
    eval_data: str | None = field(
        default=None, metadata={"help": "Labelled data to report on, never to select by: file, hub id or toy:TASK."}
    )
    eval_split: str = field(default="test", metadata={"help": "Split, where eval_data is a hub id."})
    eval_text_column: str = field(default="text", metadata={"help": "Column of the texts."})
    eval_label_column: str = field(default="label", metadata={"help": "Column of the labels."})
    eval_limit: int = field(default=0, metadata={"help": "Rows used, drawn by seed 0; 0: all."})
    eval_every: int = field(default=0, metadata={"help": "Policy updates between two evaluations; 0: at the end only."})
    compare: list[str] = field(
        default_factory=list,
        metadata={"help": f"Distil the same student at the same cost from other text too: {', '.join(BASELINES)}, or none."},
    )
    corpus: str | None = field(
        default=None, metadata={"help": "General text for the controls random-words and corpus: file or toy."}
    )
    real_data: str | None = field(
        default=None,
        metadata={"help": "Real texts for the controls real (labels are not read) and supervised: file, hub id, toy:TASK."},
    )
    resume: bool = field(default=False, metadata={"help": "Go on with the run in output_dir."})
    quiet: bool = field(default=False, metadata={"help": "No bars and tables; errors and the result only."})

    def __post_init__(self) -> None:
        """Check ranges and choices."""
        for name in ("output_dir", "teacher", "generator", "student"):
            if not getattr(self, name):
                raise InputError(f"{name} is missing: give --{name.replace('_', '-')} or a line '{name}: ...' in the config")
        for name in ("budget", "save_every", "sample_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected a whole number >= 1")
        for name in ("eval_limit", "eval_every", "seed"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}, expected a whole number >= 0")
        if self.device.startswith("cuda:") and self.device != "cuda:0":
            raise InputError(
                f"device is '{self.device}', but transformers trains on the first GPU that it sees: "
                f"set CUDA_VISIBLE_DEVICES={self.device[5:]} and give --device cuda"
            )
        if self.compare == ["none"]:
            self.compare = []
        for control in self.compare:
            if control not in BASELINES:
                raise InputError(
                    f"compare names '{control}', expected some of: {', '.join(BASELINES)}.{did_you_mean(control, BASELINES)}"
                )
        for tracker in self.report_to:
            if tracker not in ("tensorboard", "trackio", "wandb"):
                raise InputError(f"report_to names '{tracker}', expected some of: tensorboard, trackio, wandb")
        for control, source in SOURCES.items():
            if control in self.compare and not getattr(self, source):
                raise InputError(f"compare names '{control}', which needs {source}: give --{source.replace('_', '-')}")


@dataclass(frozen=True)
class Settings:
    """All settings of one run, by subject."""

    run: RunConfig
    policy: PolicyConfig
    writer: WriterConfig
    candidates: CandidateConfig
    reward: RewardConfig
    distill: DistillConfig
    method: Any = None  # where another method than the prompter makes the texts: its settings

    def flat(self) -> dict[str, Any]:
        """Every setting by name, as stored in `config.yaml`."""
        parts = (
            self.run,
            self.policy,
            self.writer,
            self.candidates,
            self.reward,
            self.distill,
            *([self.method] if self.method else []),
        )
        values = {key: value for part in parts for key, value in dataclasses.asdict(part).items()}
        return values | {"teacher": teacher_name(self.run.teacher)}


PARTS = (RunConfig, PolicyConfig, WriterConfig, CandidateConfig, RewardConfig, DistillConfig)

NOT_COMPARED = {"output_dir", "resume", "quiet", "report_to", "save_every", "sample_every", "teacher_cache"}
"""Settings that may differ between a run and its resumption: they do not change what is computed, but for the last bits of
answers that the teacher, without its cache, gives in another batch."""


def parse_settings(arguments: list[str], defaults: dict[str, Any] | None = None, method: type | None = None) -> Settings:
    """Settings of `prompter train` from flags, a `--config FILE` among them, with those of a method; see `parse`."""
    return Settings(*parse((*PARTS, *([method] if method else [])), "prompter train", arguments, defaults))
