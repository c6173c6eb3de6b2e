"""One cell of a suite: computed once, kept by its content, refused where it did not cost what the others did.

A cell's folder carries a hash of all that its result depends on: settings, the content of models and data, library versions,
the source of what computes it. So a suite that was killed goes on where it stood, two suites share the cells they have in
common, and a change of anything computes what it touches anew.
"""

import hashlib
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import distill
import eval as eval_package
import prompter
from distill.common.errors import InputError
from distill.common.files import read_json, write_json
from distill.common.folder_cache import source_hash
from distill.common.precision import using_dtype
from distill.methods.table import METHODS
from distill.teachers.callable_teacher import function_file
from prompter.bench.suite import PROMPTED, Cell
from prompter.runtime.versions import library_versions
from prompter.students.methods import TOY_MODELS, train_method
from prompter.training.baseline_texts import SELECTED
from prompter.training.baselines import train_baseline
from prompter.training.run import train
from prompter.training.settings import NOT_COMPARED, Settings

RESULT = "result.json"

INPUTS = ("teacher", "generator", "policy", "student", "student_tokenizer", "eval_data", "real_data", "corpus", *TOY_MODELS)
"""Settings that may name files."""

FIGURES = ("accuracy", "macro_f1", "agreement", "texts", "queries", "updates", "seconds", "parameters", "n")


def folder_of(cell: Cell, root: Path) -> Path:
    """Where a cell's work and result lie."""
    settings = {key: value for key, value in cell.parsed("unused").flat().items() if key not in NOT_COMPARED}
    depends = {
        "settings": settings,
        "text": cell.text,
        "inputs": {key: content(str(settings[key])) for key in INPUTS if settings.get(key)},
        "versions": library_versions(),
        "source": source(),
    }
    digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
    return root / "cells" / f"{cell.name}-{digest[:12]}"


def is_finished(cell: Cell, root: Path) -> bool:
    """Whether a cell's figures are there."""
    return (folder_of(cell, root) / RESULT).is_file()


@cache
def content(name: str) -> str:
    """A hash of the file or folder of that name, or of the module of a function; the name itself where there is neither."""
    path = Path(name)
    if not path.exists():
        path = function_file(name) or path
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else []
    if not files:
        return name
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


@cache
def source() -> str:
    """A hash of the code that decides a result; how results are shown is left out."""
    packages = [Path(str(package.__file__)).parent for package in (distill, eval_package, prompter)]
    files = [file for package in packages for file in sorted(package.rglob("*.py"))]
    return source_hash(files)


def outcome(cell: Cell, folder: Path) -> dict[str, Any]:
    """A cell's figures, computed where they are not there yet, or its `error`."""
    if (folder / RESULT).is_file():
        return dict(read_json(folder / RESULT))
    try:
        with using_dtype(cell.parsed(folder).run.dtype):
            figures = run(cell, folder)
        check_cost(figures, cell)
    except Exception as error:  # whatever went wrong, the other cells are still worth having
        reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        return {"error": reason}
    write_json(folder / RESULT, figures)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # nothing goes on from here any more
    return figures


def run(cell: Cell, folder: Path) -> dict[str, Any]:
    """Train one cell."""
    settings: Settings = cell.parsed(folder)
    if cell.text == PROMPTED:
        settings.run.resume = (folder / "config.yaml").is_file()
        summary = train(settings)
        if summary is None:
            raise KeyboardInterrupt
        figures = summary["students"][PROMPTED] | {"teacher_accuracy": summary["teacher"].get("accuracy")}
    elif cell.text in METHODS:
        figures = train_method(cell.text, settings)
    else:
        figures = train_baseline(cell.text, settings)
    return {key: figures[key] for key in (*FIGURES, "teacher_accuracy")}


def check_cost(figures: dict[str, Any], cell: Cell) -> None:
    """Refuse a result that cost more or less than the other cells of its budget.

    Raises:
        InputError: Texts, teacher queries or student updates are not what was asked for.
    """
    expected = {
        # Methods that follow gradients and the control that selects may spend queries on a text that no student gets to see.
        "texts": min(figures["texts"], cell.budget) if cell.text in (*METHODS, SELECTED) else cell.budget,
        "queries": 0 if cell.text == "supervised" else cell.budget,
        "updates": cell.parsed("unused").distill.student_updates,
    }
    for name, value in expected.items():
        if figures[name] != value:
            raise InputError(f"{cell.name}: {name} {figures[name]:,}, expected {value:,}; the cell cannot be compared")
