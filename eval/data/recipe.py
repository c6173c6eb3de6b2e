"""The data files of a dataset, as its `recipe.yaml` lists them: size, rows and SHA-256 of each.

A file of the listed size with other content is damaged: no program that edits Parquet ends with the same size. A file of
another size was edited, which is the user's right; a line says so. Datasets that list no files are older and are accepted.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distill.common.errors import InputError
from distill.common.files import read_yaml
from distill.common.yaml_text import as_written

RECIPE_FILE = "recipe.yaml"

FILES = "files"
"""Key of the recipe that lists the data files."""

LOGGER = logging.getLogger("prompter")


def file_entry(file: Path, rows: int) -> dict[str, Any]:
    """Return the entry of a data file: `bytes`, `rows` and `sha256`."""
    with file.open("rb") as stream:
        return {"bytes": file.stat().st_size, "rows": rows, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def file_fault(folder: Path, name: str, entry: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a file, or None if it is the one that was written."""
    file = folder / name
    if not file.is_file():
        return f"{name} is missing"
    if file_entry(file, entry["rows"]) == entry:
        return None
    if file.stat().st_size == entry["bytes"]:
        return f"{name} is damaged"
    return f"{name} was changed or cut off"


def check_dataset(folder: Path, files: Sequence[Path]) -> None:
    """Compare the Parquet files of a dataset with its recipe. Edited files are named in a warning.

    Args:
        folder: Folder of the dataset.
        files: Its Parquet files, those that will be read.

    Raises:
        InputError: A file is damaged, or one of several is missing.
    """
    if not (folder / RECIPE_FILE).is_file():
        return
    listed = read_yaml(folder / RECIPE_FILE).get(FILES)
    if listed is None:
        return
    entries = {name: entry for name, entry in checked_entries(folder, listed).items() if name.endswith(".parquet")}
    faults = {name: fault for name, entry in entries.items() if (fault := file_fault(folder, name, entry))}
    damaged = [fault for fault in faults.values() if fault.endswith("is damaged")]
    if len(faults) < len(entries):  # some are as they were written, so the others were lost, and not replaced on purpose
        damaged += [fault for fault in faults.values() if fault.endswith("is missing")]
    if damaged:
        raise InputError(
            f"{folder}: {', '.join(damaged)}: copy or export the dataset again; if this was on purpose, remove '{FILES}' from "
            f"its {RECIPE_FILE}"
        )
    others = [f"{name} is not in the recipe" for file in files if (name := file.relative_to(folder).as_posix()) not in entries]
    if changed := [*faults.values(), *others]:
        LOGGER.warning("%s: not as it was exported (%s); it is read as it is now.", folder, ", ".join(changed))


def names_as_written(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a recipe with the names of classes as text: of one called 1e-3, YAML makes a number."""
    for part, key in (("prompter", "labels"), ("prompter", "tags"), ("export", "teacher_labels")):
        if key in recipe[part]:
            recipe[part][key] = as_written(recipe[part][key])
    return recipe


def names_listed(recipe: Path) -> dict[str, list[str]]:
    """Return the names of classes that a recipe lists, by the columns that hold them; {} where it is missing or damaged."""
    try:
        made = read_yaml(recipe).get("prompter") if recipe.is_file() else None
    except InputError:
        return {}
    found = {key: as_written(made.get(key)) for key in ("labels", "tags")} if isinstance(made, dict) else {}
    good = {key: names for key, names in found.items() if isinstance(names, list) and all(isinstance(n, str) for n in names)}
    of = {"label": "labels", "labels": "labels", "wanted_label": "labels", "tags": "tags"}
    return {column: good[key] for column, key in of.items() if good.get(key)}


def checked_entries(folder: Path, listed: Any) -> dict[str, dict[str, Any]]:
    """Return the entries of a recipe's files, which a stranger may have written.

    Raises:
        InputError: They are no entries.
    """
    kinds = {"bytes": int, "rows": int, "sha256": str}
    good = isinstance(listed, dict) and all(
        isinstance(name, str)
        and not Path(name).is_absolute()
        and ".." not in Path(name).parts
        and isinstance(entry, dict)
        and entry.keys() == kinds.keys()
        and all(isinstance(entry[key], kind) for key, kind in kinds.items())
        for name, entry in listed.items()
    )
    if not good:
        raise InputError(f"{folder / RECIPE_FILE}: '{FILES}' is damaged: copy the file again, or remove '{FILES}' from it")
    return dict(listed)


def is_result(result: Any) -> bool:
    """Return whether this is the part `result` of a recipe."""
    kinds = {"complete": bool, "rows": int, "kept": int, "kept_of": list, "answers": list, "marked": dict}
    if not isinstance(result, dict) or not all(isinstance(result.get(key), kind) for key, kind in kinds.items()):
        return False
    return all(isinstance(count, int) for count in (*result["kept_of"], *result["answers"], *result["marked"].values()))
