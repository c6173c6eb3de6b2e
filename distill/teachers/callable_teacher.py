"""A Python function as teacher."""

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill.common.errors import InputError, did_you_mean
from distill.teachers.probabilities import check_labels, count, log_probabilities, matrix, rows_of

CALLABLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class CallableTeacher:
    """A Python function `texts -> class probabilities` as teacher.

    The function gets a list of N texts (and, for pair tasks, a second list of N texts as its second argument) and
    returns N rows of K probabilities: a nested list, a numpy array or a tensor. A row is used if it is finite,
    non-negative and sums to 1 within 1e-3; other rows become NaN and are counted, and so does a whole answer that has
    not N rows.

    Args:
        spec: "module:function", or the function itself. The module is looked for in the working directory too.
        labels: the K class names. Default: the function's attribute `labels` if it has one; else one text is asked
            (and counted) to learn K, and the names are "0" to "K-1".
        max_invalid_share: stop when more than this share of the answers, of at least 64, is unusable.

    Raises:
        InputError: no such module or function, or fewer than two labels.
    """

    def __init__(
        self, spec: str | Callable[..., Any], labels: Sequence[str] | None = None, max_invalid_share: float = 0.5
    ) -> None:
        self.function = _import_function(spec) if isinstance(spec, str) else spec
        self.path = spec if isinstance(spec, str) else _name(spec)
        self.max_invalid_share = max_invalid_share
        self.queries = 0
        self.invalid = 0
        names = labels if labels is not None else getattr(self.function, "labels", None)
        self.labels = [str(name) for name in names] if names is not None else self._ask_for_labels()
        check_labels(self.labels)

    def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
        """Return (N, K) float32 log-probabilities on the CPU; an unusable answer is a row of NaN.

        Raises:
            InputError: the function raised an exception, or the share of unusable answers is too high.
        """
        if not len(texts):
            return torch.empty(0, len(self.labels))
        rows, problem = rows_of(self._ask(texts, text_pairs), len(texts), len(self.labels))
        predictions, bad_rows = log_probabilities(rows)
        return count(self, predictions, problem or bad_rows)

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
    """Return the source file of the module in "module:function", which is not run for it; None where there is none."""
    if not CALLABLE.fullmatch(spec):
        return None
    _look_here_too()
    try:
        found = importlib.util.find_spec(spec.split(":")[0])
    except (ImportError, ValueError):
        return None
    return Path(found.origin) if found and found.has_location and found.origin else None


def _name(function: Callable[..., Any]) -> str:
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}:{named.__qualname__}"


def _look_here_too() -> None:
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # at the end: a file of the user must not hide an installed package


def _import_function(spec: str) -> Callable[..., Any]:
    module_name, function_name = spec.split(":")
    _look_here_too()
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
