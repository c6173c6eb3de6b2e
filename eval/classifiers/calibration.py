"""When to trust a student: its temperature, and a threshold above which it agrees with its teacher at a stated rate.

A quarter of the texts fits one temperature by the likelihood of the teacher's classes (temperature scaling, Guo et al.,
arXiv 1706.04599) and proposes thresholds: the confidences above which 5 %, 10 %, ... of these texts lie, from the most
promising one to looser ones. The other texts test them in this order, each by the lower Clopper-Pearson bound (Clopper and
Pearson 1934) of the agreement above it, and the first that fails ends the sequence. The last that passed is the threshold.
This is fixed sequence testing, as in Learn then Test (Angelopoulos et al., arXiv 2110.01052): the thresholds and their order
are fixed before the test texts are looked at, and nothing is tested after a failure, so many thresholds need no correction.

If the same texts also chose the student among several states, each state counts as one test: the level is divided by their
number (Bonferroni). Then the statement holds for whichever state was chosen. The split and its sizes are ours.

An answer of several decisions, as that of a multi-label classifier, is as sure as the least sure of them, and agrees if all of
them do. A value says not how sure it is, so nothing is calibrated there.

The statement is about texts of the kind that were used. Synthetic text is not the user's.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import nll_loss
from transformers import PreTrainedConfig

from distill.common.errors import InputError
from distill.common.seeding import random_generator
from distill.kinds.classes import SINGLE
from distill.kinds.kind import Kind

CALIBRATION_KEY = "prompter_calibration"
"""Field of a student's config.json."""

HELD_OUT = "held-out synthetic texts"
"""What a student is calibrated on when it is made of texts that were written for its teacher."""

HELD_OUT_TEXTS = "held-out texts"
"""The same where texts of the user are among them."""

CONFIDENCE = 0.95
"""Probability, over the draw of the texts, that what is stated holds."""

FEWEST_TEXTS = 40
"""With fewer texts nothing is calibrated: ten of them would fit the temperature."""

FITTED = 0.25
"""Share of the texts that fits the temperature and proposes thresholds."""

LEVELS = tuple(level / 20 for level in range(1, 21))
"""Shares of the texts that lie above the proposed thresholds."""

TEMPERATURES = (0.1, 20.0)
"""If student and teacher always agree, the likelihood has no maximum."""

SHARES = (1.0, 0.9, 0.75, 0.5, 0.25, 0.1)
"""Shares of the texts that the table of coverage shows."""


@dataclass(frozen=True)
class Calibration:
    """What is known about a student's confidence.

    Attributes:
        temperature: What the logits are divided by, above 0.
        threshold: A text is answered by the student if its confidence (`confidences`) at this temperature is at least this; in
            [0, 1]. None if no threshold reached the rate.
        rate: Agreement with the teacher that was asked for, in (0, 1).
        confidence: Probability that the rate holds above the threshold for new texts of the same kind, in (0, 1).
        texts: Number of texts used, those that fitted the temperature among them.
        coverage: Share of the tested texts at or above the threshold; where there is no threshold, at or above the first one
            tested. None if there were too few texts for any test.
        agreement: Share of these on which student and teacher agree.
        at_least: Lower bound of this agreement.
        states: Number of states of the student that the same texts chose among.
        on: What the texts are, in words.
    """

    temperature: float
    threshold: float | None
    rate: float
    confidence: float
    texts: int
    coverage: float | None
    agreement: float | None
    at_least: float | None
    states: int
    on: str

    def __str__(self) -> str:
        """Say it in one line."""
        what = f"{self.rate:.1%} agreement with the teacher at {self.confidence:.0%} confidence"
        if self.threshold is not None:
            return (
                f"sure from {self.threshold:.3f} at temperature {self.temperature:.2f}: {what}, on {self.coverage:.0%} of "
                f"{self.texts:,} {self.on}"
            )
        if self.coverage is None:
            tested = math.ceil(math.log((1 - self.confidence) / self.states) / math.log(self.rate))
            least = next(texts for texts in itertools.count(tested) if texts - round(FITTED * texts) >= tested)
            return f"no threshold for {what}: {self.texts:,} {self.on} are too few, {least:,} would be the least"
        if not self.coverage:  # the texts that fit it were surer than all that tested it
            return f"no threshold for {what}: of {self.texts:,} {self.on}, none that tested it is as sure as the one tried"
        return (
            f"no threshold for {what}: the surest {self.coverage:.0%} of {self.texts:,} {self.on} agree in "
            f"{self.agreement:.1%} (at least {self.at_least:.1%})"
        )


