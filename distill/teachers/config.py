"""Settings that name a teacher, shared by every command that may ask one."""

from dataclasses import dataclass

from distill.common.settings import setting


@dataclass
class TeacherSettings:
    """Which teacher, the names of its classes, and whether its predictions are kept."""

    teacher: str = setting(
        "",
        "Classifier: folder, hub id, http(s)://HOST/predict, endpoint+https://HOST, vllm+http://HOST/classify, Python "
        "function module:function, or toy:TASK. Where a prompter or dataset is given, the default is the teacher it was made "
        "for.",
        "Models",
        path=True,
    )
    teacher_labels: list[str] = setting(
        [],
        "Class names of a function, in the order of its predictions, or of a service, in any order.",
        "Models",
        commas="alone",
    )
    teacher_max_length: int = setting(
        512,
        "Longer texts are cut to this many tokens by a Hugging Face teacher, or to what it can read.",
        "Models",
        low=2,
        high=8192,
    )
    teacher_cache: bool = setting(True, "Keep the teacher's predictions on disk, so that no text is paid for twice.", "Models")


@dataclass
class FoundTeacherSettings(TeacherSettings):
    """The same for commands that read files which name a teacher; see `distill.teachers.found`."""

    trust_teacher: bool = setting(
        False,
        "Ask the teacher that a prompter or dataset of others names (a model or a service; never a function, and no token "
        "is sent).",
        "Models",
    )
