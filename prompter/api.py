"""The verbs as functions: `compress`, `train`, `export`, `label`, `distill`, `export_student`, `evaluate`.

The keyword arguments are the settings of the command line, by the names of the flags (`prompter VERB --help`, or
docs/reference). `config` takes the path of a YAML file; keyword arguments win over it. A mistake raises an
`distill.common.errors.InputError`, which is a `ValueError`.
"""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from distill.common.errors import InputError
from distill.teachers.names import FUNCTION_NAME, class_names, teacher_name
from prompter.importing import quick_imports


def compress(teacher: str | Path | Callable[[list[str]], Any] | None = None, **settings: Any) -> dict[str, Any]:
    """Compress a teacher into a small model, as measurements advise: plan, pilot, student, program, card, report.

    Args:
        teacher: See `train`.
        **settings: Settings of `prompter compress`; `to` is needed.

    Returns:
        The summary, as in `summary.json` of the result's folder; with `dry_run=True` the plan, as in `plan.json`.

    Raises:
        InputError: Anything that you can put right; a `WorthlessError` where the pilot stops the work, which is saved.
        KeyboardInterrupt: Ctrl-C; the same call goes on.
    """
    from prompter.compressing.config import CompressConfig
    from prompter.runtime.parser import fill

    (config,) = fill((CompressConfig,), [("", _with_teacher(settings, teacher))])
    with quick_imports():
        from prompter.compressing.run import compress as run

    summary = run(config)
    if summary is None:
        raise KeyboardInterrupt
    return summary