def calibrate(
    student: Tensor, teacher: Tensor, on: str, rate: float = 0.95, states: int = 1, kind: Kind = SINGLE
) -> Calibration | None:
    """Calibrate a student on texts that it did not learn from, each of them once.

    Args:
        student: (N, C) answers of the student.
        teacher: (N, C) of the teacher; rows that are not finite are left out, as the student's are.
        on: What the texts are, in words.
        rate: Agreement wanted above the threshold, in (0, 1).
        states: Number of states of the student that the same texts chose among, at least 1.
        kind: What the answers are.

    Returns:
        The calibration; None for fewer than 40 texts, and where answers do not say how sure they are.
    """
    if kind.choices(student) is None:
        return None
    usable = torch.isfinite(student).all(dim=1) & torch.isfinite(teacher).all(dim=1)
    student, decided = student[usable].double(), kind.decisions(teacher[usable])
    if len(student) < FEWEST_TEXTS:
        return None
    choices = kind.choices(student)
    assert choices is not None  # as above
    order = torch.randperm(len(student), generator=random_generator(0, "calibration"))
    fitted, tested = order.split([round(FITTED * len(order)), len(order) - round(FITTED * len(order))])
    temperature = round(fit_temperature(choices[fitted].flatten(0, 1), decided[fitted].flatten()), 4)
    sure, agrees = confidences(student, temperature, kind).numpy(), (kind.decisions(student) == decided).all(dim=1).numpy()
    level = 1 - (1 - CONFIDENCE) / states
    found: dict[str, Any] = {"threshold": None, "coverage": None, "agreement": None, "at_least": None}
    # If all tested texts agree, the bound is the number whose power of their number is 1 - level.
    enough = len(tested) * math.log(rate) <= math.log(1 - level)
    for threshold in _proposed(sure[fitted], agrees[fitted], len(tested), level) if enough else ():
        above = agrees[tested][sure[tested] >= threshold]
        figures = {
            "coverage": len(above) / len(tested),
            "agreement": float(above.mean()) if len(above) else 0.0,
            "at_least": lower_bound(int(above.sum()), len(above), level),
        }
        passed = figures["at_least"] >= rate
        if passed or found["coverage"] is None:
            found |= figures | {"threshold": threshold if passed else None}
        if not passed:
            break
    return Calibration(
        temperature, rate=rate, confidence=CONFIDENCE, texts=len(student), states=states, on=on, **found
    )  # fmt: skip


def _proposed(sure: np.ndarray, agrees: np.ndarray, tests: int, level: float) -> list[float]:
    """Return thresholds in the order in which to test them, by the texts that fit.

    The first is the one with the highest bound to be expected: a stricter one leaves too few texts, a looser one texts on
    which the two agree less. The agreement above each is estimated by Laplace's rule.

    Args:
        sure: (n,) confidences.
        agrees: (n,) whether student and teacher agree.
        tests: Number of texts that will test them.
        level: Level of the bound.
    """
    thresholds = [round(float(np.quantile(sure, 1 - share)), 9) if share < 1 else 0.0 for share in LEVELS]
    bounds = []
    for share, threshold in zip(LEVELS, thresholds, strict=True):
        above, trials = agrees[sure >= threshold], int(share * tests)
        bounds.append(lower_bound(int(trials * (above.sum() + 1) / (len(above) + 2)), trials, level))
    return thresholds[int(np.argmax(bounds)) :]


def fit_temperature(log_probs: Tensor, classes: Tensor) -> float:
    """Return the temperature, in [0.1, 20], that makes N classes most likely.

    Args:
        log_probs: (N, K) float64 log-probabilities (or logits).
        classes: (N,) int64.
    """
    from scipy.optimize import minimize_scalar  # here, since it takes a while to import

    def loss(log_temperature: float) -> float:
        return float(nll_loss((log_probs / math.exp(log_temperature)).log_softmax(dim=1), classes))

    low, high = map(math.log, TEMPERATURES)
    return math.exp(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x)


def confidences(answers: Tensor, temperature: float = 1.0, kind: Kind = SINGLE) -> Tensor:
    """Return how sure answers (N, C) are at a temperature, (N,) float64 in [0, 1]; NaN stays.

    That is the probability of the likeliest class; of several decisions, that of the least sure one.

    Raises:
        ValueError: The kind's answers do not say how sure they are.
    """
    choices = kind.choices(answers.double())
    if choices is None:
        raise ValueError(f"answers of the kind {kind.name} do not say how sure they are")
    return (choices / temperature).softmax(dim=-1).amax(dim=-1).amin(dim=-1)


