"""The agreement of a student with its teacher, and whether it says that the student is worth anything.

It is given as Cohen's kappa (Cohen 1960, "A Coefficient of Agreement for Nominal Scales"): 0 is what answering by chance with
the same class shares would give. An agreement is a mapping of `kappa`, `agreement`, `majority` (share of the teacher's most
frequent class), `compared` (number of texts) and `on` (which texts); {} where nothing can be said.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from distill.held_out import cohen_kappa, decided
from distill.kinds.classes import SINGLE
from distill.kinds.kind import Kind
from distill.kinds.rows import finite

MIN_TEXTS = 100
"""With fewer texts the standard error of kappa is above .1, so .4 could look like .2: it counts then, see `worthless`."""

FEWEST_TEXTS = 40
"""With fewer texts no student is judged: the standard error of kappa is about .16."""

WORTHLESS_KAPPA = 0.2
"""Below is "slight" agreement (Landis and Koch 1977). With 2,000 queries the demo ends above .57, a worthless run at .04."""

REAL = "evaluation texts"
"""What an agreement is measured on, if there is evaluation data."""


def compared(where: str, teacher: Tensor, student: Tensor, fewest: int = MIN_TEXTS, kind: Kind = SINGLE) -> dict[str, Any]:
    """Return the agreement of two tensors of answers (N, C); see `agreement_of`. `on` names words and labels."""
    usable = finite(teacher)
    same, wanted, chosen = decided(kind, teacher[usable], student[usable])
    found = agreement_of(where, same, wanted, chosen, fewest)
    of = "words of " if kind.of_words else "labels of " if kind.several else ""
    return found | {"on": of + where} if found else {}


def agreement_of(
    where: str, same: int, teacher: Sequence[int], student: Sequence[int], fewest: int = MIN_TEXTS
) -> dict[str, Any]:
    """Return the agreement on texts of which equal answers and the answers of each class were counted.

    Returns:
        An agreement; {} for fewer texts than `fewest`, and where the evaluation texts are of one class alone.
    """
    texts = sum(teacher)
    if texts < fewest or (where == REAL and max(teacher) == texts):
        return {}
    kappa = cohen_kappa(same, teacher, student)
    return {"kappa": kappa, "agreement": same / texts, "majority": max(teacher) / texts, "compared": texts, "on": where}


def agreement_on_held_out(teacher: Tensor, measured: Mapping[str, Any], kind: Kind = SINGLE) -> dict[str, Any]:
    """Return the agreement on held-out texts; {} where there are none.

    Args:
        teacher: (N, C) answers to these texts.
        measured: What `distill.held_out.HeldOut.measure` returned for the student.
        kind: What the answers are.
    """
    if not len(teacher) or "kappa" not in measured:
        return {}
    decisions = kind.decisions(teacher).flatten()
    decisions = decisions[decisions >= 0]
    if not len(decisions):
        return {}
    majority = int(torch.bincount(decisions).max()) / len(decisions)
    figures = {"kappa": measured["kappa"], "agreement": measured["agreement"], "majority": majority}
    return figures | {"compared": len(teacher), "on": "held-out texts"}


def worthless(found: Mapping[str, Any]) -> bool:
    """Return whether an agreement is that of a worthless student.

    On fewer than `MIN_TEXTS` texts kappa counts with one standard error added: of healthy students of kappa .5, one in 500
    would be called worthless on 40 texts.
    """
    few = found["compared"] < MIN_TEXTS
    return bool(found["kappa"] + (_spread_of_kappa(found)[1] if few else 0.0) < WORTHLESS_KAPPA)


def clearly_fine(found: Mapping[str, Any]) -> bool:
    """Return whether an agreement is that of a student of some worth, however few texts it was measured on.

    Kappa less two standard errors, both for two agreeing and two other texts more (Agresti and Coull 1998), is at least
    `WORTHLESS_KAPPA`.
    """
    kappa, error = _spread_of_kappa(found, added=2)
    return kappa - 2 * error >= WORTHLESS_KAPPA


def _spread_of_kappa(found: Mapping[str, Any], added: int = 0) -> tuple[float, float]:
    """Return kappa and its standard error, sqrt(p (1 - p) / n) / (1 - chance) of the agreement p (Cohen 1960)."""
    agreement, texts = found["agreement"], found["compared"] + 2 * added
    # All the same: both have the teacher's shares, and chance is at most that of two classes.
    largest = found["majority"]
    chance = largest**2 + (1 - largest) ** 2 if found["kappa"] >= 1 else (agreement - found["kappa"]) / (1 - found["kappa"])
    if chance >= 1:  # one class alone: nothing was told apart
        return 0.0, 1.0
    agreement = (agreement * found["compared"] + added) / texts
    return (agreement - chance) / (1 - chance), math.sqrt(agreement * (1 - agreement) / texts) / (1 - chance)
