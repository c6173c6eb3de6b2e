"""Is a program the student? Compared on texts as they come, of every length, alone and in batches, and timed beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from distill.common.errors import InputError
from distill.kinds.rows import outputs_below
from distill.kinds.word_table import new_table
from distill.portable.exported import ExportedClassifier
from distill.student import Student
from eval.classifiers.scoring import size_and_speed

LEAST_AGREEMENT = 0.99
"""Share of texts for which a program must choose the student's class."""

BATCH = 16

TIMED_TEXTS, ROUNDS = 32, 7


def student_logits(student: Student, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> np.ndarray:
    """Return the (N, C) float32 raw outputs of the student in PyTorch; of words (N, W, C)."""
    table = new_table(student.kind, student.model, student.tokenizer, student.max_length)
    table.put(torch.arange(len(texts)), texts, text_pairs)
    parts = []
    with torch.inference_mode():
        for rows in torch.arange(len(texts)).split(BATCH):
            logits = student.model(**table.gather(rows, student.device)).logits
            parts.append(table.outputs_of(logits, rows).float().cpu())
    return torch.cat(parts).numpy()


def compare(student: Student, program: ExportedClassifier, texts: Sequence[str], kind: str) -> dict[str, float]:
    """Compare a program with the student that it was made from.

    The first text is cut at its first word, and the last one is repeated until it is longer than the student reads, so that
    the lengths of the texts do not decide what is tested. A student of two texts gets the next text as the second one.

    Args:
        student: The student in PyTorch.
        program: The program.
        texts: N texts.
        kind: Its format, for the message.

    Returns:
        `agreement`, the share of texts for which both give the same class or labels, or nearly the same value
            (`distill.kinds.kind.Kind.alike`), and `largest_logit_difference`.

    Raises:
        InputError: They agree on less than 99 % of the texts, or differ if a text is asked alone.
    """
    repeats = 2 + student.max_length // max(1, len(texts[-1].split()))
    asked = [*texts, texts[0].split(" ")[0], " ".join([texts[-1]] * repeats)]
    seconds = [*asked[1:], asked[0]] if student.kind.texts > 1 else None
    wanted = student_logits(student, asked, seconds)
    alone = [0, len(asked) - 2, len(asked) - 1]
    given = program.logits(asked, seconds, BATCH)
    by_itself = outputs_below([program.logits([asked[row]], [seconds[row]] if seconds else None) for row in alone])
    first, second, lone = (student.kind.answers(torch.from_numpy(rows)) for rows in (wanted, given, by_itself))
    same = student.kind.alike(first, second)
    same[alone] &= student.kind.alike(first[alone], lone)
    difference = max(_difference(wanted, given), _difference(wanted[alone], by_itself))
    agreement = float(same.double().mean())
    if not agreement >= LEAST_AGREEMENT:
        raise InputError(
            f"{kind}: the program agrees with the student on {agreement:.1%} of {len(asked):,} texts (largest difference of "
            f"a logit {difference:.2g}), and {LEAST_AGREEMENT:.0%} are required; nothing was written: use another format, or "
            "give --texts with texts of its task."
        )
    return {"agreement": agreement, "largest_logit_difference": difference}


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference of raw outputs; that of words without a token, which both have as -inf, is 0."""
    one, other = np.split(outputs_below([one, other]), 2)
    with np.errstate(invalid="ignore"):
        return float(np.abs(np.where(one == other, 0.0, one - other)).max())


def timings(student: Student, programs: Mapping[str, ExportedClassifier], texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Time the student and its programs in turns, one text a call.

    Returns:
        For each program `milliseconds`, the median of a call; `milliseconds_pytorch`, the student's in the same run; and
        `times_faster`, their ratio.
    """
    models: dict[str, Any] = {"": student, **programs}
    measured = size_and_speed(models, texts, batch=1, rounds=ROUNDS, limit=TIMED_TEXTS)
    base = measured[""]["milliseconds_per_call"]
    return {
        name: {
            "milliseconds": round(measured[name]["milliseconds_per_call"], 3),
            "milliseconds_pytorch": round(base, 3),
            "times_faster": round(base / measured[name]["milliseconds_per_call"], 2),
        }
        for name in programs
    }
