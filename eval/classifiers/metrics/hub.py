"""Metrics of the Hugging Face hub, which are code that somebody else wrote."""

import math
from collections.abc import Sequence
from typing import Any

import evaluate
import numpy as np

from distill.checkpoints.network import heed_network
from distill.common.errors import InputError
from eval.data.config import HUB, METRIC_NAMES


def hub_metric(name: str) -> Any:
    """Fetch a metric `hub:NAME` from the hub. This runs code from the hub, so use it only for names you trust.

    Raises:
        InputError: The metric does not exist, the hub cannot be reached, or a package that the metric needs is missing.
    """
    heed_network()
    try:
        return evaluate.load(name.removeprefix(HUB))
    except Exception as error:  # code from the hub may raise anything, also while it is loaded
        raise InputError(
            f"metric: '{name}' could not be fetched from the hub ({_first_line(error)}); check the name and the network, "
            f"or use a built-in one: {', '.join(METRIC_NAMES)}."
        ) from error


def hub_metric_values(name: str, metric: Any, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
    """Compute a metric of the hub from predicted classes and labels.

    Returns:
        Each number in its result, as `hub:KEY`.

    Raises:
        InputError: The metric cannot be computed from these inputs (it may need arguments or probabilities), or its result
            holds no number.
    """
    try:
        answer = metric.compute(predictions=predictions, references=references)
    except Exception as error:  # code from the hub may raise anything
        raise InputError(
            f"metric: '{name}' cannot be computed from predicted classes and labels ({_first_line(error)}); leave it out."
        ) from error
    values = {
        f"{HUB}{key}": float(value)
        for key, value in dict(answer or {}).items()
        if isinstance(value, int | float | np.number) and not math.isnan(value)
    }
    if not values:
        raise InputError(f"metric: '{name}' returns no number ({answer}); leave it out.")
    return values


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
