"""Understand what a function answers: probabilities, percentages, one column, names of classes, or dictionaries.

Nobody writes a function to our form the first time. What has one meaning is read so, and said once; anything else is
described, with what to return instead.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from distill.common.errors import InputError
from distill.kinds.reading import rounding_error
from distill.teachers.probabilities import matrix, rows_of

SMOOTHING = 0.1
"""Probability that the other classes share where a teacher names the likeliest class alone."""

EXPECTED = "return an array of shape (number of texts, number of classes), each row of sum 1"


def read_answer(answer: Any, texts: int, labels: Sequence[str] | None) -> tuple[np.ndarray | None, str, str]:
    """Return the probabilities of an answer.

    Args:
        answer: What the function returned for `texts` texts.
        texts: Number of texts N.
        labels: The K class names, None where they are not known yet.

    Returns:
        (N, K) float64, NaN where a row is unusable, or None where the form is not understood at all; what is wrong; and how
        the answer was read where it is not plainly rows of probabilities.
    """
    if isinstance(answer, dict) and texts == 1:
        answer = [answer]
    if isinstance(answer, np.ndarray) and answer.dtype.kind in "OUS":
        answer = answer.tolist()
    if _is_list(answer, texts) and all(_is_scores(row) for row in answer):
        return _of_scores(answer, labels)
    if _is_list(answer, texts) and all(isinstance(row, str) for row in answer):
        return _of_names(answer, labels)
    whole = matrix(answer)
    if whole is not None and whole.shape in ((texts,), (texts, 1)) and texts:
        return _of_column(whole.reshape(-1), labels)
    if whole is not None and whole.ndim == 2 and len(whole) == texts and (labels is None or whole.shape[1] == len(labels)):
        rows, note = _of_rows(whole)
        return rows, "", note
    columns = len(labels) if labels else 2
    rows, problem = rows_of(answer, texts, columns)
    if np.isnan(rows).all():
        return None, problem, ""
    return rows, problem, ""


def read_numbers(answer: Any, texts: int, labels: Sequence[str] | None) -> tuple[np.ndarray | None, str, str]:
    """Return the numbers of an answer whose rows are no distribution over classes.

    Args:
        answer: What the function returned for `texts` texts: rows of numbers, one number a text, or the scores of pipelines.
        texts: Number of texts N.
        labels: The C labels; None for one number.

    Returns:
        As `read_answer`.
    """
    if _is_list(answer, texts) and all(isinstance(row, list) and _is_scores(row) for row in answer):
        return _of_scores(answer, labels)
    columns = len(labels) if labels else 1
    whole = matrix(answer)
    if whole is not None and columns == 1 and whole.shape == (texts,):
        whole = whole[:, None]
    rows, problem = rows_of(answer if whole is None else whole, texts, columns)
    return (None if problem and np.isnan(rows).all() else rows), problem, ""


def describe(answer: Any) -> str:
    """Return in a few words what a function answered.

    Examples:
        >>> describe([0.5, 0.5]), describe(None), describe({"a": 1})
        ('an array of shape (2,)', 'None', "a dict such as {'a': 1}")
    """
    whole = None if answer is None else matrix(answer)
    if whole is not None and whole.ndim:
        return f"an array of shape {whole.shape}"
    if answer is None or isinstance(answer, (int, float)):
        return str(answer)
    shown = repr(answer[0] if isinstance(answer, (list, tuple)) and answer else answer)[:80]
    many = f"{len(answer)} items " if isinstance(answer, (list, tuple)) else ""
    return f"a {type(answer).__name__} {'of ' if many else ''}{many}such as {shown}"


def usable_function(found: Any, name: str) -> tuple[Callable[..., Any], list[str] | None, str]:
    """Return the function to call for what a user named, its class names where it knows them, and what to say.

    Args:
        found: A function, a bound method, a classifier of scikit-learn or like it, or a pipeline of transformers.
        name: How the user named it, for messages.

    Raises:
        InputError: It is nothing that classifies texts.
    """
    if isinstance(found, type):
        raise InputError(f"teacher: {name} is a class; make an object of it, and name that object or its method.")
    if type(found).__module__.startswith("transformers.pipelines"):
        return _of_pipeline(found, name)
    owner, method = getattr(found, "__self__", None), getattr(found, "__name__", "")
    if hasattr(owner, "classes_") and method in METHODS:
        return METHODS[method](found), _class_names(owner), ""
    if hasattr(found, "classes_") or not callable(found):
        for method in METHODS:
            if callable(getattr(found, method, None)):
                said = f"teacher: {name} is of type {type(found).__name__}; its {method} is asked."
                return METHODS[method](getattr(found, method)), _class_names(found), said
    if not callable(found):
        raise InputError(
            f"teacher: {name} is of type {type(found).__name__}; expected a function of a list of texts, or an object with "
            "predict_proba."
        )
    return found, None, ""


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _exponential(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *texts: np.exp(np.asarray(function(*texts), dtype=np.float64))


def _softmax(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn decision values into probabilities; a single column decides between two classes."""

    def probabilities(*texts: Any) -> np.ndarray:
        values = np.asarray(function(*texts), dtype=np.float64)
        if values.ndim == 1:
            values = np.stack([np.zeros_like(values), values], axis=1)
        values = np.exp(values - values.max(axis=1, keepdims=True))
        return values / values.sum(axis=1, keepdims=True)

    return probabilities


