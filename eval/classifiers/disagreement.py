"""Where teacher and student differ: which classes are taken for which, and the texts on which they are furthest apart.

Only texts that the teacher has answered already are looked at, so that nothing is asked again: the evaluation data where
there is some, else a draw from the replay, which the student has learnt from. How far apart two answers are is the total
variation distance, the share of the probability that one gives to other classes than the other: 0 where they are alike,
1 where each is sure of a class that the other rules out.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from distill.common.seeding import random_generator
from distill.replay import Replay
from distill.student import Student
from eval.data.labelled import EvaluationData

MAX_DRAWN = 2000
MAX_KEPT = 20


def disagreements(student: Student, evaluation: EvaluationData | None, replay: Replay, seed: int) -> dict[str, Any]:
    """Compare a student with its teacher on texts that the teacher has answered.

    Args:
        student: The student, asked once about each text.
        evaluation: Labelled texts; all of them are used where they hold the teacher's answers.
        replay: Single texts with the teacher's answers, at most `MAX_DRAWN` of which are drawn otherwise.
        seed: Decides that draw; no other random act depends on it.

    Returns:
        What `compare` returns, with `source` ("evaluation" or "replay") and `held`, the number of texts there.
    """
    if evaluation is not None and evaluation.teacher_log_probs is not None:
        predictions = student.log_probs(evaluation.texts)
        found = compare(evaluation.texts, evaluation.teacher_log_probs, predictions, student.labels, evaluation.labels)
        return {"source": "evaluation", "held": len(evaluation)} | found
    order = torch.randperm(len(replay), generator=random_generator(seed, "disagreement"))
    rows = order[:MAX_DRAWN].sort().values
    texts = [replay.texts[row] for row in rows.tolist()]
    found = compare(texts, replay.logprobs[rows], student.log_probs(texts), student.labels)
    return {"source": "replay", "held": len(replay)} | found


def compare(
    texts: Sequence[str], teacher: Tensor, student: Tensor, labels: Sequence[str], truth: Sequence[int] | None = None
) -> dict[str, Any]:
    """Compare answers to N texts.

    Args:
        texts: N texts.
        teacher: (N, K) log-probabilities; texts with a row that is not finite are left out.
        student: (N, K) log-probabilities.
        labels: The K class names.
        truth: N class indices, where the texts are labelled.

    Returns:
        `labels`; `texts`, how many were compared; `pairs`, how often the teacher chose one class and the student
        another or the same, without those that did not occur; and `apart`, the texts on which the answers are
        furthest apart, furthest first.
    """
    usable = torch.isfinite(teacher).all(dim=1).nonzero().flatten()
    p, q = teacher[usable].double().exp(), student[usable].double().exp()
    choices = list(zip(p.argmax(dim=1).tolist(), q.argmax(dim=1).tolist(), strict=True))
    distance = 0.5 * (p - q).abs().sum(dim=1)
    furthest = distance.argsort(descending=True, stable=True)[:MAX_KEPT].tolist()
    return {
        "labels": list(labels),
        "texts": len(choices),
        "pairs": [{"teacher": t, "student": s, "texts": n} for (t, s), n in sorted(Counter(choices).items())],
        "apart": [
            {
                "text": texts[int(usable[row])],
                "distance": round(float(distance[row]), 4),
                "teacher": labels[choices[row][0]],
                "teacher_probability": round(float(p[row].max()), 4),
                "student": labels[choices[row][1]],
                "student_probability": round(float(q[row].max()), 4),
                "label": None if truth is None else labels[truth[int(usable[row])]],
            }
            for row in furthest
        ],
    }
