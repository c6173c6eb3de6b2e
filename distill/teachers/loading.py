"""The teacher: anything that answers texts with class probabilities.

The method needs no gradients through the teacher, so a black box is enough: a Hugging Face sequence classifier
(`TransformersTeacher`), a service that speaks HTTP (`HttpTeacher`), or any Python function (`CallableTeacher`), which may
front an ensemble. Every text asked is a *query*, the cost the user pays; it is counted once, whether or not the answer
is of use. A bad answer (NaN, wrong shape) becomes a row of NaN that never enters learning; when most answers are bad, the
run stops.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from distill.common.errors import InputError
from distill.teachers.callable_teacher import CALLABLE, CallableTeacher
from distill.teachers.http_teacher import HttpTeacher
from distill.teachers.transformers_teacher import TransformersTeacher


def load_teacher(
    spec: str | Callable[..., Any],
    device: str | torch.device = "auto",
    labels: Sequence[str] | None = None,
    field: str = "teacher",
) -> TransformersTeacher | CallableTeacher | HttpTeacher:
    """Load the teacher that `spec` names.

    Args:
        spec: a URL that begins with "http://" or "https://"; "module:function" for a Python callable (unless a folder
            of that name exists) or a Python function; else a model folder or hub id.
        device: where a Hugging Face teacher runs.
        labels: the class names, in the order of the columns; a Hugging Face teacher brings its own, and names given
            for it rename its classes (for checkpoints that only say LABEL_0, LABEL_1).
        field: the setting that named it, for messages about a Hugging Face model.

    Raises:
        InputError: see `TransformersTeacher`, `CallableTeacher` and `HttpTeacher`; or the number of labels does not fit.
    """
    if not isinstance(spec, str):
        return CallableTeacher(spec, labels)
    if spec.startswith(("http://", "https://")):
        return HttpTeacher(spec, labels)
    if CALLABLE.fullmatch(spec) and not Path(spec).exists():
        return CallableTeacher(spec, labels)
    teacher = TransformersTeacher(spec, device, field=field)
    if labels is not None:
        if len(labels) != len(teacher.labels):
            raise InputError(
                f"teacher_labels: {len(labels)} names {list(labels)}, but the teacher {spec} has "
                f"{len(teacher.labels)} classes {teacher.labels}; give as many names, in the teacher's order."
            )
        teacher.labels = [str(label) for label in labels]
    return teacher
