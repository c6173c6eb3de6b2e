"""How far a figure could be chance: bootstrap intervals, and McNemar's test between two students.

A figure measured on N rows would be another one on N other rows of the same kind. The bootstrap (Efron 1979) draws N of the
rows with replacement, again and again, and takes the spread of the figure over these draws for the spread that other
data would give; the interval reported is the percentile one.

Every metric here is a function of sums over rows: a table of (label, choice) counts gives accuracy, macro-F1 and Matthews'
correlation, sums by confidence bin give the calibration error, sums of KL give its mean. So one draw of row numbers serves
all metrics of all models, by counting alone, without calling a metric a thousand times. It also pairs them: a student and
its teacher are seen on the same draws, and so the interval of their ratio is not blown up by what moves both.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from distill.common.seeding import derive_seed
from eval.classifiers.metrics import CALIBRATION_BINS, calibration_gaps

RESAMPLES = 1000
LEVEL = 0.95

# Row numbers drawn at once: what 32 MB hold.
DRAWN_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Tally:
    """A metric as a function of sums over rows.

    Attributes:
        cells: (N,) int64, the sum that each row counts into.
        size: Number of sums.
        finish: Turns (B, size) float64 sums of B draws into (B,) values.
        weights: (N,) float64, what each row adds; 1 if None.
    """

    cells: np.ndarray
    size: int
    finish: Callable[[np.ndarray], np.ndarray]
    weights: np.ndarray | None = None

    def sums(self, rows: np.ndarray) -> np.ndarray:
        """Return the (B, size) float64 sums of B draws, given as row numbers, (B, N) int."""
        offsets = np.arange(len(rows))[:, None] * self.size
        weights = None if self.weights is None else self.weights[rows].ravel()
        sums = np.bincount((self.cells[rows] + offsets).ravel(), weights=weights, minlength=len(rows) * self.size)
        return sums.reshape(len(rows), self.size).astype(np.float64)


def label_tallies(choices: np.ndarray, labels: np.ndarray, classes: int) -> dict[str, Tally]:
    """Accuracy, macro-F1 and Matthews' correlation of choices, as in `eval.classifiers.metrics`.

    Args:
        choices: (N,) class indices; -1 where there is no usable answer.
        labels: (N,) class indices.
        classes: Number of classes K.
    """
    width = classes + 1  # the last column is for answers that are not usable
    cells = labels * width + np.where(choices < 0, classes, choices)

    def table(sums: np.ndarray) -> np.ndarray:
        return sums.reshape(len(sums), classes, width)

    def hits(counts: np.ndarray) -> np.ndarray:
        return np.diagonal(counts[:, :, :classes], axis1=1, axis2=2)

    def accuracy(sums: np.ndarray) -> np.ndarray:
        return hits(table(sums)).sum(axis=1) / len(labels)

    def macro_f1(sums: np.ndarray) -> np.ndarray:
        counts = table(sums)
        occurrences = counts.sum(axis=2) + counts[:, :, :classes].sum(axis=1)
        f1 = 2 * hits(counts) / np.maximum(occurrences, 1)
        return f1.sum(axis=1) / np.maximum((occurrences > 0).sum(axis=1), 1)

    def matthews(sums: np.ndarray) -> np.ndarray:
        counts = table(sums)
        n, true, predicted = len(labels), counts.sum(axis=2), counts.sum(axis=1)
        covariance = n * hits(counts).sum(axis=1) - (true * predicted[:, :classes]).sum(axis=1)
        spread = np.sqrt((n**2 - (true**2).sum(axis=1)) * (n**2 - (predicted**2).sum(axis=1)))
        return np.divide(covariance, spread, out=np.zeros_like(spread), where=spread > 0)

    finishes = {"accuracy": accuracy, "macro_f1": macro_f1, "matthews_correlation": matthews}
    return {name: Tally(cells, classes * width, finish) for name, finish in finishes.items()}


def calibration_tally(probabilities: np.ndarray, labels: np.ndarray) -> Tally:
    """The expected calibration error of (N, K) probabilities."""
    bins, gaps = calibration_gaps(probabilities, labels)
    missing = np.isnan(gaps)

    def finish(sums: np.ndarray) -> np.ndarray:  # rows without a usable answer are counted in a cell of their own
        return _divide(np.abs(sums[:, :-1]).sum(axis=1), len(labels) - sums[:, -1])

    cells = np.where(missing, CALIBRATION_BINS, bins)
    return Tally(cells, CALIBRATION_BINS + 1, finish, np.where(missing, 1.0, gaps))


def mean_tally(values: np.ndarray) -> Tally:
    """The mean of (N,) float64 values over the rows where it is not NaN: agreement, KL."""
    missing = np.isnan(values)

    def finish(sums: np.ndarray) -> np.ndarray:
        return _divide(sums[:, 0], len(values) - sums[:, 1])

    return Tally(missing.astype(np.int64), 2, finish, np.where(missing, 1.0, values))


def intervals(
    tallies: Mapping[str, Tally], ratios: Mapping[str, tuple[str, str]] | None = None, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap intervals at 95 % over 1,000 draws of the rows.

    Args:
        tallies: Metrics by name, all over the same N rows.
        ratios: Further figures by name, each the first of two tallies over the second; NaN where that is 0 or less.
        seed: Seed of the draws; the same gives the same intervals.

    Returns:
        Lower and upper end for each name of `tallies` and `ratios`; both NaN where a draw has no value.
    """
    (n,) = {len(tally.cells) for tally in tallies.values()}
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in tallies}
    for rows in _draws(n, seed):
        counted: dict[int, np.ndarray] = {}  # metrics of the same table share its counts
        for name, tally in tallies.items():
            if id(tally.cells) not in counted:
                counted[id(tally.cells)] = tally.sums(rows)
            drawn[name].append(tally.finish(counted[id(tally.cells)]))
    values = {name: np.concatenate(parts) for name, parts in drawn.items()}
    for name, (part, whole) in (ratios or {}).items():
        values[name] = _divide(values[part], values[whole])
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    ends = {name: np.quantile(value, tails) for name, value in values.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def _draws(n: int, seed: int) -> Iterator[np.ndarray]:
    """Row numbers of all draws, (b, N) at a time."""
    random = np.random.default_rng(derive_seed(seed, "bootstrap"))
    at_once = max(1, DRAWN_AT_ONCE // n)
    for first in range(0, RESAMPLES, at_once):
        yield random.integers(n, size=(min(at_once, RESAMPLES - first), n), dtype=np.int32)


def _divide(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """Divide, with NaN where the divisor is not positive."""
    return np.divide(parts, wholes, out=np.full(len(parts), np.nan), where=wholes > 0)


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two classifiers on the same rows.

    Attributes:
        first_only: Rows that only the first has right.
        second_only: Rows that only the second has right.
        p: Two-sided p-value, in (0, 1]: how likely a difference of at least this size is if both are equally good.
    """

    first_only: int
    second_only: int
    p: float


def mcnemar(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> McNemar:
    """Test whether one of two classifiers is right more often than chance explains.

    Only the rows that exactly one of them has right tell them apart; if both are equally good, each such row is a coin
    toss. The binomial test of these tosses is exact, for few rows and for many, so no approximation is used. Source:
    McNemar 1947; advised for comparing two trained classifiers on one test set by Dietterich 1998.

    Args:
        first: (N,) class indices chosen by the first; -1 is wrong.
        second: (N,) class indices chosen by the second.
        labels: (N,) class indices.
    """
    right, also_right = first == labels, second == labels
    only, other = int((right & ~also_right).sum()), int((~right & also_right).sum())
    p = float(binomtest(only, only + other, 0.5).pvalue) if only + other else 1.0
    return McNemar(only, other, p)
