"""Where teacher and student differ: which classes they confuse, and the texts on which they are furthest apart.

Only texts that the teacher has already answered are compared, so it is not asked again: the evaluation data if there is
some, otherwise a sample of the replay, which the student has learnt from. The distance between two predictions is the total
variation distance: 0 if they are equal, 1 if each is sure of a class that the other rules out.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from distill.common.seeding import random_generator
from distill.kinds.classes import SINGLE
from distill.kinds.kind import Kind
from distill.kinds.rows import finite
from distill.replay import Replay
from distill.student import Student
from eval.classifiers.agreement import REAL, compared
from eval.classifiers.calibration import LEVELS, coverage
from eval.classifiers.scoring import answer
from eval.data.labelled import EvaluationData

MAX_DRAWN = 2000
MAX_KEPT = 20


def disagreements(student: Student, evaluation: EvaluationData | None, replay: Replay, seed: int) -> dict[str, Any]:
    """Compare a student with its teacher on texts that the teacher has answered.

    Args:
        student: The student; it is asked once about each text.
        evaluation: Labelled texts; all of them are used if they come with the teacher's predictions.
        replay: Texts, or pairs, with the teacher's predictions; otherwise at most `MAX_DRAWN` of them are drawn.
        seed: Seed of that draw.

    Returns:
        The result of `compare_predictions`, with `source` ("evaluation" or "replay") and `held`, the number of texts there;
        for evaluation texts also `agreement` (`eval.classifiers.agreement.compared`), and for those of one class each
        `coverage`, the agreement on the surest of them (`eval.classifiers.calibration.coverage`).
    """
    kind = student.kind
    if evaluation is not None and evaluation.teacher_log_probs is not None:
        predictions, teacher = answer(student, evaluation), evaluation.teacher_log_probs
        truth, pairs = None if kind.problem_type else evaluation.labels, evaluation.text_pairs
        found = compare_predictions(evaluation.texts, teacher, predictions, student.labels, truth, kind, pairs)
        found = {"source": "evaluation", "held": len(evaluation), **found}
        found["agreement"] = compared(REAL, teacher, predictions, kind=kind)
        if kind.problem_type:  # no class that one of them is surest of
            return found
        return found | {"coverage": coverage(predictions, teacher, shares=LEVELS)["surest"]}
    order = torch.randperm(len(replay), generator=random_generator(seed, "disagreement"))
    rows = order[:MAX_DRAWN].sort().values
    texts = [replay.texts[row] for row in rows.tolist()]
    pairs = None if (held := replay.pairs) is None else [held[row] for row in rows.tolist()]
    answers = student.answers(texts, pairs)
    found = compare_predictions(texts, replay.logprobs[rows], answers, student.labels, kind=kind, text_pairs=pairs)
    return {"source": "replay", "held": len(replay)} | found


def compare_predictions(
    texts: Sequence[str],
    teacher: Tensor,
    student: Tensor,
    labels: Sequence[str],
    truth: Sequence[int] | None = None,
    kind: Kind = SINGLE,
    text_pairs: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Compare predictions for N texts.

    Args:
        texts: N texts.
        teacher: (N, C) answers; texts with a row that is not finite are skipped.
        student: (N, C) answers.
        labels: The class names.
        truth: N class indices if the texts are labelled.
        kind: What the answers are.
        text_pairs: N second texts for pair tasks.

    Returns:
        `labels`, the names of the kind's targets; `texts`, the number of texts compared; `pairs`, the number of texts for
        each (teacher's class, student's class) that occurs; and `apart`, the texts with the largest distance, largest first.
        Of several labels, `pairs` counts the likeliest ones, and `apart` names all that are given, without a probability.
    """
    usable = finite(teacher).nonzero().flatten()
    one, other = teacher[usable], student[usable]
    labels = kind.targets(labels)
    p, q = kind.probabilities(one.double()), kind.probabilities(other.double())
    choices = list(zip(kind.group(one).tolist(), kind.group(other).tolist(), strict=True))
    distance = kind.disagreement(one, other) if kind.problem_type else 0.5 * (p - q).abs().sum(dim=1)
    furthest = distance.argsort(descending=True, stable=True)[:MAX_KEPT].tolist()
    return {
        "labels": list(labels),
        "texts": len(choices),
        "pairs": [{"teacher": t, "student": s, "texts": n} for (t, s), n in sorted(Counter(choices).items())],
        "apart": [
            {
                "text": texts[int(usable[row])],
                **({} if text_pairs is None else {"text_pair": text_pairs[int(usable[row])]}),
                "distance": round(float(distance[row]), 4),
                **_said("teacher", one[row], p[row], labels, kind),
                **_said("student", other[row], q[row], labels, kind),
                "label": None if truth is None else labels[truth[int(usable[row])]],
            }
            for row in furthest
        ],
    }


def _said(who: str, answer: Tensor, p: Tensor, labels: Sequence[str], kind: Kind) -> dict[str, Any]:
    """Return what teacher or student says of a text, and its probability where it names one target."""
    if kind.several:
        return {who: kind.said(kind.cells(kind.shown(answer[None])[0].tolist()), labels)}
    target = int(kind.group(answer[None]))
    return {who: labels[target], f"{who}_probability": round(float(p.max()), 4)}
