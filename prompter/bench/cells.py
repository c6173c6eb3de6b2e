"""One cell of a suite: computed once, stored by its content, and refused if it cost more or less than other cells.

The name of a cell's folder contains a hash of everything that its result depends on: settings, content of models and data,
library versions and source code. So an interrupted suite continues where it stopped, and two suites share their common cells.
After a change, only the cells that it affects are computed again.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import distill
import eval as eval_package
import prompter
from distill.common.errors import InputError
from distill.common.files import read_json, write_json
from distill.common.precision import computing_as
from distill.methods.table import METHODS
from distill.students.static import STATIC
from distill.teachers.functions.importing import function_file
from eval.data.text_files import names_file
from prompter.bench.suite import PROMPTED, Cell
from prompter.runtime.versions import library_versions
from prompter.students.methods import TOY_MODELS, train_method
from prompter.training.baseline_names import BASELINE_SOURCES
from prompter.training.baseline_texts import SELECTED
from prompter.training.baselines import train_baseline
from prompter.training.run import train
from prompter.training.settings import NOT_COMPARED, Settings

RESULT_FILE = "result.json"

INPUTS = (
    *("teacher", "generator", "policy", "student", "student_tokenizer", "student_words"),
    *("eval_data", "real_data", "corpus", *TOY_MODELS),
)
"""Settings that may name files."""

RESULT_KEYS = (
    *("accuracy", "macro_f1", "agreement", "texts", "queries", "updates", "seconds", "parameters", "n"),
    *("teacher_accuracy", "metric", "score", "teacher_score"),
)
"""Keys of a cell's result."""

PACKAGES = tuple(Path(str(package.__file__)).parent for package in (distill, eval_package, prompter))

DISPLAY_ONLY = ("prompter/commands", "eval/report")
"""Folders whose code shows results and does not change them."""


def cell_folder(cell: Cell, root: Path) -> Path:
    """Return the folder of a cell's work and result."""
    settings = {key: value for key, value in cell.parsed("unused").flat().items() if key not in NOT_COMPARED}
    depends = {
        "settings": settings,
        "text": cell.text,
        "inputs": {key: content_hash(_place(settings[key])) for key in INPUTS if settings.get(key)},
        "versions": library_versions(),
        "source": code_hash(PACKAGES),
    }
    digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
    return root / "cells" / f"{cell.name}-{digest[:12]}"


def is_finished(cell: Cell, root: Path) -> bool:
    """Return whether the result of a cell is stored."""
    return (cell_folder(cell, root) / RESULT_FILE).is_file()


def check_inputs(cells: Sequence[Cell]) -> None:
    """Refuse cells whose files are not there, so that hours of other cells do not run first.

    Names that may be an id of the hub, a service or a function are left to whoever loads them.

    Raises:
        InputError: A file or folder is missing; the message names the task and the setting.
    """
    for cell in cells:
        settings = cell.parsed("unused").flat()
        for key in sorted(_inputs(cell)):
            name = _place(settings.get(key) or "")
            # With a colon it is a service, a function, or a spec such as bert:layers=2.
            if ":" not in name and names_file(name) and not Path(name).exists() and content_hash(name) == name:
                flag = "" if key == "student" else f", or with --set {cell.task}.{key}=PATH"
                raise InputError(
                    f"task '{cell.task}', method '{cell.method}': {key} is '{name}', but there is no such file or folder; "
                    f"give its place in the suite{flag}"
                )


def _place(value: object) -> str:
    """Return where a setting's value may lie: a student static:FOLDER is made of what the folder holds."""
    name = str(value)
    return os.path.expanduser(name.removeprefix(STATIC)) if name.startswith(STATIC) else name


def _inputs(cell: Cell) -> set[str]:
    """Return the settings in `INPUTS` that a cell reads; a suite gives a task all that one of its methods needs."""
    if cell.text in METHODS:
        unread = {"generator", "policy", "real_data"} | (set() if METHODS[cell.text].needs_corpus else {"corpus"})
    else:
        unread = {"corpus", "real_data"} - {BASELINE_SOURCES.get(cell.text, "")}
    return set(INPUTS) - unread


@cache
def content_hash(name: str) -> str:
    """Return a hash of a file, a folder, or the module of a function; the name itself if it is none of these."""
    path = Path(name)
    if not path.exists():
        path = function_file(name) or path
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else []
    return _hash_files(path, files) if files else name


@cache
def code_hash(packages: Sequence[Path]) -> str:
    """Return a hash of all Python files of some packages, including subfolders, except `DISPLAY_ONLY`."""
    digest = hashlib.sha256()
    for package in packages:
        skipped = [package.parent / folder for folder in DISPLAY_ONLY]
        files = [file for file in sorted(package.rglob("*.py")) if not any(file.is_relative_to(folder) for folder in skipped)]
        digest.update(_hash_files(package, files).encode())
    return digest.hexdigest()


def _hash_files(root: Path, files: Sequence[Path]) -> str:
    """Return a hash of the content of files and of their paths below `root`."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(root).as_posix().encode() + b"\0")
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def cell_result(cell: Cell, folder: Path) -> dict[str, Any]:
    """Return the result of a cell, or its `error`. Compute it if it is not stored."""
    if (folder / RESULT_FILE).is_file():
        return dict(read_json(folder / RESULT_FILE))
    try:
        with computing_as(cell.parsed(folder).run):
            result = run_cell(cell, folder)
        check_cost(result, cell)
    except Exception as error:  # whatever went wrong, the other cells are still useful
        reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        return {"error": reason}
    write_json(folder / RESULT_FILE, result)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # a finished cell is never resumed
    return result


def run_cell(cell: Cell, folder: Path) -> dict[str, Any]:
    """Train the student of one cell, and return its result."""
    settings: Settings = cell.parsed(folder)
    found: dict[str, str] = {}
    if cell.text == PROMPTED:
        settings.run.resume = (folder / "config.yaml").is_file()
        summary = train(settings)
        if summary is None:
            raise KeyboardInterrupt
        found = {"health": " ".join(summary.get("health", {}).get("codes", []))}
        metric, teacher = summary["metric"], summary["teacher"]
        own = {"teacher_accuracy": teacher.get("accuracy"), f"teacher_{metric}": teacher.get(metric), "metric": metric}
        result = summary["students"][PROMPTED] | own
    elif cell.text in METHODS:
        result = train_method(cell.text, settings)
    else:
        result = train_baseline(cell.text, settings)
    metric = result["metric"]
    result |= {"score": result[metric], "teacher_score": result[f"teacher_{metric}"]}
    return {key: result.get(key) for key in RESULT_KEYS} | found  # a score has no accuracy


def check_cost(result: dict[str, Any], cell: Cell) -> None:
    """Refuse a result that cost more or less than other cells of the same budget.

    Raises:
        InputError: The number of texts, teacher queries or student updates is not the one of the cell.
    """
    expected = {
        # Methods, and the baseline that selects texts, may spend queries on texts that no student learns from.
        "texts": min(result["texts"], cell.budget) if cell.text in (*METHODS, SELECTED) else cell.budget,
        "queries": 0 if cell.text == "supervised" else cell.budget,
        "updates": cell.parsed("unused").distill.student_updates,
    }
    for name, value in expected.items():
        if result[name] != value:
            raise InputError(f"{cell.name}: {name} {result[name]:,}, expected {value:,}; the cell cannot be compared")
