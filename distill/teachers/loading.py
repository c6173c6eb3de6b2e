"""Open a teacher by its name, and tell teachers apart.

Training asks the teacher for answers only, never for gradients, so a black box is enough: a Hugging Face sequence classifier
(`TransformersTeacher`), an NLI model that is asked about classes (`ZeroShotTeacher`), a classifier or a language model behind
HTTP (`HttpTeacher`, `ChatTeacher`) or a Python function (`CallableTeacher`), which may combine several models. Each text asked
is one *query*, the cost that the user pays. It counts once, usable answer or not. An unusable answer becomes a row of NaN that
no model learns from.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from distill.common.errors import InputError
from distill.common.hub import model_folders
from distill.common.precision import compute_dtype
from distill.kinds.classes import PAIR, SINGLE
from distill.kinds.found import kind_of
from distill.kinds.names import AUTO, OF_SCORES, GivenKind
from distill.kinds.words import MARKED_WORDS
from distill.portable.exported import ExportedClassifier
from distill.portable.formats import find_program
from distill.teachers.callable_teacher import CallableTeacher
from distill.teachers.config import Asking
from distill.teachers.names import FUNCTION_NAME, URL_SCHEMES, fault_of_address, split_address
from distill.teachers.probabilities import check_labels
from distill.teachers.services.chat_teacher import ChatTeacher
from distill.teachers.services.http_teacher import HttpTeacher
from distill.teachers.services.service import Service
from distill.teachers.transformers_teacher import TransformersTeacher
from distill.teachers.zero_shot_teacher import ZeroShotTeacher, is_zero_shot

AnyTeacher = TransformersTeacher | ExportedClassifier | CallableTeacher | ZeroShotTeacher | Service

# Files of a model folder that decide the answers; other files may change freely.
MODEL_FILES = {".json", ".txt", ".model", ".safetensors", ".bin", ".onnx", ".data", ".xml"}


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
        # Names may say that a model reads pairs; other names do not make it one that reads single texts.
        if teacher.kind == SINGLE or (teacher.kind == PAIR and asking.kind.name == SINGLE.name):
            teacher.kind = kind_of(asking.kind, teacher.labels)
    elif len(set(teacher.labels)) < len(teacher.labels):
        raise InputError(
            f"{field}: the classes of {spec} are {teacher.labels}, of which some have one name; correct id2label in its "
            "config.json, or give different names with --teacher_labels."
        )
    return teacher


def identity(teacher: AnyTeacher) -> str:
    """Return a name that changes when the teacher's answers may change.

    The name is a hash of the labels in their order and

    - for a Hugging Face model: its configuration, tokenizer and weight files, `max_length`, its padding and the number format;
    - for an NLI model that is asked zero-shot: what is listed for a Hugging Face model, and the sentences about the classes;
    - for an ONNX or OpenVINO program: its folder's files and how many tokens it reads;
    - for a function: its name, and the path and source text of its module, and of the files that it is written in;
    - for a service: its address with its query, which may name a model, and the model that its `/info` names;
    - for a language model behind a service: its address with the model's name, and the request.

    The models that a function loads, and the model behind a service without `/info`, remain unknown.

    Raises:
        InputError: The files of the model or the source of the function cannot be found.
        OSError: These files cannot be read.
    """
    about: dict[str, Any] = {"labels": teacher.labels}
    if teacher.kind.problem_type:  # for a kind of one class, caches of earlier versions stay valid
        about["answers"] = teacher.kind.problem_type
    if teacher.kind.of_words:
        about["words"] = MARKED_WORDS
    if isinstance(teacher, ZeroShotTeacher):
        about |= {"hypotheses": teacher.hypotheses, "entailment": teacher.model.labels}
        teacher = teacher.model
    if isinstance(teacher, TransformersTeacher | ExportedClassifier) and teacher.kind.name in OF_SCORES and teacher.activation:
        about["activation"] = teacher.activation  # earlier versions took the raw output
    if isinstance(teacher, TransformersTeacher):
        folders = model_folders(teacher.path)
        files = [
            sorted(file for file in folder.iterdir() if file.suffix in MODEL_FILES and file.is_file()) for folder in folders
        ]
        about["files"] = {file.name: _sha256(file) for file in files[0]}
        if len(folders) > 1:
            about["base"] = [{file.name: _sha256(file) for file in part} for part in files[1:]]
        about["max_length"] = teacher.max_length
        if teacher.padding:  # where it is the tokenizer's, caches of earlier versions stay valid
            about["padding"] = teacher.padding
        about["dtype"] = [str(teacher.model.dtype), str(compute_dtype(teacher.device)).removeprefix("torch.")]
        if teacher.kind.name in OF_SCORES and about["dtype"] != ["torch.float32", "float32"]:
            about["outputs"] = "float32"  # earlier versions rounded them
    elif isinstance(teacher, ExportedClassifier):
        folder = Path(teacher.path).expanduser()
        about["files"] = {file.name: _sha256(file) for file in sorted(folder.iterdir()) if file.suffix in MODEL_FILES}
        about["max_length"] = teacher.reads
    elif isinstance(teacher, CallableTeacher):
        module, *others = teacher.source_files()
        # Two projects may have the same function and load different models: the path tells them apart.
        about |= {"function": teacher.path, "module": str(module), "source": _sha256(module)}
        if others:
            about["others"] = {str(file): _sha256(file) for file in others}
    else:
        about |= teacher.identity()
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _sha256(file: str | Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
