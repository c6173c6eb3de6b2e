"""Settings of `prompter train`, which the bench and the baselines share."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distill.common.errors import InputError
from distill.common.settings import LongWorkSettings, ModelHubSettings, check, setting
from distill.config import STUDENT_HELP, DistillConfig, StudentTokenizerSettings
from distill.teachers.config import MoneySettings
from distill.teachers.names import teacher_name
from eval.data.config import EvaluationDataSettings
from prompter.deploying.config import DeploySettings
from prompter.generation.config import BackendSettings, PolicyConfig, WriterConfig, split_writer
from prompter.rl.config import CandidateConfig, RewardConfig
from prompter.runtime.parser import fill, given_flags, settings_parser
from prompter.training.baseline_names import BASELINE_SOURCES, BASELINES

BUDGET = 16_000
"""Teacher queries where the user names no budget."""


@dataclass
class RunConfig(
    MoneySettings,
    BackendSettings,
    EvaluationDataSettings,
    StudentTokenizerSettings,
    DeploySettings,
    ModelHubSettings,
    LongWorkSettings,
):
    """What to compress, with what, at which cost.

    Raises:
        InputError: A value is missing or out of its range.
    """

    generator: str = setting(
        "",
        "Causal language model that writes the texts: folder, hub id, GGUF file, or toy.",
        "Models",
        required="give --generator with a causal language model, or a line 'generator: ...' in the config",
        path=True,
    )
    student: str = setting("bert:layers=2,hidden=128", f"{STUDENT_HELP}.", "Models", required="give --student", path=True)
    budget: int = setting(BUDGET, "Teacher queries that the run may spend.", "Budget", low=1)
    compare: list[str] = setting(
        [],
        f"Distil the same student at the same cost from other text too: {', '.join(BASELINES)}, or none.",
        "Texts",
        commas="always",
        choices=(*BASELINES, "none"),
    )
    corpus: str | None = setting(
        None, "General text for the baselines random-words and corpus: file, folder, hub id, or toy.", "Texts", path=True
    )
    real_data: str | None = setting(
        None,
        "Real text for the baselines real (its labels are not read) and supervised: file, folder, hub id, or toy:TASK.",
        "Texts",
        path=True,
    )
    eval_every: int = setting(0, "Rollouts between two evaluations; 0: at the end only.", "Evaluation", low=0)
    output_dir: str = setting(
        "", "Folder of the run.", "Output", required="give --output_dir with the folder of the run", path=True
    )
    save_every: int = setting(10, "Rollouts between two checkpoints.", "Output", low=1)
    sample_every: int = setting(5, "Rollouts between two tables of samples.", "Output", low=1)

    def __post_init__(self) -> None:
        """Check ranges, and that each baseline has its text."""
        if not self.teacher:
            raise InputError("teacher is missing: give --teacher with a classifier, or a line 'teacher: ...' in the config")
        check(self)
        split_writer(self.writer)
        self.budget = self.bought(self.budget, BUDGET)
        self.check_export()
        self.check_upload()
        if "none" in self.compare and len(self.compare) > 1:
            raise InputError(f"compare names {', '.join(self.compare)}, but none is one of them: leave none out")
        self.compare = [name for name in self.compare if name != "none"]
        for baseline, source in BASELINE_SOURCES.items():
            if baseline in self.compare and not getattr(self, source):
                raise InputError(f"compare names '{baseline}', which needs {source}: give --{source}")


@dataclass(frozen=True)
class Settings:
    """All settings of one run, by subject."""

    run: RunConfig
    policy: PolicyConfig
    writer: WriterConfig
    candidates: CandidateConfig
    reward: RewardConfig
    distill: DistillConfig
    method: Any = None  # settings of another method that makes the texts, where there is one

    def flat(self) -> dict[str, Any]:
        """Return every setting by name, as stored in `config.yaml`."""
        parts = (self.run, self.policy, self.writer, self.candidates, self.reward, self.distill, self.method)
        values = {key: value for part in parts if part for key, value in dataclasses.asdict(part).items()}
        return values | {"teacher": teacher_name(self.run.teacher), "writer": teacher_name(self.run.writer)}


PARTS = (RunConfig, PolicyConfig, WriterConfig, CandidateConfig, RewardConfig, DistillConfig)

NOT_COMPARED = {
    *("output_dir", "resume", "quiet", "report_to", "save_every", "sample_every", "pilot", "export"),
    *("teacher_cache", "teacher_rate", "teacher_price", "budget_money"),
    *("push_to_hub", "public", "license", "language"),
}
"""Settings that may differ between a run and its resumption. They do not change what is computed, except for the last bits
of predictions that the teacher gives in another batch where its cache is off."""


def settings_from(values: Mapping[str, Any], where: str = "", method: type | None = None) -> Settings:
    """Make settings from values by name.

    Args:
        values: Values as YAML or Python gives them, `config` among them.
        where: What holds them, for messages.
        method: Settings class of another method that makes the texts.

    Raises:
        InputError: A name is unknown (the nearest one is suggested), or a value is of another type or out of its range.
    """
    return Settings(*fill((*PARTS, *([method] if method else [])), [(where, values)]))


def parse_settings(arguments: list[str], defaults: Mapping[str, Any] | None = None) -> Settings:
    """Make settings from flags, `--config FILE` among them; see `settings_from`."""
    flags = given_flags(settings_parser(PARTS, "prompter train"), arguments)
    return Settings(*fill(PARTS, [("", defaults or {}), ("", flags)]))
