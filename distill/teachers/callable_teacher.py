"""A Python function as teacher."""

import hashlib
import importlib
import importlib.util
import operator
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.checkpoints.model_config import say_once
from distill.common.errors import InputError, did_you_mean
from distill.kinds.found import kind_of
from distill.kinds.names import NOT_GIVEN, GivenKind
from distill.kinds.rows import below, none
from distill.kinds.scores import Score
from distill.teachers.functions.answers import EXPECTED, describe, read_answer, read_numbers, usable_function
from distill.teachers.functions.words import EXPECTED_OF_WORDS, read_words
from distill.teachers.names import FUNCTION_NAME, teacher_name
from distill.teachers.probabilities import check_labels, count, matrix


class CallableTeacher:
    """A Python function `texts -> class probabilities` as teacher.

    The function gets a list of N texts (and for pair tasks, as its second argument, a list of N second texts). It returns N
    rows of K probabilities: a nested list, a numpy array or a tensor. `distill.teachers.functions` says what else it may:
    classifiers of scikit-learn, pipelines of transformers, percentages, one column, names of classes. A function that takes
    one text is called for each text. A row is usable if it is finite, non-negative and sums to 1 within 1e-3, or within its
    rounding. Other rows become NaN and are counted. An answer that does not have N rows is unusable as a whole.

    Args:
        function: The function itself, or "module:function", "module:object.method" or "file.py:function". The working
            directory is searched for the module too.
        labels: The K class names. Default: the function's attribute `labels`. A function without that attribute is asked
            about one text (and this query is counted) to find K; the names are then "0" to "K-1".
        given: What the user says about its kind. Several labels are independent probabilities, and a score is one number.

    Attributes:
        kind: What its answers are.
        path: Name of the function, "module:qualname".
        function: The function itself.

    Raises:
        InputError: The module or function does not exist, or it has fewer than two labels.
    """

    def __init__(
        self,
        function: str | Callable[..., Any],
        labels: Sequence[str] | None = None,
        given: GivenKind = NOT_GIVEN,
    ) -> None:
        self.path = teacher_name(function)
        self.function = _import_function(function) if isinstance(function, str) else function
        self._call, known, said = usable_function(self.function, self.path)
        if said:
            say_once(said)
        self._one_by_one: bool | None = None  # not known before the first answer
        self.queries = 0
        self.invalid = 0
        own = known or getattr(self.function, "labels", None)
        names = labels if labels is not None else own
        self.kind = kind_of(given, names or [])
        self.labels = [str(name) for name in names] if names is not None else self._ask_for_labels()
        check_labels(self.labels, self.kind)
        if known and set(known) == set(self.labels) and known != self.labels:
            raise InputError(f"teacher_labels: {self.labels}, but {self.path} answers in the order {known}; leave them out.")

    def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
        """Return (N, C) float32 answers on the CPU, see `kind`; an unusable answer is a row of NaN.

        Raises:
            InputError: The function raised an exception, or too many answers are unusable.
        """
        if not len(texts):
            return none(len(self.labels), self.kind.of_words)
        rows, problem = self._read(texts, text_pairs, self.labels)
        if rows is None:
            rows = np.full((len(texts), *([1] if self.kind.of_words else []), len(self.labels)), np.nan)
        predictions, bad_rows = self.kind.read(rows)
        return count(self, predictions, problem or bad_rows)

    def source_file(self) -> Path:
        """Return the source file of the function's module.

        Raises:
            InputError: The source does not determine the answers: the module has no file, or the function is not one of its
                names (a lambda, a function inside a function, an object).
        """
        module_name, _, name = self.path.partition(":")
        module = sys.modules.get(_module_of_file(module_name) if module_name.endswith(".py") else module_name)
        if not getattr(module, "__file__", None):
            raise InputError(f"module {module_name!r} has no source file")
        try:
            found = operator.attrgetter(name)(module)
        except AttributeError:
            found = None
        if found is not self.function and found != self.function:  # a bound method is made anew each time
            raise InputError(f"{self.path} is not a function at the top level of its module")
        return Path(str(module and module.__file__)).resolve()

    def _read(
        self, texts: Sequence[str], text_pairs: Sequence[str] | None, labels: list[str] | None
    ) -> tuple[np.ndarray | None, str]:
        """Ask, and return (N, K) probabilities or None, and what was wrong; find out whether it takes one text at a time."""
        failure: InputError | None = None
        rows, problem, note, answer = None, "", "", None
        if not self._one_by_one:
            try:
                answer = self._ask(list(texts), None if text_pairs is None else list(text_pairs))
                rows, problem, note = self._understood(answer, texts, labels)
            except InputError as error:
                failure = error
        if rows is None and self._one_by_one is not False:
            try:
                parts = [
                    self._one(text, None if text_pairs is None else text_pairs[i], labels) for i, text in enumerate(texts)
                ]
                rows, problem, note = below([torch.from_numpy(part[0]) for part in parts]).numpy(), "", parts[0][1]
                self._one_by_one, failure = True, None
                say_once(f"teacher: {self.path} takes one text at a time; it is called for each.")
            except _NotOneByOneError as error:
                failure = failure or (error.failure if self._one_by_one else None)
        elif rows is not None:
            self._one_by_one = False
        if failure is not None:
            raise failure
        if note:
            say_once(f"{note.replace('teacher:', f'teacher: {self.path}:', 1)}")
        if rows is None:
            expected = EXPECTED_OF_WORDS if self.kind.of_words else EXPECTED
            problem = f"{problem or 'no form that is known'}; it returned {describe(answer)}: {expected}"
        return rows, problem

    def _one(self, text: str, pair: str | None, labels: list[str] | None) -> tuple[np.ndarray, str]:
        """Return the row of one text, asked alone, and how it was read."""
        try:
            answer = self._ask(text, pair)
        except InputError as error:
            raise _NotOneByOneError(error) from error
        whole = matrix(answer)
        if whole is None or whole.ndim < 2 or self.kind.of_words:  # a row, a number, a name, a dictionary, a list of them
            rows, _, note = self._understood([answer], [text], labels)
            if rows is not None:
                return rows, note
        if self._one_by_one:
            return np.full((1, *([1] if self.kind.of_words else []), len(self.labels)), np.nan), ""
        raise _NotOneByOneError(None)

    def _understood(self, answer: Any, texts: Sequence[str], labels: list[str] | None) -> tuple[np.ndarray | None, str, str]:
        """Read an answer: rows of probabilities of classes in any form, or numbers of another kind."""
        if self.kind.of_words:
            return read_words(answer, texts, labels or [])
        return (read_answer if self.kind.problem_type is None else read_numbers)(answer, len(texts), labels)

    def _ask(self, texts: str | list[str], text_pairs: str | list[str] | None) -> Any:
        try:
            return self._call(texts) if text_pairs is None else self._call(texts, text_pairs)
        except Exception as error:  # the user's code may raise anything
            said = " ".join(str(error).split())[:300]
            asked = "one text" if isinstance(texts, str) else f"{len(texts)} texts"
            raise InputError(
                f"teacher: {self.path} raised {type(error).__name__} ({said}) when asked {asked}; "
                "call it with a list of texts to see where."
            ) from error

    def _ask_for_labels(self) -> list[str]:
        if isinstance(self.kind, Score):
            return ["score"]
        if self.kind.problem_type:
            raise InputError(f"teacher_labels is missing: give the labels of {self.path} in the order of its probabilities.")
        rows, problem = self._read(["A text."], ["A text."] if self.kind.texts == 2 else None, None)
        self.queries += 1
        if rows is None:
            raise InputError(
                f"teacher: {self.path} did not answer one text with one row of class probabilities ({problem}). "
                "Where it answers with names of classes, give --teacher_labels."
            )
        return [str(i) for i in range(rows.shape[1])]


