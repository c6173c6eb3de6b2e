"""Settings of commands whose work can be spread over workers of Ray."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.common.errors import InputError
from distill.common.settings import setting
from distill.teachers.names import FUNCTION_NAME, URL_SCHEMES

ENGINES = ("process", "ray")
"""Where the models run: in this process, or in workers of Ray."""

ENGINE_SETTINGS = ("engine", "ray_address", "ray_workers")
"""They never change the rows: an export may begin in one process and go on with many."""


@dataclass
class EngineSettings:
    """Where the models run."""

    engine: str = setting("process", "Where the models run: this process, or workers of Ray.", "Run", choices=ENGINES)
    ray_address: str = setting(
        "",
        "Cluster of Ray, such as HOST:6379, ray://HOST:10001, or auto; default: RAY_ADDRESS, or this machine alone.",
        "Run",
    )
    ray_workers: int = setting(
        0, "Workers of Ray; 0: one for each GPU of the cluster, or as many as its CPUs carry.", "Run", low=0
    )

    def check_engine(self) -> None:
        """Check that what is for Ray is given with it.

        Raises:
            InputError: It is not.
        """
        given = "ray_address" if self.ray_address else "ray_workers" if self.ray_workers else ""
        if given and self.engine != "ray":
            raise InputError(f"{given} is for workers of Ray: give --engine ray too, or leave it out")


def asked_here(teacher: Any) -> bool:
    """Return whether a teacher is asked by this process and not by workers: a service or a function may cost money.

    Args:
        teacher: Its name, or a function.

    Examples:
        >>> asked_here("https://host/predict"), asked_here("my_module:classify"), asked_here("distilbert/some-model")
        (True, True, False)
    """
    if not isinstance(teacher, str):
        return True
    function = FUNCTION_NAME.fullmatch(teacher) and teacher.partition(":")[0] != "toy" and not Path(teacher).exists()
    return teacher.startswith(URL_SCHEMES) or bool(function)


def workers_settings(config: Any) -> dict[str, Any]:
    """Return the settings of a command as its workers take them: without what is for the process that writes the dataset.

    Args:
        config: An `ExportConfig` or `LabelConfig`.
    """
    return dataclasses.asdict(config) | {"teacher_cache": False, "quiet": True, "push_to_hub": None, "public": False}
