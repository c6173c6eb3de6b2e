"""The teacher: anything that answers texts with class probabilities.

The method needs no gradients through the teacher, so a black box is enough: a Hugging Face sequence classifier
(`TransformersTeacher`), a service that speaks HTTP (`HttpTeacher`), or any Python function (`CallableTeacher`), which may
front an ensemble. Every text asked is a *query*, the cost the user pays; it is counted once, whether or not the answer
is of use. A bad answer (NaN, wrong shape) becomes a row of NaN that never enters learning; when most answers are bad, the
run stops.
"""

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from distill import encode
from distill.errors import InputError, did_you_mean
from distill.http_teacher import HttpTeacher
from distill.hub import load_config, load_model, load_tokenizer
from distill.precision import autocast, resolve_device, weight_dtype
from distill.probabilities import check_labels, count, log_probabilities, matrix, rows_of

CALLABLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class Teacher(Protocol):
    """What the rest of the project asks of a teacher.

    Attributes:
        labels: the K class names, in the order of the columns.
        path: the folder, hub id, URL or "module:function" it was loaded from, for messages.
        max_invalid_share: stop when more than this share of the answers, of at least 64, is unusable.
        queries: texts asked so far; a run that resumes sets it to the stored count.
        invalid: how many of them had an unusable answer.
    """

    labels: list[str]
    path: str
    max_invalid_share: float
    queries: int
    invalid: int

    def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
        """Return (N, K) float32 log-probabilities on the CPU; an unusable answer is a row of NaN."""
        ...


class TransformersTeacher:
    """A Hugging Face sequence classifier as teacher.

    Args:
        path: a model folder or hub id.
        device: "auto", "cpu", "cuda", "cuda:N".
        batch_tokens: padded tokens per forward pass; None chooses by device.
        max_length: longer inputs are truncated to this many tokens, and to what the model can read.
        max_invalid_share: stop when more than this share of the answers, of at least 64, is unusable.
        field: the setting that named it, for messages.

    Raises:
        InputError: the model cannot be loaded, is no sequence classifier, has no trained head, is a regressor
            (one output) or answers several labels at once.
    """

    def __init__(
        self,
        path: str | Path,
        device: str | torch.device = "auto",
        batch_tokens: int | None = None,
        max_length: int = 128,
        max_invalid_share: float = 0.5,
        field: str = "teacher",
    ) -> None:
        self.path = str(path)
        self.device = resolve_device(device)
        config = load_config(path, field)
        if config.num_labels < 2:
            raise InputError(f"{field}: {path} has {config.num_labels} output (a regressor); 2 or more are needed.")
        if config.problem_type == "multi_label_classification":
            raise InputError(f"{field}: {path} is a multi-label classifier; one answer per text is expected.")
        self.model = load_model(
            AutoModelForSequenceClassification, path, field, self.device, weight_dtype(self.device)
        ).requires_grad_(False)
        self.tokenizer = load_tokenizer(path, field)
        if self.model.config.pad_token_id is None:  # GPT-style classifiers look for the last token that is not padding
            self.model.config.pad_token_id = self.tokenizer.pad_token_id
        self.labels = [str(self.model.config.id2label[i]) for i in range(config.num_labels)]
        self.batch_tokens = batch_tokens
        self.max_length = max_length
        self.max_invalid_share = max_invalid_share
        self.queries = 0
        self.invalid = 0

    def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
        """Return (N, K) float32 log-probabilities on the CPU.

        Raises:
            InputError: the share of unusable answers is too high (the weights hold NaN, for instance).
        """
        answers = encode.log_probs(
            self.model,
            self.tokenizer,
            texts,
            text_pairs,
            max_length=self.max_length,
            batch_tokens=self.batch_tokens,
        )
        return count(self, answers, "NaN or infinite values")

    def hidden_states(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Return the states after the embeddings and after each layer, (B, L, H) each, for encoded inputs.

        No query is counted: the texts of a hidden-state loss were paid for when they were judged.
        """
        with torch.no_grad(), autocast(self.device):
            backbone = self.model.base_model
            return backbone(**inputs, output_hidden_states=True).hidden_states


class CallableTeacher:
    """A Python function `texts -> class probabilities` as teacher.

    The function gets a list of N texts (and, for pair tasks, a second list of N texts as its second argument) and
    returns N rows of K probabilities: a nested list, a numpy array or a tensor. A row is used if it is finite,
    non-negative and sums to 1 within 1e-3; other rows become NaN and are counted, and so does a whole answer that has
    not N rows.

    Args:
        spec: "module:function". The module is looked for in the working directory too.
        labels: the K class names. Default: the function's attribute `labels` if it has one; else one text is asked
            (and counted) to learn K, and the names are "0" to "K-1".
        max_invalid_share: stop when more than this share of the answers, of at least 64, is unusable.

    Raises:
        InputError: no such module or function, or fewer than two labels.
    """

    def __init__(self, spec: str, labels: Sequence[str] | None = None, max_invalid_share: float = 0.5) -> None:
        self.path = spec
        self.function = _import_function(spec)
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
        answers, bad_rows = log_probabilities(rows)
        return count(self, answers, problem or bad_rows)

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


def load_teacher(
    spec: str, device: str | torch.device = "auto", labels: Sequence[str] | None = None, field: str = "teacher"
) -> TransformersTeacher | CallableTeacher | HttpTeacher:
    """Load the teacher that `spec` names.

    Args:
        spec: a URL that begins with "http://" or "https://"; "module:function" for a Python callable (unless a folder
            of that name exists); else a model folder or hub id.
        device: where a Hugging Face teacher runs.
        labels: the class names, in the order of the columns; a Hugging Face teacher brings its own, and names given
            for it rename its classes (for checkpoints that only say LABEL_0, LABEL_1).
        field: the setting that named it, for messages about a Hugging Face model.

    Raises:
        InputError: see `TransformersTeacher`, `CallableTeacher` and `HttpTeacher`; or the number of labels does not fit.
    """
    if spec.startswith(("http://", "https://")):
        return HttpTeacher(spec, labels)
    if CALLABLE.fullmatch(spec) and not Path(spec).exists():
        return CallableTeacher(spec, labels)
    teacher = TransformersTeacher(spec, device, field=field)
    if labels is not None:
        if len(labels) != len(teacher.labels):
            raise InputError(
                f"teacher_labels: {len(labels)} names {list(labels)}, but the teacher {spec} has "
                f"{len(teacher.labels)} classes {teacher.labels}; give as many names, in the teacher's order."
            )
        teacher.labels = [str(label) for label in labels]
    return teacher


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
