"""Open a teacher by its name.

Training asks the teacher for answers only, never for gradients, so a black box is enough: a Hugging Face sequence classifier
(`TransformersTeacher`), an NLI model that is asked about classes (`ZeroShotTeacher`), a classifier or a language model behind
HTTP (`HttpTeacher`, `ChatTeacher`) or a Python function (`CallableTeacher`), which may combine several models. Each text asked
is one *query*, the cost that the user pays. It counts once, usable answer or not. An unusable answer becomes a row of NaN that
no model learns from.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from distill.common.errors import InputError
from distill.kinds.classes import PAIR, SINGLE
from distill.kinds.found import kind_of
from distill.kinds.names import AUTO, GivenKind
from distill.portable.exported import ExportedClassifier
from distill.portable.formats import find_program
from distill.teachers.callable_teacher import CallableTeacher
from distill.teachers.config import Asking
from distill.teachers.names import FUNCTION_NAME, URL_SCHEMES, fault_of_address, split_address
from distill.teachers.prediction_cache import AnyTeacher
from distill.teachers.probabilities import check_labels
from distill.teachers.services.chat_teacher import ChatTeacher
from distill.teachers.services.http_teacher import HttpTeacher
from distill.teachers.transformers_teacher import TransformersTeacher
from distill.teachers.zero_shot_teacher import ZeroShotTeacher, is_zero_shot


def load_teacher(
    spec: str | Callable[..., Any],
    device: str | torch.device = "auto",
    labels: Sequence[str] | None = None,
    field: str = "teacher",
    own: bool = True,
    max_length: int = 512,
    asking: Asking = Asking(),  # noqa: B008 (frozen)
) -> AnyTeacher:
    """Load the teacher that `spec` names.

    Args:
        spec: A Python function; a URL that begins with "http://" or "https://"; "module:function" (unless a folder has that
            name); a folder with an ONNX or OpenVINO program; else a model folder or hub id.
        device: Where a Hugging Face teacher runs.
        labels: The class names, in the order of the columns. A Hugging Face teacher has names of its own; names given here
            replace them (for checkpoints that only say LABEL_0, LABEL_1).
        field: Name of the setting, for messages about a Hugging Face model.
        max_length: Tokens that a Hugging Face teacher reads of a text at most.
        asking: How a service, a language model or an NLI model is asked, and of which kind the teacher is.
        own: Whether the user named it. A name that a file gave is no function, and gets no token.

    Raises:
        InputError: See `TransformersTeacher`, `CallableTeacher` and `HttpTeacher`; or the number of labels does not fit, two
            classes have one name, or a file names a function.
    """
    if not isinstance(spec, str):
        return CallableTeacher(spec, labels, asking.kind)
    if spec.startswith(URL_SCHEMES):
        if split_address(spec)[0] == "openai":
            return ChatTeacher(spec, labels, asking, send_token=own)
        return HttpTeacher(spec, labels, given=asking.kind, rate=asking.rate, send_token=own)
    if FUNCTION_NAME.fullmatch(spec) and not Path(spec).exists():
        if not own:
            raise InputError(f"teacher: a file names the function {spec}, which is never run: give --teacher yourself")
        return CallableTeacher(spec, labels, asking.kind)
    if (fault := fault_of_address(spec)) and not Path(spec).exists():
        raise InputError(f"{field}: '{spec.partition('?')[0]}' {fault}.")
    teacher: TransformersTeacher | ExportedClassifier
    given = replace(asking.kind, tags=tuple(map(str, labels or ())))
    if find_program(spec):
        teacher = ExportedClassifier(spec, field, max_length, given)
    else:
        zero_shot = labels is not None and asking.kind.name in (AUTO, SINGLE.name)
        given = replace(given, name=AUTO) if zero_shot else given  # a model of entailment reads pairs
        teacher = TransformersTeacher(spec, device, max_length=max_length, field=field, given=given)
        if labels is not None and is_zero_shot(teacher.labels, labels):
            return ZeroShotTeacher(teacher, labels, asking.hypothesis)
    if asking.hypothesis and field == "teacher":
        raise InputError(
            f"teacher_hypothesis is for a classifier of entailment that is asked about --teacher_labels, but {spec} has the "
            f"classes {teacher.labels}{'' if labels is None else f', and the labels {list(labels)} are given'}: leave it out."
        )
    if labels is not None:
        if len(labels) != len(teacher.labels):
            raise InputError(
                f"teacher_labels: {len(labels)} names {list(labels)}, but the teacher {spec} has "
                f"{len(teacher.labels)} classes {teacher.labels}; give as many names, in the teacher's order."
            )
        teacher.labels = [str(label) for label in labels]
        if teacher.kind.of_words:
            teacher.kind = kind_of(GivenKind(teacher.kind.name), teacher.labels)
        check_labels(teacher.labels, teacher.kind)
        if teacher.kind in (SINGLE, PAIR) and asking.kind.name != PAIR.name:
            teacher.kind = kind_of(asking.kind, teacher.labels)
    elif len(set(teacher.labels)) < len(teacher.labels):
        raise InputError(
            f"{field}: the classes of {spec} are {teacher.labels}, of which some have one name; correct id2label in its "
            "config.json, or give different names with --teacher_labels."
        )
    return teacher