def lower_bound(successes: int, trials: int, confidence: float) -> float:
    """Return the one-sided lower Clopper-Pearson bound of a share; 0 for no trials.

    Examples:
        >>> round(lower_bound(59, 59, 0.95), 3)
        0.95
    """
    if not trials:
        return 0.0
    from scipy.stats import binomtest  # here, since it takes a while to import

    test = binomtest(successes, trials, alternative="greater")
    return float(test.proportion_ci(confidence, "exact").low)


def coverage(
    student: Tensor,
    teacher: Tensor,
    calibration: Calibration | None = None,
    shares: tuple[float, ...] = SHARES,
    kind: Kind = SINGLE,
) -> dict[str, Any]:
    """Return on how many of the surest texts student and teacher agree.

    Args:
        student: (N, C) answers; a row with NaN is the least sure, and agrees with nothing.
        teacher: (N, C) of the teacher; rows with NaN are left out.
        calibration: The student's; its temperature decides the order, and its threshold gets a row.
        shares: Shares of the texts, in (0, 1].
        kind: What the answers are; one whose answers say how sure they are.

    Returns:
        `texts`; `surest`, for each share `coverage`, `agreement` and `threshold` (the lowest confidence among them); and
        `sure`, the `coverage` and `agreement` at the calibrated threshold, or None. The agreement with no text is None.
    """
    usable = torch.isfinite(teacher).all(dim=1)
    student, wanted = student[usable], kind.decisions(teacher[usable])
    unsure = ~torch.isfinite(student).all(dim=1)
    sure = confidences(student, calibration.temperature if calibration else 1.0, kind).masked_fill(unsure, 0.0)
    agrees = ((kind.decisions(student.nan_to_num(0.0)) == wanted).all(dim=1) & ~unsure)[
        (order := sure.argsort(descending=True, stable=True))
    ]
    sure = sure[order]
    rows = []
    for share in shares if len(sure) else ():
        count = max(1, round(share * len(sure)))
        rows.append(
            {"coverage": share, "agreement": float(agrees[:count].double().mean()), "threshold": float(sure[count - 1])}
        )
    at_threshold = None
    if calibration and calibration.threshold is not None and len(sure):
        count = int((sure >= calibration.threshold).sum())
        at_threshold = {
            "coverage": count / len(sure),
            "agreement": float(agrees[:count].double().mean()) if count else None,
        }
    return {"texts": len(sure), "surest": rows, "sure": at_threshold}


def set_calibration(config: PreTrainedConfig, calibration: Calibration | None) -> None:
    """Note a calibration in a model's configuration, which is saved with it; None removes one that it came with."""
    if calibration is not None:
        setattr(config, CALIBRATION_KEY, dataclasses.asdict(calibration))
    elif hasattr(config, CALIBRATION_KEY):
        delattr(config, CALIBRATION_KEY)


def stored_calibration(config: PreTrainedConfig, about: str) -> Calibration | None:
    """Return the calibration in a model's configuration; None where there is none.

    Args:
        config: The configuration.
        about: Setting and name, at the beginning of the message: "model: models/x".

    Raises:
        InputError: What stands there is no calibration.
    """
    stored = getattr(config, CALIBRATION_KEY, None)
    if stored is None:
        return None
    found = _checked(stored)
    if found is None:
        raise InputError(
            f"{about}: {CALIBRATION_KEY} in its config.json is damaged: calibrate it again (evaluate --calibrate)."
        )
    return found


def _checked(stored: Any) -> Calibration | None:
    """Return what a file holds as a calibration, or None if it cannot be one."""
    names = {item.name for item in dataclasses.fields(Calibration)}
    if not isinstance(stored, Mapping) or not names <= set(stored):
        return None
    values = {name: stored[name] for name in names}
    may_lack = {"threshold", "coverage", "agreement", "at_least"}
    numbers = {name: value for name, value in values.items() if name != "on" and not (name in may_lack and value is None)}
    if not isinstance(values["on"], str) or any(
        isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) for value in numbers.values()
    ):
        return None
    shares = [value for name, value in numbers.items() if name not in ("temperature", "texts", "states")]
    return Calibration(**values) if values["temperature"] > 0 and all(0 <= share <= 1 for share in shares) else None
