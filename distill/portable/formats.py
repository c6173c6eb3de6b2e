"""The formats that a student can leave PyTorch in: their names, their files, and the libraries that they need.

Nothing here imports these libraries, so that the command line can refuse a format before any work is done.
"""

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from distill.common.errors import InputError

FORMATS = ("onnx", "onnx-int8", "openvino")
"""What `--format` and `--export` take."""

PROGRAMS = ("model.onnx", "openvino_model.xml")
"""The file that holds the program, by the names that other libraries look for."""

RECORD = "prompter_export.json"
"""The file beside a program that says how it was made and checked."""

LIBRARIES = {
    "onnx": {"onnx": "onnx", "onnxscript": "onnx", "onnxruntime": "onnx"},
    "onnx-int8": {"onnx": "onnx", "onnxscript": "onnx", "onnxruntime": "onnx"},
    "openvino": {"openvino": "openvino"},
}
"""For each format the packages that writing it needs, and the extra of ours that installs them."""

EXPORTERS = (5, 20)
"""The first version of transformers whose exporters write all formats."""


def program_name(kind: str) -> str:
    """Return the name of the file that holds the program of a format.

    Examples:
        >>> program_name("onnx-int8"), program_name("openvino")
        ('model.onnx', 'openvino_model.xml')
    """
    return PROGRAMS[kind == "openvino"]


def find_program(folder: str | Path) -> Path | None:
    """Return the program in a folder that holds no weights of PyTorch, or None. Where both lie, PyTorch's are meant."""
    place = Path(folder).expanduser()
    if not place.is_dir() or any(place.glob("*.safetensors")) or any(place.glob("pytorch_model*.bin")):
        return None
    return next((place / name for name in PROGRAMS if (place / name).is_file()), None)


def check_installed(kinds: Sequence[str], setting: str) -> None:
    """Refuse formats whose libraries are missing or too old.

    Args:
        kinds: Names of `FORMATS`.
        setting: Name of the setting that named them, for the message.

    Raises:
        InputError: A library is not installed, or too old; the message says how to install it.
    """
    found = importlib.metadata.version("transformers")
    for kind in kinds:
        missing = [name for name in LIBRARIES[kind] if importlib.util.find_spec(name) is None]
        if missing:
            extra = LIBRARIES[kind][missing[0]]
            raise InputError(
                f"{setting} names '{kind}', which needs {', '.join(missing)}: pip install 'topic-prompter[{extra}]'"
            )
        if tuple(map(int, found.split(".")[:2])) < EXPORTERS:
            raise InputError(
                f"{setting} names '{kind}', which needs transformers 5.20 or newer, and {found} is installed: pip install "
                f"'topic-prompter[{kind.partition('-')[0]}]'"
            )
