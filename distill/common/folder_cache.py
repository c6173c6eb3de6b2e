"""A cache of trained folders.

The name of an entry holds a hash of its *key*: settings, seed, library versions and the source text of the code that makes it.
A change of any of these gives another name, so no entry ever has to be invalidated. An entry is built in a temporary folder
and renamed when complete. Its manifest holds a checksum of every file, so that a damaged entry is rebuilt instead of loaded.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from distill.common.errors import InputError
from distill.common.files import cache_root, follow_umask, make_private_folder

CACHE_MANIFEST = "manifest.json"


def default_cache_dir() -> Path:
    """Return the folder `toy` in `distill.common.files.cache_root`."""
    return cache_root() / "toy"


def source_hash(files: Sequence[Path]) -> str:
    """Return a hash of the contents of source files, so that a change of code changes the key."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def cached_folder(
    name: str, key: Mapping[str, Any], build: Callable[[Path], None], cache_dir: str | Path | None = None
) -> Path:
    """Return the folder of entry `name` for `key`; build it if it is missing or damaged.

    Args:
        name: Readable first part of the folder's name.
        key: Everything that the content depends on, as JSON values.
        build: Fills an empty folder; called at most once.
        cache_dir: Folder of the entries; None: `default_cache_dir()`.

    Raises:
        InputError: The cache folder cannot be written.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    root = Path(cache_dir) if cache_dir is not None else default_cache_dir()
    folder = root / f"{name}-{digest[:16]}"
    if is_complete(folder):
        return folder
    try:
        if cache_dir is None:
            make_private_folder(cache_root())
        root.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=root))
    except OSError as error:
        raise _cache_not_writable(root, error) from error
    try:
        build(temporary)
        temporary.chmod(0o755)  # mkdtemp makes it private, but several users may share a cache
        follow_umask(temporary)
        manifest = {"key": dict(key), "files": _checksums(temporary)}
        (temporary / CACHE_MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        _publish(temporary, folder)
    except OSError as error:
        raise _cache_not_writable(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def is_complete(folder: Path) -> bool:
    """Return whether all files of an entry are as they were written."""
    try:
        files = json.loads((folder / CACHE_MANIFEST).read_text(encoding="utf-8"))["files"]
        return bool(files == _checksums(folder))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below `folder` except the manifest."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != CACHE_MANIFEST)
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _publish(temporary: Path, folder: Path) -> None:
    """Give a finished folder its name. Where two processes build one entry at once, the first complete one stays."""
    while not is_complete(folder):
        if folder.exists():
            shutil.rmtree(folder)
        try:
            os.rename(temporary, folder)
        except FileExistsError:
            continue  # another process has published between the check and the rename
        except OSError:
            if not folder.exists():
                raise


def _cache_not_writable(path: Path, error: OSError) -> InputError:
    reason = error.strerror or str(error)
    return InputError(f"toy cache: {path} cannot be written ({reason}); set PROMPTER_CACHE to a writable folder.")
