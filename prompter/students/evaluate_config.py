"""Settings of `prompter evaluate`."""

from dataclasses import dataclass, field

from distill.common.errors import InputError, did_you_mean
from eval.classifiers.metrics import HUB, METRICS
from prompter.runtime.parser import parse

PRINT = "-"


@dataclass
class EvaluateConfig:
    """What to measure, on what.

    Raises:
        InputError: A field is missing or out of its range.
    """

    models: list[str] = field(
        default_factory=list,
        metadata={"help": "Classifiers: folder, hub id, http(s)://HOST/predict, module:function, or toy:TASK."},
    )
    task: str = field(default="", metadata={"help": "Name of a task (prompter tasks ls), or path of a task's YAML file."})
    teacher: str | None = field(
        default=None, metadata={"help": "The classifier that the models learnt from: adds agreement, KL and retention."}
    )
    teacher_cache: bool = field(
        default=True, metadata={"help": "Keep the teacher's answers on disk, so that no text is paid for twice."}
    )
    data: str | None = field(default=None, metadata={"help": "File or folder to read instead of the task's own data."})
    limit: int = field(default=0, metadata={"help": "Rows used, always the same ones; 0: all."})
    metric: list[str] = field(
        default_factory=list,
        metadata={
            "help": f"Metrics beside those of the task: {', '.join(METRICS)}, or {HUB}NAME, which fetches and RUNS CODE "
            "from the Hugging Face hub: only for names you trust."
        },
    )
    json: str | None = field(
        default=None,
        metadata={
            "nargs": "?",
            "const": PRINT,
            "help": "Write the figures to this file; without a file print them, as JSON alone.",
        },
    )
    seed: int = field(default=0, metadata={"help": "Seed of the bootstrap."})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda or cuda:N."})
    quiet: bool = field(default=False, metadata={"help": "No bars; errors and the result only."})

    def __post_init__(self) -> None:
        """Check ranges and choices."""
        if not self.models:
            raise InputError("model is missing: prompter evaluate MODEL... --task NAME")
        if not self.task:
            raise InputError("task is missing: give --task with a name (prompter tasks ls) or the path of a YAML file")
        if len(set(self.models)) < len(self.models):
            raise InputError(f"models names one twice: {', '.join(self.models)}")
        if self.teacher in self.models:
            raise InputError(f"'{self.teacher}' is named as teacher and as model: leave it out of the models")
        for metric in self.metric:
            if metric not in METRICS and not metric.startswith(HUB):
                raise InputError(
                    f"metric names '{metric}', expected some of: {', '.join(METRICS)}, or {HUB}NAME."
                    f"{did_you_mean(metric, METRICS)}"
                )
        for name in ("limit", "seed"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}, expected a whole number >= 0")


def parse_evaluate(arguments: list[str]) -> EvaluateConfig:
    """Settings from the command line: models first, then flags, a `--config FILE` among them.

    Raises:
        InputError: See `prompter.training.settings.parse`.
    """
    if arguments and not arguments[0].startswith("-"):
        arguments = ["--models", *arguments]
    (config,) = parse((EvaluateConfig,), "prompter evaluate MODEL...", arguments)
    return config