def _names(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *texts: [str(name) for name in function(*texts)]


METHODS = {
    "predict_proba": _as_it_is,
    "predict_log_proba": _exponential,
    "decision_function": _softmax,
    "predict": _names,
}
"""Methods of scikit-learn's classifiers, the best first, and how to make probabilities of what they return."""


def _class_names(classifier: Any) -> list[str] | None:
    names = getattr(classifier, "classes_", None)
    return None if names is None or np.ndim(names) != 1 else [str(name) for name in names]


def _of_pipeline(pipeline: Any, name: str) -> tuple[Callable[..., Any], list[str], str]:
    labels = [str(pipeline.model.config.id2label[i]) for i in range(pipeline.model.config.num_labels)]
    if pipeline.task in ("token-classification", "ner"):
        said = f"teacher: {name} is a pipeline of transformers; give the folder of its model to learn all its probabilities."
        return lambda texts: list(pipeline(list(texts))), labels, said
    if pipeline.task not in ("text-classification", "sentiment-analysis"):
        raise InputError(f"teacher: {name} is a pipeline for {pipeline.task}; expected one for text- or token-classification.")

    def scores(texts: list[str], pairs: list[str] | None = None) -> list[Any]:
        inputs = texts if pairs is None else [{"text": a, "text_pair": b} for a, b in zip(texts, pairs, strict=True)]
        return list(pipeline(inputs, top_k=None, truncation=True))

    return scores, labels, f"teacher: {name} is a pipeline of transformers; all its scores are asked for."


def _is_list(answer: Any, texts: int) -> bool:
    return isinstance(answer, (list, tuple)) and len(answer) == texts > 0


def _is_scores(row: Any) -> bool:
    """Return whether a row is `{"label": ..., "score": ...}` or a list of these, as pipelines of transformers answer."""
    items = [row] if isinstance(row, dict) else row
    return (
        isinstance(items, (list, tuple))
        and len(items) > 0
        and all(isinstance(item, dict) and {"label", "score"} <= item.keys() for item in items)
    )


def _of_scores(answer: Sequence[Any], labels: Sequence[str] | None) -> tuple[np.ndarray | None, str, str]:
    found = [{str(item["label"]): item["score"] for item in ([row] if isinstance(row, dict) else row)} for row in answer]
    names = list(labels) if labels is not None else sorted({name for row in found for name in row})
    known = set(names)
    rows = np.full((len(found), len(names)), np.nan)
    problem, note = "", "teacher: dictionaries of label and score are read as probabilities."
    for values, row in zip(rows, found, strict=True):
        numbers = matrix(list(row.values()))
        if numbers is None or not row.keys() <= known:
            problem = problem or f"labels {sorted(row)[:4]} instead of {names}"
        elif len(row) == len(names):
            values[:] = [float(row[name]) for name in names]
        elif len(row) == 1 and len(names) > 1:
            ((name, score),) = row.items()
            values[:] = (1 - float(score)) / (len(names) - 1)
            values[names.index(name)] = float(score)
            note = "teacher: it names one label and its score; the other classes share the rest (top_k=None gives all scores)."
        else:
            problem = problem or f"{len(row)} scores instead of {len(names)}"
    return (None, problem, "") if problem and np.isnan(rows).all() else (rows, problem, note)


def _of_names(answer: Sequence[str], labels: Sequence[str] | None) -> tuple[np.ndarray | None, str, str]:
    if labels is None:
        return None, "names of classes, which need teacher_labels", ""
    places = {name: index for index, name in enumerate(labels)}
    rows = np.full((len(answer), len(labels)), np.nan)
    for row, name in zip(rows, answer, strict=True):
        if name in places:
            row[:] = SMOOTHING / (len(labels) - 1)
            row[places[name]] = 1 - SMOOTHING
    wrong = next((name for name in answer if name not in places), None)
    problem = "" if wrong is None else f"the name {wrong[:40]!r}, which is none of {list(labels)}"
    note = (
        f"teacher: it names the likeliest class only; that class gets {1 - SMOOTHING:.0%}, and the others share the rest. "
        "Probabilities teach more."
    )
    return (None, problem, "") if np.isnan(rows).all() else (rows, problem, note)


def _of_column(values: np.ndarray, labels: Sequence[str] | None) -> tuple[np.ndarray | None, str, str]:
    whole = bool(np.isfinite(values).all() and (values == np.round(values)).all())
    if labels is not None and whole and {str(int(value)) for value in values} <= set(labels):
        return _of_names([str(int(value)) for value in values], labels)
    if labels is not None and whole and len(labels) > 2 and ((values >= 0) & (values < len(labels))).all():
        rows, problem, _ = _of_names([labels[int(value)] for value in values], labels)
        return (
            rows,
            problem,
            "teacher: it answers with positions of classes, counted from 0; they are read as the likeliest class.",
        )
    if labels is not None and len(labels) != 2:
        return None, f"one number per text, but there are {len(labels)} classes", ""
    fits = (values >= 0) & (values <= 1)
    if not fits[np.isfinite(values)].all() or not fits.any():
        return None, "one number per text beyond 0 to 1 (decision values: return sigmoid of them)", ""
    second = "the second class" if labels is None else repr(labels[1])
    values = np.where(fits, values, np.nan)
    return np.stack([1 - values, values], axis=1), "", f"teacher: its one column is read as the probability of {second}."


def _of_rows(rows: np.ndarray) -> tuple[np.ndarray, str]:
    """Return rows of probabilities where they are percentages or logarithms without a doubt, and what to say."""
    usable = rows[np.isfinite(rows).all(axis=1)]
    if not len(usable) or rows.shape[1] < 2:
        return rows, ""
    sums = usable.sum(axis=1)
    if (usable >= 0).all() and (np.abs(sums - 100) <= 100 * np.maximum(rounding_error(usable / 100), 1e-3)).all():
        return rows / 100, "teacher: its rows sum to 100; they are read as percentages."
    with np.errstate(over="ignore"):
        if (usable <= 0).all() and (np.abs(np.exp(usable).sum(axis=1) - 1) <= 1e-3).all():
            return np.exp(rows), "teacher: its rows are logarithms of probabilities."
    return rows, ""
