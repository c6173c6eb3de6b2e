"""A Python function as teacher."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill.common.errors import InputError, did_you_mean
from distill.teachers.names import FUNCTION_NAME, teacher_name
from distill.teachers.probabilities import check_labels, count, log_probabilities, matrix, rows_of


class CallableTeacher:
    """A Python function `texts -> class probabilities` as teacher.

    The function gets a list of N texts (and for pair tasks, as its second argument, a list of N second texts). It returns N
    rows of K probabilities: a nested list, a numpy array or a tensor. A row is usable if it is finite, non-negative and sums
    to 1 within 1e-3. Other rows become NaN and are counted. An answer that does not have N rows is unusable as a whole.

    Args:
        function: The function itself, or "module:function". The working directory is searched for the module too.
        labels: The K class names. Default: the function's attribute `labels`. A function without that attribute is asked
            about one text (and this query is counted) to find K; the names are then "0" to "K-1".

    Attributes:
        path: Name of the function, "module:qualname".
        function: The function itself.

    Raises:
        InputError: The module or function does not exist, or it has fewer than two labels.
    """

    def __init__(self, function: str | Callable[..., Any], labels: Sequence[str] | None = None) -> None:
        self.path = teacher_name(function)
        self.function = _import_function(function) if isinstance(function, str) else function
        self.queries = 0
        self.invalid = 0
        names = labels if labels is not None else getattr(self.function, "labels", None)
        self.labels = [str(name) for name in names] if names is not None else self._ask_for_labels()
        check_labels(self.labels)

    def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
        """Return (N, K) float32 log-probabilities on the CPU; an unusable answer is a row of NaN.

        Raises:
            InputError: The function raised an exception, or too many answers are unusable.
        """
        if not len(texts):
            return torch.empty(0, len(self.labels))
        rows, problem = rows_of(self._ask(texts, text_pairs), len(texts), len(self.labels))
        predictions, bad_rows = log_probabilities(rows)
        return count(self, predictions, problem or bad_rows)

    def source_file(self) -> Path:
        """Return the source file of the function's module.

        Raises:
            InputError: The source does not determine the answers: the module has no file, or the function is not one of its
                names (a lambda, a function inside a function, an object).
        """
        module_name, _, name = self.path.partition(":")
        module = sys.modules.get(module_name)
        if not getattr(module, "__file__", None):
            raise InputError(f"module {module_name!r} has no source file")
        if getattr(module, name, None) is not self.function:
            raise InputError(f"{self.path} is not a function at the top level of its module")
        return Path(str(module and module.__file__)).resolve()

    def _ask(self, texts: Sequence[str], text_pairs: Sequence[str] | None) -> Any:
        arguments = [list(texts)] if text_pairs is None else [list(texts), list(text_pairs)]
        try:
            return self.function(*arguments)
        except Exception as error:  # the user's code may raise anything
            raise InputError(
                f"teacher: {self.path} raised {type(error).__name__} ({error}) when asked {len(texts)} texts; "
                "call it with a list of texts to see where."
            ) from error

    def _ask_for_labels(self) -> list[str]:
        answer = matrix(self._ask(["A text."], None))
        self.queries += 1
        if answer is None or answer.ndim != 2 or answer.shape[0] != 1:
            raise InputError(
                f"teacher: {self.path} did not answer one text with one row of class probabilities; "
                "return an array of shape (number of texts, number of classes)."
            )
        return [str(i) for i in range(answer.shape[1])]


def function_file(spec: str) -> Path | None:
    """Return the source file of the module in "module:function" without running it; None where none is found."""
    if not FUNCTION_NAME.fullmatch(spec):
        return None
    _search_working_directory()
    try:
        found = importlib.util.find_spec(spec.split(":")[0])
    except (ImportError, ValueError):
        return None
    return Path(found.origin) if found and found.has_location and found.origin else None


def _search_working_directory() -> None:
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # at the end: a file of the user must not hide an installed package


def _import_function(spec: str) -> Callable[..., Any]:
    module_name, function_name = spec.split(":")
    _search_working_directory()
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # importing runs the user's code, which may raise anything
        raise InputError(
            f"teacher: module {module_name!r} of {spec} cannot be imported ({type(error).__name__}: {error}); "
            "run from the folder that holds it, or install it."
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        hint = did_you_mean(function_name, vars(module))
        raise InputError(f"teacher: module {module_name!r} has no function {function_name!r}.{hint}")
    return function
