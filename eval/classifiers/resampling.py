"""How much of a result could be chance: bootstrap intervals, and McNemar's test between two students.

A metric measured on N rows would have another value on N other rows of the same kind. The bootstrap (Efron 1979) estimates how
much it varies: it draws N of the rows with replacement many times and computes the metric on each draw. The interval
reported is the percentile interval.

It is written here because every metric is a function of sums over rows: counts of (label, predicted class) give accuracy,
macro-F1 and Matthews' correlation, sums per confidence bin give the calibration error, and sums of KL give its mean. A
correlation of ranks is a function of how often each row was drawn. One draw of row numbers therefore serves all metrics of all
models by counting alone; `scipy.stats.bootstrap` would call each metric a thousand times. Student and teacher share the draws,
so variation common to both does not widen the interval of their ratio.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from distill.common.seeding import derive_seed
from eval.classifiers.metrics.classes import CALIBRATION_BINS, calibration_gaps

RESAMPLES = 1000
LEVEL = 0.95

# Row numbers drawn at once: about 32 MB.
DRAWN_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Tally:
    """A metric as a function of sums over rows.

    Attributes:
        cells: (N,) int64, index of the sum that each row is added to.
        size: Number of sums.
        finish: Function from the (B, size) float64 sums of B draws to (B,) values.
        weights: (N,) float64, amount that each row adds; 1 if None.
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
    """Return accuracy, macro-F1 and Matthews' correlation as in `eval.classifiers.metrics.classes`.

    Args:
        choices: (N,) predicted class indices; -1 for no usable prediction.
        labels: (N,) class indices.
        classes: Number of classes K.
    """
    width = classes + 1  # the last column counts rows without a usable prediction
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
    """Return the expected calibration error of (N, K) probabilities."""
    bins, gaps = calibration_gaps(probabilities, labels)
    missing = np.isnan(gaps)

    def finish(sums: np.ndarray) -> np.ndarray:  # rows without a usable prediction have a cell of their own
        return quotients(np.abs(sums[:, :-1]).sum(axis=1), len(labels) - sums[:, -1])

    cells = np.where(missing, CALIBRATION_BINS, bins)
    return Tally(cells, CALIBRATION_BINS + 1, finish, np.where(missing, 1.0, gaps))


def mean_tally(values: np.ndarray) -> Tally:
    """Return the mean of (N,) float64 values over the rows that are not NaN: agreement, KL."""
    missing = np.isnan(values)

    def finish(sums: np.ndarray) -> np.ndarray:
        return quotients(sums[:, 0], len(values) - sums[:, 1])

    return Tally(missing.astype(np.int64), 2, finish, np.where(missing, 1.0, values))


def mean_of(values: np.ndarray) -> float:
    """Return the mean of the values (N,) that are not NaN; NaN if all are."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def row_tally(rows: int, finish: Callable[[np.ndarray], np.ndarray]) -> Tally:
    """Return a metric as a function of how often each row was drawn, (B, N)."""
    return Tally(_each_row(rows), rows, finish)


def sums_tally(amounts: np.ndarray, finish: Callable[[np.ndarray], np.ndarray]) -> Tally:
    """Return a metric as a function of several sums at once, (B, S), from what each row adds to them, (N, S) float64."""
    return row_tally(len(amounts), lambda drawn: finish(drawn @ amounts))


@functools.lru_cache(maxsize=1)
def _each_row(rows: int) -> np.ndarray:
    """Return the same array each time, so that all metrics share the counts."""
    return np.arange(rows)


def intervals(
    tallies: Mapping[str, Tally],
    ratios: Mapping[str, tuple[str, str]] | None = None,
    seed: int = 0,
    differences: Mapping[str, tuple[str, str]] | None = None,
) -> dict[str, tuple[float, float]]:
    """Compute percentile bootstrap intervals at 95 % over 1,000 draws of the rows.

    Args:
        tallies: Metrics by name, all over the same N rows.
        ratios: Further metrics by name, each the quotient of two tallies; NaN if the divisor is 0 or less.
        seed: Seed of the draws; equal seeds give equal intervals.
        differences: Further metrics by name, each one tally minus another.

    Returns:
        Lower and upper end for each name of `tallies`, `ratios` and `differences`; both NaN if a draw has no value.
    """
    (n,) = {len(tally.cells) for tally in tallies.values()}
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in tallies}
    for rows in _draws(n, seed):
        counted: dict[int, np.ndarray] = {}  # metrics with the same cells share the counts
        for name, tally in tallies.items():
            if id(tally.cells) not in counted:
                counted[id(tally.cells)] = tally.sums(rows)
            drawn[name].append(tally.finish(counted[id(tally.cells)]))
    values = {name: np.concatenate(parts) for name, parts in drawn.items()}
    for name, (part, whole) in (ratios or {}).items():
        values[name] = quotients(values[part], values[whole])
    for name, (first, second) in (differences or {}).items():
        values[name] = values[first] - values[second]
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    ends = {name: np.quantile(value, tails) for name, value in values.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def _draws(n: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the row numbers of all draws, (b, N) at a time."""
    random = np.random.default_rng(derive_seed(seed, "bootstrap"))
    at_once = max(1, DRAWN_AT_ONCE // n)
    for first in range(0, RESAMPLES, at_once):
        yield random.integers(n, size=(min(at_once, RESAMPLES - first), n), dtype=np.int32)


def quotients(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """Divide, shape by shape; NaN if the divisor is not positive."""
    return np.divide(parts, wholes, out=np.full(np.shape(parts), np.nan), where=wholes > 0)


@dataclass(frozen=True)
class McNemar:
    """Result of McNemar's test of two classifiers on the same rows.

    Attributes:
        first_only: Rows that only the first has right.
        second_only: Rows that only the second has right.
        p: Two-sided p-value in (0, 1]: the probability of a difference of at least this size if both are equally good.
    """

    first_only: int
    second_only: int
    p: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """Test whether one of two classifiers is correct more often than chance explains.

    Only rows that exactly one of them has right tell the two apart. If both are equally good, each such row is a coin toss.
    The binomial test of these tosses is exact for few rows and for many, so no approximation is used. Source: McNemar
    1947; Dietterich 1998 advises it for comparing two trained classifiers on one test set.

    Args:
        first: (N,) bool, the rows that the first has right.
        second: (N,) bool, those that the second has right.
    """
    from scipy.stats import binomtest  # here, since it takes a while to import

    only, other = int((first & ~second).sum()), int((~first & second).sum())
    p = float(binomtest(only, only + other, 0.5).pvalue) if only + other else 1.0
    return McNemar(only, other, p)