class _NotOneByOneError(Exception):
    """The function does not answer one text with one row."""

    def __init__(self, failure: InputError | None) -> None:
        super().__init__()
        self.failure = failure


def function_file(spec: str) -> Path | None:
    """Return the source file of the module in "module:function" without running it; None where none is found."""
    if not FUNCTION_NAME.fullmatch(spec):
        return None
    name = spec.split(":")[0]
    if name.endswith(".py"):
        return Path(name).expanduser().resolve() if Path(name).expanduser().is_file() else None
    _search_working_directory()
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(found.origin) if found and found.has_location and found.origin else None


def _search_working_directory() -> None:
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # at the end: a file of the user must not hide an installed package


def _module_of_file(name: str) -> str:
    """Return the name under which the module of a file is known while the process runs."""
    return f"prompter_teacher_{hashlib.sha256(str(Path(name).expanduser().resolve()).encode()).hexdigest()[:12]}"


def _import_file(name: str) -> ModuleType:
    file = Path(name).expanduser().resolve()
    if not file.is_file():
        raise InputError(f"teacher: file {name} does not exist; check the path.")
    known = _module_of_file(name)
    if known in sys.modules:
        return sys.modules[known]
    found = importlib.util.spec_from_file_location(known, file)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))  # for what lies beside it
    sys.modules[known] = module
    try:
        found.loader.exec_module(module)
    except BaseException:
        del sys.modules[known]
        raise
    return module


def _import_function(spec: str) -> Any:
    """Return what `spec` names: a function, an object, or a method of one."""
    module_name, _, name = spec.rpartition(":")
    _search_working_directory()
    try:
        module = _import_file(module_name) if module_name.endswith(".py") else importlib.import_module(module_name)
    except InputError:
        raise
    except Exception as error:  # importing runs the user's code, which may raise anything
        said = " ".join(str(error).split())[:300]
        raise InputError(
            f"teacher: module {module_name!r} of {spec} cannot be imported ({type(error).__name__}: {said}); "
            "run from the folder that holds it, or install it."
        ) from error
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            where = f"module {module_name!r}" if found is module else f"the {type(found).__name__} of {spec}"
            near = [option for option in dir(found) if not option.startswith("_")]
            raise InputError(f"teacher: {where} has no function {part!r}.{did_you_mean(part, near)}")
        found = getattr(found, part)
    return found
