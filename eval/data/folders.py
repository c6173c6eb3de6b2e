"""Which files of a folder hold a split.

Folders are laid out as people and libraries do it: one file per split (`test.csv`), Parquet shards as `push_to_hub` and its
copies have them (`data/test-00000-of-00002.parquet`), a folder per split, and what `save_to_disk` writes.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from distill.common.errors import InputError
from distill.common.files import read_json
from eval.data.text_files import DATA_FILES, TABLES, kind_of

ALIKE = (
    ("train", "training"),
    ("validation", "valid", "val", "dev", "development"),
    ("test", "testing", "eval", "evaluation"),
)
"""Names of one and the same split; a file of the very name wins."""

SPLIT_NAME = re.compile(rf"({'|'.join(name for names in ALIKE for name in names)})[-.]", re.IGNORECASE)


def split_files(folder: Path, split: str, lines: bool = False) -> list[Path]:
    """Return the file of a split, or its Parquet or Arrow shards in their order.

    Args:
        folder: The folder.
        split: Name of the split.
        lines: Whether a file of one text per line (`.txt`) will do, where there is no other.

    Raises:
        InputError: There is no such split, or several files could be it; the message names what is there.
    """
    if saved := saved_files(folder, split):
        return saved
    for name in _alike(split):
        found = sorted(file for file in _files(folder) if file.name.lower().split(".")[0] == name.lower())
        if len(found) == 1:
            return found
        if found:
            break
        shards = [file for file in parquet_files(folder, name) if SPLIT_NAME.match(file.name)]
        shards = shards or sorted(file for kind in TABLES for file in (folder / name).glob(f"*{kind}"))
        if shards:
            return shards
    for name in _alike(split) if lines else ():
        found = sorted(
            file for file in folder.glob("*") if _is_lines(file) and file.name.lower().split(".")[0] == name.lower()
        )
        if len(found) == 1:
            return found
    have = ", ".join(sorted(str(file.relative_to(folder)) for file in _files(folder, deep=True))[:20]) or "no data file"
    kinds = f"{DATA_FILES}{', or .txt with one text per line' if lines else ''}"
    raise InputError(
        f"{folder}: expected one file named {split}.jsonl (or {split} with {kinds}), but it has {have}; name the split "
        "or the file itself."
    )


def _is_lines(file: Path) -> bool:
    return kind_of(file) == ".txt" and file.is_file()


def parquet_files(folder: Path, split: str) -> list[Path]:
    """Return the Parquet files of a split, from the folder, its subfolder `data` or its only other one, in their order.

    Files are named as `datasets` names them: `test.parquet` or `test-00000-of-00002.parquet`. If no file carries the name of
    a split, all files are returned.
    """
    files = sorted(folder.glob("data/*.parquet")) or sorted(folder.glob("*.parquet"))
    if not files and len({file.parent for file in folder.glob("*/*.parquet")}) == 1:
        files = sorted(folder.glob("*/*.parquet"))
    named = {file: found[1].lower() for file in files if (found := SPLIT_NAME.match(file.name))}
    for name in _alike(split):
        if chosen := [file for file in files if named.get(file) == name.lower()]:
            return chosen
    return [] if named else files


def saved_files(folder: Path, split: str) -> list[Path]:
    """Return the Arrow files of a folder that `save_to_disk` has written; [] for other folders.

    Raises:
        InputError: The folder is damaged, or a `DatasetDict` without that split.
    """
    if (folder / "dataset_dict.json").is_file():
        names = sorted(part.name for part in folder.iterdir() if (part / "state.json").is_file())
        chosen = next((name for name in _alike(split) if name in names), None)
        if chosen is None:
            raise InputError(f"{folder}: has the splits {', '.join(names) or 'none'}, no '{split}'; name one of them.")
        return saved_files(folder / chosen, split)
    if not (folder / "state.json").is_file():
        return []
    state = read_json(folder / "state.json")
    if not isinstance(state, dict) or "_data_files" not in state:
        return []  # some other state
    if state.get("_indices_data_files"):
        raise InputError(f"{folder}: keeps its rows in another order; call flatten_indices() before save_to_disk().")
    try:
        names = [str(entry["filename"]) for entry in state["_data_files"]]
    except (TypeError, KeyError):
        raise InputError(f"{folder}: its state.json names no files; save the dataset again.") from None
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise InputError(f"{folder}: lacks {name}, which its state.json names; copy the folder again.")
    return [folder / name for name in names]


def _alike(split: str) -> tuple[str, ...]:
    """Return a split's name, and then its other names."""
    others = next((names for names in ALIKE if split.lower() in names), ())
    return (split, *(name for name in others if name != split))


def _files(folder: Path, deep: bool = False) -> Iterator[Path]:
    """Yield the data files of a folder; for a list, also those below it and those of one text per line."""
    for file in [*folder.iterdir(), *(folder.glob("*/*") if deep else ())]:
        if kind_of(file) and (deep or kind_of(file) != ".txt") and file.is_file():
            yield file
