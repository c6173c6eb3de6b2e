"""What finished steps left, so that a later call neither pays for a step twice nor goes on from another student."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from distill.common.errors import InputError
from prompter.compressing.steps import RUN

FINISHED = "finished"
"""Key of the plan's file: the fingerprint of each finished step but the last, by folder."""

COMPARED = ("*.safetensors", "tokenizer.json", "vocab.txt")
"""Files of a student that decide how it answers. Its config.json may change: a calibration is written there."""


def fingerprint(folder: Path) -> str:
    """Return a hash of a student's weights and words; "" for a run, whose texts have checksums of their own."""
    if folder.name == RUN:
        return ""
    digest = hashlib.sha256()
    for file in sorted({file for pattern in COMPARED for file in folder.glob(pattern)}):
        with file.open("rb") as stream:
            digest.update(f"{file.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def check_finished(to: str, finished: Mapping[str, str]) -> None:
    """Compare the folders of finished steps with what they left.

    Args:
        to: Folder of the result.
        finished: Fingerprints by folder.

    Raises:
        InputError: A folder has gone, or a student has changed.
    """
    for name, before in finished.items():
        folder = Path(to) / name
        what = "the texts are in it" if name == RUN else "the student goes on from it"
        if not folder.is_dir():
            raise InputError(f"to: '{folder}' has gone, and {what}: put it back, or choose another folder")
        if fingerprint(folder) != before:
            raise InputError(f"to: '{folder}' has changed, and {what}: put it back as it was, or choose another folder")
