"""A student in front of its teacher: the student answers where it is sure, and the teacher is asked about the rest."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from numbers import Real
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from distill.common.errors import InputError, check_whole
from distill.common.hub import load_config
from distill.kinds.found import LENGTH_KEY, written
from distill.kinds.labels import MULTI_LABEL
from distill.kinds.names import NOT_GIVEN, given_by
from distill.teachers.config import Asking
from distill.teachers.names import UNNAMED_CLASSES, class_names
from distill.teachers.prediction_cache import CachedTeacher
from eval.classifiers.calibration import confidences, stored_calibration
from eval.classifiers.opening import open_teacher


class Answer(NamedTuple):
    """The answer to one text.

    Attributes:
        label: Name of the class.
        probability: How likely the class is, for the one who answered; the student's at its temperature.
        by: Who answered.
    """

    label: str
    probability: float
    by: Literal["student", "teacher"]


class LabelsAnswer(NamedTuple):
    """The answer of a multi-label classifier to one text.

    Attributes:
        labels: Names of the labels that the text has, in the order of the classes; possibly none.
        probabilities: How likely each label is, by name; as in `Answer`.
        by: Who answered.
    """

    labels: tuple[str, ...]
    probabilities: dict[str, float]
    by: Literal["student", "teacher"]


def _readable(name: str, texts: Iterable[str]) -> list[str]:
    """Return texts that a tokenizer accepts: without halves of characters, which a cut emoji leaves behind in JSON.

    Raises:
        InputError: They are no list, or one is no text.
    """
    # Of a table or a dictionary Python would give the names of the columns, and a set has no order.
    if isinstance(texts, Mapping | Set | bytes) or hasattr(texts, "columns") or not isinstance(texts, Iterable):
        raise InputError(f"{name} is {type(texts).__name__}, expected a list of texts, such as one column of a table")
    rows = list(texts)  # once, as an iterator is then at its end
    for row, text in enumerate(rows):
        if not isinstance(text, str):
            raise InputError(f"{name}[{row}] is {type(text).__name__}, expected a text")
    return [text.encode("utf-8", "replace").decode("utf-8") for text in rows]


class Cascade:
    """Answer texts with a student where it is sure, and ask the teacher otherwise.

    A student is sure of a text if its highest probability, at its calibrated temperature, is at least its threshold
    (`eval.classifiers.calibration`); a multi-label student, if that holds for yes or no of each label. What the threshold
    promises holds for texts of the kind that it was calibrated on. If the teacher has no usable answer to a text, the
    student's is given. Not for several threads at once.

    Args:
        student: Folder or hub id of a student, or a folder with its ONNX or OpenVINO program.
        teacher: Whatever `--teacher` takes: folder, hub id, URL, "module:function", `toy:TASK`; or a function from N texts to
            N rows of class probabilities.
        teacher_labels: Class names of a function, in the order of its answers, or those between which a language model
            chooses; the student's if None.
        teacher_prompt: Request to a language model, with {text} and {labels}, as the run's prompter.json holds it.
        threshold: In [0, 1]; the student's calibrated one if None.
        batch_size: Texts that the student answers at once, and the teacher is asked at once, at most.
        device: "auto", "cpu", "cuda", "cuda:N".
        max_length: Tokens that a Hugging Face teacher reads of a text at most.

    Attributes:
        labels: The class names.
        threshold: Confidence from which the student answers.
        calibration: What the student's folder says about it; None if `threshold` was given for a student without one.
        texts: Number of texts answered.
        asked: Number of texts that the teacher was asked about.
        unusable: Number of these without a usable answer.

    Raises:
        InputError: A model cannot be opened, their classes or kinds differ, there is no threshold, or the student gives
            values, which do not say how sure it is.

    Examples:
        cascade = Cascade("students/small", teacher="path/to/classifier")
        for answer in cascade(["the staff was lovely."]):
            print(answer.label, answer.by)
        print(cascade.share)
    """

    def __init__(
        self,
        student: str | Path,
        teacher: str | Path | Callable[[list[str]], Any],
        *,
        teacher_labels: Sequence[str] | None = None,
        teacher_prompt: str = "",
        threshold: float | None = None,
        batch_size: int = 64,
        device: str = "auto",
        max_length: int = 512,
    ) -> None:
        about = f"student: {student}"
        number: object = threshold
        if number is not None and not (isinstance(number, Real) and 0 <= float(number) <= 1):
            raise InputError(f"threshold is {threshold!r}, expected a number >= 0 and <= 1")
        check_whole("batch_size", batch_size, 1)
        check_whole("max_length", max_length, 1)
        names = None if teacher_labels is None else class_names(teacher_labels, "teacher_labels")
        self._student = open_teacher(str(student), device=device, cache=False, field="student")
        self.labels, self.kind = self._student.labels, self._student.kind
        refuse_unsure(self._student, about)
        config = load_config(student, "student")
        # Of a model of others that reads pairs, its folder does not say that it does.
        self._made_here = hasattr(config, LENGTH_KEY)
        self.calibration = stored_calibration(config, about)
        if threshold is None:
            if self.calibration is None:
                again = f"prompter evaluate {student} --teacher TEACHER --calibrate TEXTS"
                if self.kind.texts > 1:  # which takes single texts
                    again = "distil it with more texts held out (prompter distill --held_out 0.2)"
                raise InputError(f"{about} is not calibrated: {again}, or give threshold=")
            if self.calibration.threshold is None:
                raise InputError(
                    f"{about} has {self.calibration}: calibrate it for a lower rate (--calibrate_to), or threshold="
                )
            threshold = self.calibration.threshold
        self.threshold = threshold
        self._temperature = self.calibration.temperature if self.calibration else 1.0
        # What a cascade answers is the user's: nothing of it is stored.
        nameless = callable(teacher) or str(teacher).startswith(UNNAMED_CLASSES)
        self._teacher = open_teacher(
            str(teacher) if isinstance(teacher, Path) else teacher,
            labels=names or (self.labels if nameless else []),
            device=device,
            cache=False,
            order=self.labels,
            max_length=max_length,
            asking=Asking(prompt=teacher_prompt, kind=given_by(written(self.kind)) or NOT_GIVEN),
        )
        self._columns = matching_columns(self._student, self._teacher, about)
        self._batch_size = batch_size
        self.texts = self.asked = self.unusable = 0

    @property
    def share(self) -> float:
        """Share of the texts that the teacher was asked about; 0 before the first text."""
        return self.asked / self.texts if self.texts else 0.0

    def __call__(self, texts: Iterable[str], text_pairs: Iterable[str] | None = None) -> list[Answer] | list[LabelsAnswer]:
        """Answer N texts, or pairs of texts, in their order: a list, an array, a column of a table, or an iterator.

        Raises:
            InputError: `texts` is one text or a whole table, or holds something else than texts; second texts are missing, or
                the student learnt from single ones; or the teacher cannot be reached, or mostly has no usable answer.
        """
        if isinstance(texts, str) or isinstance(text_pairs, str):
            raise InputError("texts is one text, expected a list of them: cascade([text])")
        if text_pairs is None and self.kind.texts > 1:
            raise InputError("text_pairs is missing: the student reads two texts: cascade(texts, text_pairs)")
        texts = _readable("texts", texts)
        text_pairs = None if text_pairs is None else _readable("text_pairs", text_pairs)
        if text_pairs is not None and len(text_pairs) != len(texts):
            raise InputError(f"text_pairs holds {len(text_pairs):,} texts, expected as many as texts: {len(texts):,}")
        if text_pairs is not None and self.kind.texts == 1 and self._made_here:
            raise InputError("text_pairs is given, but the student learnt from single texts: cascade(texts)")
        own = self._ask(self._student, texts, text_pairs, range(len(texts)))
        sure = confidences(own, self._temperature, self.kind) >= self.threshold  # False for NaN
        unsure = (~sure).nonzero().flatten().tolist()
        try:
            asked = self._ask(self._teacher, texts, text_pairs, unsure)[:, self._columns]
        except InputError:
            # Of a run it is the end, but a cascade may live on for weeks: a teacher that is well again begins anew.
            self._teacher.queries = self._teacher.invalid = 0
            raise
        self.texts += len(texts)
        self.asked += len(unsure)
        probabilities = self._probabilities(own, self._temperature)
        taught = torch.isfinite(asked).all(dim=1)
        self.unusable += int((~taught).sum())
        by_teacher = torch.zeros(len(texts), dtype=torch.bool)
        by_teacher[torch.tensor(unsure, dtype=torch.long)[taught]] = True
        probabilities[by_teacher] = self._probabilities(asked[taught], 1.0)
        if self.kind == MULTI_LABEL:
            return [
                LabelsAnswer(
                    tuple(label for label, value in zip(self.labels, row, strict=True) if value > 0.5),
                    dict(zip(self.labels, row, strict=True)),
                    "teacher" if taught else "student",
                )
                for row, taught in zip(probabilities.tolist(), by_teacher.tolist(), strict=True)
            ]
        return [
            Answer(self.labels[int(row.argmax())], float(row.max()), "teacher" if taught else "student")
            for row, taught in zip(probabilities, by_teacher.tolist(), strict=True)
        ]

    def _probabilities(self, answers: Tensor, temperature: float) -> Tensor:
        """Return the probabilities of the classes or labels at a temperature, (N, K) float64."""
        choices = self.kind.choices(answers.double())
        assert choices is not None, self.kind  # refused in the beginning
        likely = (choices / temperature).softmax(dim=-1)
        return likely[:, :, 1] if self.kind == MULTI_LABEL else likely[:, 0]

    def _ask(
        self, model: CachedTeacher, texts: Sequence[str], text_pairs: Sequence[str] | None, rows: Sequence[int]
    ) -> Tensor:
        """Return a model's (n, K) answers for some rows, batch by batch."""
        parts = [torch.empty(0, len(self.labels))]
        for first in range(0, len(rows), self._batch_size):
            chosen = rows[first : first + self._batch_size]
            pairs = None if text_pairs is None else [text_pairs[row] for row in chosen]
            parts.append(model([texts[row] for row in chosen], pairs))
        return torch.cat(parts)


