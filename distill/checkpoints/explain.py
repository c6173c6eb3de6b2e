"""What a user reads when transformers cannot load a model, and what not: its bars and reports."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from distill.common.errors import InputError


def explain(
    error: Exception, name_or_path: str | Path, field: str, part: Literal["model", "tokenizer"] = "model"
) -> InputError:
    """Return one line with a remedy for an exception of `from_pretrained`."""
    name = str(name_or_path)
    reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
    if name.lower().endswith(".gguf") and Path(name).expanduser().is_file():
        return InputError(f"{field}: the {part} in {name} cannot be read ({reason}); download it again, or use another file.")
    if isinstance(error, OSError) and not Path(name).expanduser().is_dir():
        owner, _, rest = name.partition("/")
        repository, _, file = rest.partition("/")  # of a file: org/repo/file.gguf
        source, target = (f"{owner}/{repository} {file}", f"DIR/{file}") if file else (name, "DIR")
        return InputError(
            f"{field}: {name} is not a local {'file' if file else 'folder'}, and it cannot be loaded from the hub "
            f"(offline, unreachable, or no such {part}); download it where there is internet "
            f"(hf download {source} --local-dir DIR) and pass {target} instead."
        )
    if isinstance(error, SafetensorError):
        return InputError(f"{field}: the weights in {name} are damaged or cut off ({reason}); copy the folder again.")
    if "no file named" in str(error):
        return InputError(f"{field}: {name} has no model.safetensors; save the model with save_pretrained (safetensors).")
    if "trust_remote_code" in str(error) or "custom code" in str(error):
        return InputError(f"{field}: {name} needs code from its repository, which is never run; use another model.")
    return InputError(f"{field}: the {part} in {name} cannot be loaded ({reason}).")


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Silence the loading bars, and the report of missing weights, which the caller checks itself."""
    bars = transformers_logging.is_progress_bar_enabled()
    level = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
