"""Write a student as an ONNX or OpenVINO program, by the exporters of transformers.

The folder holds the program, `config.json`, and a `tokenizer.json` that cuts and pads as the student does. That is all that
a service needs: `tokenizers` and the runtime. Batch and length are free.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from distill.checkpoints.tokenizer_files import save_tokenizer
from distill.common import encode
from distill.common.errors import InputError
from distill.portable.formats import program_name
from distill.student import Student
from prompter.runtime.opening import disk_errors_named

SAMPLE = ["A text of some words, to trace the model with.", "Another one."]
"""Two rows of several tokens: a size of 1 would become part of the program."""

MAX_IN_ONE_FILE = 3 << 29
"""Bytes of weights up to which an ONNX file holds them itself; protobuf ends at 2 GiB."""


def convert(student: Student, kind: str, folder: Path) -> None:
    """Write a student into an empty folder, in one of the formats.

    Args:
        student: The student, with float32 weights on the CPU.
        kind: One of `distill.portable.formats.FORMATS`.
        folder: Where to write.

    Raises:
        InputError: The exporter cannot convert this family, or the tokenizer has no tokenizer.json.
        OSError: The folder cannot be written, or the disk is full.
    """
    _save_tokenizer(student, folder)
    inputs = _sample(student)
    config = student.model.config
    cached = getattr(config, "use_cache", None)
    if cached:  # a decoder would give its keys and values back as well
        config.use_cache = False
    try:
        with _quietly(), disk_errors_named(folder, "give the command again"), torch.no_grad():
            _WRITERS[kind](student.model, inputs, folder / program_name(kind), kind)
    except (InputError, OSError):
        raise
    except Exception as error:  # the exporters raise anything
        reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
        raise InputError(
            f"{kind}: the exporter of transformers cannot convert this {config.model_type} ({reason}); "
            "use another format or student."
        ) from error
    finally:
        if cached:
            config.use_cache = cached
    config.save_pretrained(folder)


def _save_tokenizer(student: Student, folder: Path) -> None:
    """Write tokenizer.json with the student's length and padding inside, and what transformers wants beside it."""
    tokenizer = student.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise InputError(
            f"student: the tokenizer of {student.spec} has no tokenizer.json, which a program is served with; "
            "use a student with a fast tokenizer."
        )
    save_tokenizer(tokenizer, folder)
    table = encode.token_table(student.model, tokenizer, student.max_length)
    alone = Tokenizer.from_str(backend.to_str())
    alone.enable_truncation(table.max_length, direction=tokenizer.truncation_side)
    alone.enable_padding(
        direction="left" if table.pads_left else "right",
        pad_id=table.pad_id,
        pad_type_id=tokenizer.pad_token_type_id,
        pad_token=str(tokenizer.pad_token),
    )
    alone.save(str(folder / "tokenizer.json"))


def _sample(student: Student) -> dict[str, torch.Tensor]:
    """Return inputs to trace the model with."""
    table = encode.token_table(student.model, student.tokenizer, student.max_length)
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if table.token_types else [])]
    encoded = student.tokenizer(
        SAMPLE, padding=True, truncation=True, max_length=table.max_length, return_tensors="pt", return_token_type_ids=True
    )
    return {name: encoded[name] for name in names}


def _write_onnx(model: PreTrainedModel, inputs: dict[str, torch.Tensor], file: Path, kind: str) -> None:
    import onnx_ir
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass
    from transformers.exporters import OnnxConfig, OnnxExporter, OnnxRuntimeDynamicConfig, OnnxRuntimeQuantizer

    quantizer = None
    if kind == "onnx-int8":
        # Seven bits, because the products of eight overflow on x86 processors without VNNI.
        quantizer = OnnxRuntimeQuantizer(OnnxRuntimeDynamicConfig(per_channel=True, reduce_range=True))
    exported = OnnxExporter().export(model, inputs, OnnxConfig(dynamic=True, quantizer=quantizer))
    program = exported.program
    ClearMetadataAndDocStringPass()(program)  # each node names the lines of Python that made it, with paths of this machine
    weights = sum(value.const_value.nbytes for value in program.graph.initializers.values() if value.const_value is not None)
    onnx_ir.save(program, file, external_data=None if weights < MAX_IN_ONE_FILE else f"{file.name}.data")


def _write_openvino(model: PreTrainedModel, inputs: dict[str, torch.Tensor], file: Path, kind: str) -> None:
    import openvino
    from transformers.exporters import OpenVINOConfig, OpenVINOExporter

    exported = OpenVINOExporter().export(model, inputs, OpenVINOConfig(dynamic=True))
    openvino.save_model(exported.program, str(file), compress_to_fp16=False)


_WRITERS: dict[str, Any] = {"onnx": _write_onnx, "onnx-int8": _write_onnx, "openvino": _write_openvino}


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Hide what the exporters print, log and warn of, and remove the handler that logging adds for them."""
    root = logging.getLogger()
    handlers, disabled = list(root.handlers), root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        root.handlers[:] = handlers