def train(
    *,
    teacher: str | Path | Callable[[list[str]], Any] | None = None,
    reward_funcs: Callable[..., Any] | Sequence[Callable[..., Any]] = (),
    reward_weights: float | Sequence[float] | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Train a prompter and a student together for a teacher.

    Args:
        teacher: Folder, hub id, URL, "module:function", or a function from N texts to N rows of class probabilities. The
            function must be defined at the top of a module.
        reward_funcs: Rewards of your own beside the built-in ones; one alone needs no list. Each is called with the keyword
            arguments `texts`, `topics`, `targets`, `teacher_log_probs` and `student_log_probs`, for a teacher of pairs
            `text_pairs` too, and returns N numbers, best in [0, 1] as the built-in ones.
        reward_weights: One weight for each of them; 1 if None.
        **settings: Settings of `prompter train`; `generator` and `output_dir` are needed, as is `teacher`.

    Returns:
        The summary, as in `summary.json` of the run's folder; of several processes, the others return {}.

    Raises:
        InputError: Anything that you can put right; a `WorthlessError` where the pilot stops the work, which is saved.
        KeyboardInterrupt: Ctrl-C; the run is saved, and the same call with `resume=True` goes on.

    Examples:
        >>> try:
        ...     train(generator="gpt2", output_dir="runs/x")
        ... except InputError as error:
        ...     print(str(error).split(":")[0])
        teacher is missing
    """
    from prompter.training.settings import settings_from

    found = settings_from(_with_teacher(settings, teacher))
    with quick_imports():
        from distill.common.precision import computing_as
        from prompter.training.run import train as run

    with computing_as(found.run):
        summary = run(found, reward_funcs, reward_weights)
    if summary is None:
        raise KeyboardInterrupt
    return summary


def export(
    run: str | Path, *, teacher: str | Path | Callable[[list[str]], Any] | None = None, **settings: Any
) -> dict[str, Any]:
    """Write a labelled synthetic dataset with a trained prompter.

    Args:
        run: Folder of a finished run, the folder `prompter` in it, a student that the method t3 has made, or the id of a
            prompter on the hub.
        teacher: See `train`; the run's own if None, "none" for texts without labels.
        **settings: Settings of `prompter export`; `rows` and `output_dir` are needed.

    Returns:
        The result, as in `recipe.yaml` of the dataset: `complete`, `rows`, `kept`, `marked` and others.

    Raises:
        InputError: Anything that you can put right.
        KeyboardInterrupt: Ctrl-C; the same call goes on.
    """
    from prompter.exporting.config import export_settings

    config, writer = export_settings(_with_teacher(settings | {"run": run}, teacher))
    with quick_imports():
        from distill.common.files import read_yaml
        from distill.common.precision import computing_as
        from eval.data.recipe import RECIPE_FILE
        from prompter.exporting.loop import export as work

    with computing_as(config):
        work(config, writer)
    return dict(read_yaml(Path(config.to) / RECIPE_FILE)["result"])


def label(
    texts: str | Path, *, teacher: str | Path | Callable[[list[str]], Any] | None = None, **settings: Any
) -> dict[str, Any]:
    """Label texts of your own with a teacher; the dataset can be a source of `distill`.

    Args:
        texts: File, folder or hub dataset with the texts.
        teacher: See `train`; it is needed.
        **settings: Settings of `prompter label`; `to` is needed.

    Returns:
        The result, as in `recipe.yaml` of the dataset: `rows`, `kept`, `kept_of`, `answers`, `marked` and others.

    Raises:
        InputError: Anything that you can put right; a `WorthlessError` where no row could be kept.
        KeyboardInterrupt: Ctrl-C; the same call goes on.
    """
    from prompter.labelling.config import LabelConfig
    from prompter.runtime.parser import fill

    (config,) = fill((LabelConfig,), [("", _with_teacher(settings | {"texts": texts}, teacher))])
    with quick_imports():
        from distill.common.precision import computing_as
        from prompter.labelling.loop import label as work

    with computing_as(config):
        return work(config)


def distill(*, teacher: str | Path | Callable[[list[str]], Any] | None = None, **settings: Any) -> dict[str, Any]:
    """Distil students from saved prompters, exported datasets, text of your own, or another method.

    Args:
        teacher: See `train`; the one that the sources were made for if None.
        **settings: Settings of `prompter distill`; `sources` (a list, `--from` on the command line) or `method`, and
            `output_dir` are needed.

    Returns:
        The summary, as in `summary.json` of the student's folder.

    Raises:
        InputError: Anything that you can put right; nothing half-written is left at `output_dir`. A `WorthlessError` where the
            pilot stops the work, which is saved.
        KeyboardInterrupt: Ctrl-C; the same call with `resume=True` goes on.
    """
    from prompter.students.config import distill_settings

    found = distill_settings(_with_teacher(settings, teacher))
    with quick_imports():
        from distill.common.precision import computing_as
        from prompter.students.run import distill as run

    with computing_as(found[0]):
        summary = run(*found)
    if summary is None:
        raise KeyboardInterrupt
    return summary


def export_student(student: str | Path, **settings: Any) -> dict[str, dict[str, Any]]:
    """Convert a student to ONNX or OpenVINO, check each program against PyTorch, and time it.

    Args:
        student: Folder or hub id of a student, or of any sequence classifier.
        **settings: Settings of `prompter export-student`; `format` (a list) is needed.

    Returns:
        For each format the content of `prompter_export.json`: `agreement`, `largest_logit_difference`, `milliseconds`,
        `milliseconds_pytorch`, `times_faster`, `bytes` and others.

    Raises:
        InputError: Anything that you can put right; nothing half-written is left behind.
    """
    from prompter.deploying.config import ExportStudentConfig
    from prompter.runtime.parser import fill

    (config,) = fill((ExportStudentConfig,), [("", _with_teacher(settings | {"student": student}, None))])
    with quick_imports():
        from prompter.deploying.export import export_student as run

    return run(config)


def evaluate(
    models: str | Path | Sequence[str | Path], task: str | Path | None = None, *, teacher: Any = None, **settings: Any
) -> dict[str, Any]:
    """Measure one or several classifiers on a task.

    Args:
        models: Folders, hub ids, URLs or "module:function".
        task: Name of a task (`prompter tasks ls`), or path of its YAML file.
        teacher: What the models learnt from; adds agreement, KL and retention. See `train`.
        **settings: Settings of `prompter evaluate`.

    Returns:
        `task`, `models` (one row each, the teacher first), `pairs`, `notes`, and how it was measured. With `calibrate`:
        `calibrated` (for each folder its `calibration` and `coverage`), `texts` and `teacher`.

    Raises:
        InputError: Anything that you can put right.
    """
    from prompter.runtime.parser import fill
    from prompter.students.evaluate_config import EvaluateConfig

    values = _with_teacher(settings | {"models": models, "task": task}, teacher)
    (config,) = fill((EvaluateConfig,), [("", values)])
    with quick_imports():
        from distill.common.precision import computing_as
        from prompter.students.evaluation import evaluate as run

    with computing_as(config):
        return run(config)


def _with_teacher(settings: dict[str, Any], teacher: Any) -> dict[str, Any]:
    """Return the settings with the teacher by its name; a function is named by its module."""
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
    if not isinstance(settings.get("teacher_labels"), str | None):
        settings["teacher_labels"] = class_names(settings["teacher_labels"], "teacher_labels")
    if teacher is None:
        return settings
    name = teacher_name(str(teacher) if isinstance(teacher, Path) else teacher)
    put = "put it into a file, and give 'file.py:name'"
    if not isinstance(teacher, str | Path | type) and not inspect.isroutine(teacher):
        raise InputError(f"teacher is an object of type {type(teacher).__name__}, expected a name, or a function: {put}")
    if callable(teacher) and (not FUNCTION_NAME.fullmatch(name) or "." in name.partition(":")[2]):
        raise InputError(
            f"teacher is {name}, expected a name, or a function that is defined at the top of a module: {put} "
            "(of a method 'file.py:object.method')"
        )
    return settings | {"teacher": str(teacher) if isinstance(teacher, str | Path) else name}
