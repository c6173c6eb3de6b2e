"""Checksums of a folder that we saved, so that a flipped bit is named and not computed with.

Weights carry theirs inside: the metadata of a safetensors file holds the SHA-256 of everything else in it. Whoever trains a
saved student further and calls `save_pretrained` writes a file without it, which is accepted as the new weights. The small
files (tokenizer, configuration) are listed in `checksums.json` with size and SHA-256. As in a dataset's recipe, a file of the
listed size with other content is damaged, and one of another size was edited, which is the user's right. Folders without
checksums, such as older ones and those of the hub, are read as before.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from distill.common.errors import InputError
from distill.common.files import LARGEST_JSON, read_bounded, write_json

CHECKSUMS = "checksums.json"

KEY = "prompter_sha256"
"""Key of the checksum in the metadata of a safetensors file."""

LISTED = {".json", ".txt", ".model", ".jinja"}
"""Endings of the files that `checksums.json` lists."""

LARGEST_LISTED = 256 << 20
"""A file of more bytes than any tokenizer has is not read for its checksum."""

LARGEST_HEADER = 100 << 20
"""What safetensors itself reads of a header at most, in bytes."""

WEIGHTS = {".safetensors", ".bin", ".gguf", ".onnx", ".data"}
"""Endings of files with weights."""

PLACES, READ = 256, 4096
"""At how many places a file of weights is read where its tensors are not known, and how many bytes at each."""


def seal(folder: Path) -> None:
    """Put checksums into the safetensors files of a folder, and list its small files in `checksums.json`.

    Raises:
        OSError: A file cannot be written.
        InputError: The same, of the list.
    """
    for file in sorted(folder.glob("*.safetensors")):
        _mark(file)
    listed = [file for file in sorted(folder.iterdir()) if file.suffix in LISTED and file.name != CHECKSUMS]
    list_files(folder, [file.name for file in listed])


def list_files(folder: Path, names: Iterable[str]) -> None:
    """List files of a folder with size and SHA-256 in its `checksums.json`.

    Raises:
        InputError: The list cannot be written.
    """
    write_json(folder / CHECKSUMS, {name: [(folder / name).stat().st_size, _sha256(folder / name)] for name in names})


def check_weights(file: Path, about: str) -> None:
    """Compare a safetensors file with the checksum in it; one without a checksum was saved by others.

    Args:
        file: The file.
        about: What it belongs to, at the beginning of the message: "teacher: models/x".

    Raises:
        InputError: It is damaged.
    """
    if file.suffix != ".safetensors":
        return
    with file.open("rb") as stream:
        header = _header(stream)
        if header is None:  # safetensors says what is wrong
            return
        said = _said(header)
        if said is not None and said != _digest(header, stream):
            raise InputError(f"{about}: {file.name} is damaged or cut off (its checksum differs); copy the folder again.")


def check_folder(folder: Path, about: str) -> None:
    """Compare the small files of a folder with its `checksums.json`, if it has one and its weights are still those we saved.

    Args:
        folder: The folder.
        about: As for `check_weights`.

    Raises:
        InputError: A file is damaged or missing, or the list is.
    """
    weights = [file for file in folder.glob("*.safetensors") if file.is_file()]
    if weights and not any(_is_ours(file) for file in weights):
        return  # saved by another program since, together with what it changed
    if found := faults(folder):
        raise InputError(f"{about}: {found[0]}; copy the folder again; if you changed it yourself, remove {CHECKSUMS} there.")


def faults(folder: Path) -> list[str]:
    """Return what is wrong with the files that a folder's `checksums.json` lists; [] where there is no list."""
    try:
        listed = json.loads(read_bounded(folder / CHECKSUMS, LARGEST_JSON))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError):  # an `InputError` is a ValueError
        listed = None
    if not well_formed(listed) or any(Path(name).name != name for name in listed):
        return [f"{CHECKSUMS} is damaged"]
    found = []
    for name, (size, digest) in listed.items():
        file = folder / name
        if not file.is_file():
            found.append(f"{name} is missing")
        elif file.stat().st_size == size <= LARGEST_LISTED and _sha256(file) != digest:
            found.append(f"{name} is damaged (its checksum differs)")
    return found


def well_formed(listed: Any) -> bool:
    """Return whether a file lists size and SHA-256 of each of some files by name; it may come from anybody."""
    return isinstance(listed, dict) and all(
        isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], int) and isinstance(entry[1], str)
        for name, entry in listed.items()
    )


def sample_of_weights(path: Path) -> str | None:
    """Return a SHA-256 by which two trainings of one model can be told apart, in milliseconds whatever its size.

    The beginning of each tensor is read, since training changes nearly all of its values; of other files than safetensors,
    many places. So it finds other weights, and no single flipped bit.

    Args:
        path: Folder of a model, or a file of weights.

    Returns:
        The hash in hexadecimal digits; None where there are no weights.

    Raises:
        OSError: A file cannot be read.
    """
    files = sorted(file for file in path.iterdir() if file.suffix in WEIGHTS) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            header = _header(stream) if file.suffix == ".safetensors" else None
            if header is None:
                size = file.stat().st_size
                starts = {str(start): start for start in range(0, size, max(1, size // PLACES))}
            else:
                values = stream.tell()
                tensors = sorted((name, entry) for name, entry in header.items() if name != "__metadata__")
                starts = {name: values + entry["data_offsets"][0] for name, entry in tensors}
            for name, start in starts.items():
                stream.seek(start)
                digest.update(f"{file.name} {name} ".encode() + stream.read(READ))
    return digest.hexdigest() if files else None


def _mark(file: Path) -> None:
    """Write the checksum into the metadata of a safetensors file."""
    temporary = file.with_name(f".{file.name}.sealed")
    with file.open("rb") as stream, temporary.open("wb") as marked:
        header = _header(stream)
        assert header is not None, file
        start = stream.tell()
        digest = _digest(header, stream)
        header["__metadata__"] = {**header.get("__metadata__", {}), KEY: digest}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)  # the values stay aligned
        marked.write(len(text).to_bytes(8, "little") + text)
        stream.seek(start)
        shutil.copyfileobj(stream, marked, 1 << 20)
    os.replace(temporary, file)


def _header(stream: BinaryIO) -> dict[str, Any] | None:
    """Read the header of a safetensors file; None if it has none."""
    length = int.from_bytes(stream.read(8), "little")
    if length > LARGEST_HEADER:
        return None
    try:
        header = json.loads(stream.read(length))
    except (ValueError, RecursionError):
        return None
    return header if isinstance(header, dict) else None


def _said(header: Mapping[str, Any]) -> str | None:
    metadata = header.get("__metadata__")
    said = metadata.get(KEY) if isinstance(metadata, dict) else None
    return said if isinstance(said, str) else None


def _digest(header: Mapping[str, Any], stream: BinaryIO) -> str:
    """Return the SHA-256 of names, shapes and values; `stream` stands behind the header."""
    digest = hashlib.sha256(json.dumps({k: v for k, v in header.items() if k != "__metadata__"}, sort_keys=True).encode())
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _is_ours(file: Path) -> bool:
    with file.open("rb") as stream:
        header = _header(stream)
    return header is None or _said(header) is not None  # a damaged file may be ours


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
