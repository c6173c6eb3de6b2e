"""Calibrate a student: on the held-out texts of its making, or later on texts of the user's.

What was found goes into the student's config.json, where `Cascade` and `prompter evaluate` find it, and into its card.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from distill.checkpoints.checksums import CHECKSUMS, list_files
from distill.common.errors import InputError
from distill.common.files import read_json, write_json, write_text
from distill.held_out import HeldOut
from distill.kinds.kind import Kind
from distill.portable.formats import FORMATS, RECORD
from distill.student import Student
from distill.teachers.prediction_cache import CachedTeacher
from eval.classifiers.calibration import (
    CALIBRATION_KEY,
    FEWEST_TEXTS,
    HELD_OUT,
    HELD_OUT_TEXTS,
    Calibration,
    calibrate,
    coverage,
    set_calibration,
)
from prompter.deploying.cascade import matching_columns, refuse_unsure
from prompter.runtime.console import Console
from prompter.saved.student_card import calibration_section

ROWS_PER_STEP = 256
"""Rows between two steps of a bar."""

SECTION = re.compile(r"<!-- calibration -->.*<!-- end of calibration -->\n", re.DOTALL)
"""The section of a card that is about the calibration."""


def calibrate_new(
    name: str, student: Student, held_out: HeldOut, rate: float, states: int, synthetic: bool, console: Console
) -> dict[str, Any] | None:
    """Calibrate a student that was just made, note it in its configuration, and say what was found.

    Args:
        name: Name of the student, for the line.
        student: The student, in the state that is kept.
        held_out: Texts that it did not learn from. Embeddings are no texts, so nothing is calibrated on them.
        rate: Agreement wanted, see `eval.classifiers.calibration.calibrate`.
        states: Number of its states that these texts chose among.
        synthetic: Whether they were all made for the teacher; otherwise some are the user's own.
        console: Shows the line.

    Returns:
        The fields of the calibration, or None if there are too few texts, or the student gives values.
    """
    found = None
    if len(held_out) and not held_out.embeddings:
        on = HELD_OUT if synthetic else HELD_OUT_TEXTS
        found = calibrate(held_out.predictions(student), held_out.logprobs, on, rate, states, student.kind)
    set_calibration(student.model.config, found)
    if found is not None:
        remedy = "; hold out more texts (held_out), or lower calibrate_to" if found.threshold is None else ""
        console.say(f"{name}: {found}{remedy}")
        return dataclasses.asdict(found)
    if len(held_out) and not held_out.embeddings and student.kind.choices(held_out.logprobs) is not None:
        answered = int(torch.isfinite(held_out.logprobs).all(dim=1).sum())
        console.say(
            f"{name}: not calibrated: {answered} held-out texts with an answer are too few, {FEWEST_TEXTS} would be the "
            "least; hold out more texts (held_out)"
        )
    return None


def refuse_uncalibrated(students: Mapping[str, CachedTeacher]) -> None:
    """Refuse students that cannot be calibrated on single texts.

    Raises:
        InputError: One reads two texts, or gives values or tags.
    """
    for name, model in students.items():
        refuse_unsure(model, f"model: {name}")
        if model.kind.texts > 1:
            raise InputError(
                f"model: {name} reads two texts, and calibrate takes single ones: leave it out; such a student is calibrated "
                "when it is distilled, if enough is held out (distill --held_out)"
            )


def calibrate_again(
    students: dict[str, CachedTeacher], teacher: CachedTeacher, texts: Sequence[str], on: str, rate: float, console: Console
) -> dict[str, Any]:
    """Calibrate finished students on texts with the teacher's answers, and write it into their folders.

    Args:
        students: Opened folders of students, or of their programs, by the folder; see `refuse_uncalibrated`.
        teacher: The teacher; it is asked about every text once.
        texts: Different texts that no student learnt from.
        on: What they are, in words, without a path of this machine.
        rate: Agreement wanted.
        console: Shows bars, and says which programs inside a student's folder keep their calibration.

    Returns:
        For each folder its `calibration` and its `coverage` on these texts.

    Raises:
        InputError: There are too few texts, the classes differ, or a folder cannot be written.
    """
    if len(texts) < FEWEST_TEXTS:
        raise InputError(f"calibrate: {len(texts)} different texts, expected at least {FEWEST_TEXTS}")
    columns = {name: matching_columns(model, teacher, f"model: {name}") for name, model in students.items()}
    answers = {name: _predict(name, model, texts, console) for name, model in {"teacher": teacher, **students}.items()}
    results = {}
    for name in students:
        taught = answers["teacher"][:, columns[name]]
        found = calibrate(answers[name], taught, on, rate, kind=teacher.kind)
        if found is None:
            raise InputError(f"calibrate: fewer than {FEWEST_TEXTS} texts have usable answers of {name} and its teacher")
        results[name] = {
            "calibration": dataclasses.asdict(found),
            "coverage": coverage(answers[name], taught, found, kind=teacher.kind),
        }
        write_calibration(Path(name), found, teacher.kind)
        programs = [str(Path(name, kind)) for kind in FORMATS if Path(name, kind, RECORD).is_file()]
        if left := [program for program in programs if program not in students]:
            console.say(
                f"{name}: programs keep the calibration that they have, unless they are named as well: {' '.join(left)}"
            )
    return results


def _predict(name: str, model: CachedTeacher, texts: Sequence[str], console: Console) -> torch.Tensor:
    bar = console.bar(name, len(texts))
    parts = []
    for first in range(0, len(texts), ROWS_PER_STEP):
        parts.append(model(list(texts[first : first + ROWS_PER_STEP])))
        console.step(bar, min(first + ROWS_PER_STEP, len(texts)))
    return torch.cat(parts)


def write_calibration(folder: Path, calibration: Calibration, kind: Kind) -> None:
    """Write a calibration into the config.json of a finished student of a kind, and into its card where it has one.

    Raises:
        InputError: A file cannot be read or written.
    """
    write_json(folder / "config.json", read_json(folder / "config.json") | {CALIBRATION_KEY: dataclasses.asdict(calibration)})
    if (folder / CHECKSUMS).is_file():
        listed = [name for name in read_json(folder / CHECKSUMS) if (folder / name).is_file()]
        list_files(folder, listed)
    card = folder / "README.md"
    if card.is_file():
        try:
            text = card.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{card}: cannot be read ({error}); the calibration is in config.json") from error
        section = calibration_section(dataclasses.asdict(calibration), kind)
        head, limits, tail = SECTION.sub("", text).partition("## Limits\n")
        write_text(card, f"{head.rstrip()}\n\n{section}" + (f"\n{limits}{tail}" if limits else ""))
