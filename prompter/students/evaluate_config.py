"""Settings of `prompter evaluate`."""

from dataclasses import dataclass
from pathlib import Path

from distill.common.errors import InputError, did_you_mean
from distill.common.files import check_file_name
from distill.common.settings import CommonSettings, check, setting
from distill.teachers.config import TeacherSettings
from eval.data.config import HUB, METRIC_NAMES
from prompter.deploying.config import CalibrationSettings

PRINT = "-"


@dataclass
class EvaluateConfig(TeacherSettings, CalibrationSettings, CommonSettings):
    """What to measure, on what.

    Raises:
        InputError: A value is missing or out of its range.
    """

    models: list[str] = setting(
        [],
        "Classifiers to measure: folder, hub id, http(s)://HOST/predict, module:function, or toy:TASK; the folder may hold "
        "a program (ONNX, OpenVINO).",
        "Models",
        required="prompter evaluate MODEL... --task NAME",
        path=True,
    )
    task: str = setting(
        "",
        "Name of a task (prompter tasks ls), or path of a task's YAML file.",
        "Evaluation",
        path=True,
    )
    calibrate: str | None = setting(
        None,
        "Instead of measuring on a task: calibrate the students again on these texts (file, folder or hub dataset; labels are "
        "not read), which the teacher is asked about, and write it into their folders.",
        "Evaluation",
        path=True,
    )
    text_column: str = setting("text", "Column of these texts.", "Evaluation")
    text_split: str = setting("train", "Split of these texts, in a folder or on the hub.", "Evaluation")
    data: str | None = setting(None, "File or folder to read instead of the task's own data.", "Evaluation", path=True)
    limit: int = setting(0, "Rows to use, always the same ones; 0: all.", "Evaluation", low=0)
    metric: list[str] = setting(
        [],
        f"Metrics beside those of the task: {', '.join(METRIC_NAMES)}, or {HUB}NAME, which fetches and RUNS CODE from the "
        "Hugging Face hub: only for names you trust.",
        "Evaluation",
        commas="always",
    )
    json: str | None = setting(
        None,
        "Write the results to this file; without a file print them, as JSON alone.",
        "Output",
        optional_value=PRINT,
        path=True,
    )

    def __post_init__(self) -> None:
        """Check ranges, and that nothing is named twice."""
        check(self)
        check_file_name("json", self.json, {"task": self.task, "data": self.data, "calibrate": self.calibrate})
        if len(set(self.models)) < len(self.models):
            raise InputError(f"models names one twice: {', '.join(self.models)}")
        if self.teacher in self.models:
            raise InputError(f"'{self.teacher}' is named as teacher and as model: leave it out of the models")
        if not self.task and not self.calibrate:
            raise InputError("task is missing: give --task with a name (prompter tasks ls) or the path of a YAML file")
        if self.calibrate:
            self._check_calibrate()
        for metric in self.metric:
            if metric not in METRIC_NAMES and not metric.startswith(HUB):
                raise InputError(
                    f"metric names '{metric}', expected some of: {', '.join(METRIC_NAMES)}, or {HUB}NAME."
                    f"{did_you_mean(metric, METRIC_NAMES)}"
                )

    def _check_calibrate(self) -> None:
        if self.task or self.data:
            raise InputError("calibrate is given, which needs no task: leave --task and --data out, and measure afterwards")
        if not self.teacher:
            raise InputError("teacher is missing: calibrate asks it about each text, give --teacher")
        for model in self.models:
            if not Path(model).is_dir():
                raise InputError(f"models names {model}, which is no folder here: only a student's folder can be calibrated")