def refuse_unsure(student: CachedTeacher, about: str) -> None:
    """Refuse a student whose answers do not say how sure it is.

    Raises:
        InputError: It is such a student.
    """
    if student.kind.choices(torch.zeros(1, max(2, len(student.labels)))) is None:
        raise InputError(
            f"{about} is of the kind {student.kind.name}, whose answers do not say how sure it is of a text, so there is no "
            "threshold: use the student without one, and compare it with its teacher (evaluate)"
        )


def matching_columns(student: CachedTeacher, teacher: CachedTeacher, about: str) -> list[int]:
    """Return where the teacher's answers hold the student's classes, in the student's order.

    Raises:
        InputError: They name other classes, or are of different kinds.
    """
    labels = student.labels
    if {student.kind.name, teacher.kind.name} not in ({student.kind.name}, {"single", "pair"}):
        raise InputError(
            f"{about} is of the kind {student.kind.name}, but the teacher {teacher.path} of the kind {teacher.kind.name}: "
            "give the teacher that it was made for"
        )
    if sorted(labels) != sorted(teacher.labels) or len(set(labels)) < len(labels):
        raise InputError(
            f"{about} has the classes {', '.join(labels)}, but the teacher {teacher.path} has {', '.join(teacher.labels)}: "
            "give the teacher that it was made for, or teacher_labels in the teacher's order"
        )
    return [teacher.labels.index(label) for label in labels]
