"""What a user may name as a function: a function itself, a classifier of scikit-learn, a pipeline of transformers."""

from collections.abc import Callable
from typing import Any

import numpy as np

from distill.common.errors import InputError


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
