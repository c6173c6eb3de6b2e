"""Teachers that a file names, and when they may be asked.

Files from elsewhere are data. A saved prompter, a rewriter and a dataset name the teacher that they were made with, and that
name may be a Python function or an address. Here such a name stays apart from a name that the user gave. It is used without
a question only where it is a toy task, or where this user's own prompter wrote the file on this machine.

`remember` notes a file that this user has just made: an empty file in the private folder `made-here` of the cache, named by
a hash of the file's content and of the working directory, because names of functions and folders depend on that. A changed
copy, or the same file used from another directory, is a file from elsewhere again.
"""

import hashlib
import os
import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from distill.common.errors import InputError
from distill.common.files import POSIX, cache_root, make_private_file, make_private_folder
from distill.kinds.names import AUTO, GivenKind, given_by
from distill.teachers.config import Asking
from distill.teachers.names import FUNCTION_NAME, URL_SCHEMES, check_stored_name, teacher_name

TOY = "toy:"

LONGEST_REQUEST = 20_000
"""Most characters of a request to a model that a file gives."""


@dataclass(frozen=True)
class FoundTeacher:
    """A teacher that a file names.

    Attributes:
        name: Its name, as the file gives it.
        file: The file.
        labels: Class names that the file gives for it.
        prompt: Request to a language model that the file gives, "" for none.
        hypothesis: Sentence about a class for an NLI model that the file gives, "" for none.
        kind: Kind that the file gives; None for none.

    Raises:
        InputError: The file holds something else in their places.
    """

    name: str
    file: Path
    labels: list[str] = field(default_factory=list)
    prompt: str = ""
    hypothesis: str = ""
    kind: GivenKind | None = None

    def __post_init__(self) -> None:
        """Check what the file holds."""
        check_stored_name(self.name, self.file, "teacher")
        if not isinstance(self.labels, list) or not all(isinstance(label, str) for label in self.labels):
            raise InputError(f"{self.file}: 'teacher_labels' is no list of names: copy the file again")
        for key, said in (("teacher_prompt", self.prompt), ("teacher_hypothesis", self.hypothesis)):
            if not isinstance(said, str) or len(said) > LONGEST_REQUEST:
                raise InputError(f"{self.file}: '{key}' is no request to a model: copy the file again")

    def asking(self, given: Asking, named: str | Callable[..., Any] = "") -> Asking:
        """Return how the teacher is asked: as the user says, and else as the file does.

        Args:
            given: What the user says.
            named: The teacher that the user names, "" for none; the file says nothing about another one than its own.
        """
        if named and teacher_name(named) != self.name:
            return given
        kind = self.kind if self.kind and given.kind.name in (AUTO, self.kind.name) else given.kind
        return replace(given, prompt=given.prompt or self.prompt, hypothesis=given.hypothesis or self.hypothesis, kind=kind)

    def check(self, trust: bool, otherwise: str = "") -> bool:
        """Check that this teacher may be used.

        Args:
            trust: Whether the user confirms what files name (`--trust_teacher`).
            otherwise: What else the user can do, for the message.

        Returns:
            True if only `trust` allows it. Such a teacher is no function, and no token is sent to it.

        Raises:
            InputError: The user has to name the teacher, or to confirm.
        """
        if self.name.startswith(TOY) or made_here(self.file):
            return False
        function = bool(FUNCTION_NAME.fullmatch(self.name)) and not Path(self.name).exists()
        if trust and not function:
            return True
        labels = f" --teacher_labels {shlex.join(self.labels)}" if self.labels else ""
        ways = [f"give --teacher {shlex.quote(self.name)}{labels} yourself if you trust it"]
        why = "what a file from elsewhere names is not asked"
        if function:
            why = "a Python function is code, and code that a file from elsewhere names is never run"
        else:
            address = self.name.startswith(URL_SCHEMES)
            ways += ["--trust_teacher to ask it" + (", without your token" if address else "")]
        raise InputError(
            f"teacher: {self.file} names its teacher '{self.name}', and you did not ({why}): "
            + ", or ".join([*ways, *([otherwise] if otherwise else [])])
        )


def found_teacher(values: Mapping[str, Any], file: Path) -> FoundTeacher:
    """Return the teacher that a file names among other values.

    Raises:
        InputError: See `FoundTeacher`.
    """
    labels = values.get("teacher_labels") or []
    prompt, hypothesis = (values.get(key) or "" for key in ("teacher_prompt", "teacher_hypothesis"))
    return FoundTeacher(values["teacher"], file, labels, prompt, hypothesis, given_by(values))


def remember(file: Path, teacher: str) -> None:
    """Note that this user made a file that names a teacher; do nothing where the cache cannot be written."""
    if teacher.startswith(TOY):
        return
    with suppress(OSError):
        make_private_folder(cache_root())
        make_private_folder(_folder())
        make_private_file(_folder() / _digest(file))


def made_here(file: Path) -> bool:
    """Return whether `remember` noted this content, in this working directory, for this user."""
    try:
        return all(_private(path) for path in (_folder(), _folder() / _digest(file)))
    except OSError:
        return False


def _folder() -> Path:
    return cache_root() / "made-here"


def _digest(file: Path) -> str:
    content = hashlib.sha256(file.read_bytes()).digest()
    return hashlib.sha256(content + os.fsencode(Path.cwd())).hexdigest()


def _private(path: Path) -> bool:
    """Return whether a path belongs to this user, and nobody else can write it (a cache may lie in a shared folder)."""
    about = path.lstat()
    return not POSIX or (about.st_uid == os.getuid() and not about.st_mode & 0o022)
