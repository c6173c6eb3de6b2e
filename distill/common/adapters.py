"""Reading `adapter_config.json` of a LoRA adapter. The file may come from anybody, so it is data.

PEFT takes some values as regular expressions, imports a module that `megatron_core` names, and makes as many layers as
`layer_replication` asks for. So only the fields that say what the adapter is are read, each within limits, and patterns of
module names are resolved here, within a second.
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import regex  # type: ignore[import-untyped]  # comes with transformers; `re` cannot stop after a time
from peft import LoraConfig
from torch import nn

from distill.common.errors import InputError
from distill.common.files import read_json

ADAPTER_CONFIG = "adapter_config.json"

LARGEST_RANK = 1024
MOST_NAMES = 10_000
LONGEST_NAME = 300
SECONDS = 1.0
"""Time for a pattern of module names."""

NAME = regex.compile(r"[\w.-]+")

WHOLE_NAME = regex.compile(r"\^?[\w.-]+\$?")
"""Names as they stand in patterns of ranks and scales."""

SWITCHES = ("fan_in_fan_out", "lora_bias")

# Fields that change what the adapter computes, and that are not read: any other value than "not used" is refused.
UNSUPPORTED = (
    *("megatron_config", "layers_to_transform", "layers_pattern", "layer_replication", "trainable_token_indices"),
    *("target_parameters", "alora_invocation_tokens", "use_qalora", "arrow_config", "exclude_modules", "use_bdlora"),
    *("velora_config", "monteclora_config", "kasa_config"),
)


def read_adapter_config(folder: str | Path, model: nn.Module) -> LoraConfig:
    """Read the configuration of a LoRA adapter, for use with one model.

    Args:
        folder: Folder of the adapter.
        model: The base, whose modules the adapter names.

    Raises:
        InputError: The file is missing or damaged, the adapter is of another kind, or a value is beyond its limits.
    """
    file = Path(folder) / ADAPTER_CONFIG
    said = read_json(file)
    if not isinstance(said, dict):
        raise InputError(f"{file}: holds no adapter configuration: copy the folder again")
    if (kind := said.get("peft_type")) != "LORA":
        raise InputError(f"{file}: peft_type is {str(kind)[:40]!r}, expected 'LORA', the only kind of adapter that is read")
    for key in UNSUPPORTED:
        if said.get(key):
            raise InputError(f"{file}: uses {key}, which is not supported: merge the adapter into its model and save that")
    values = scale_values(said, str(file))
    if said.get("lora_dropout") is not None:
        values["lora_dropout"] = _number(str(file), "lora_dropout", said["lora_dropout"])
    values |= {key: bool(said[key]) for key in SWITCHES if said.get(key) is not None}
    if said.get("bias", "none") not in ("none", "all", "lora_only"):
        raise InputError(f"{file}: bias is no known choice: copy the folder again")
    if said.get("init_lora_weights", True) not in (True, False, "gaussian"):  # others change the base as well
        raise InputError(f"{file}: init_lora_weights is not supported: merge the adapter into its model and save that")
    if said.get("modules_to_save"):
        values["modules_to_save"] = _names(file, "modules_to_save", said["modules_to_save"])
    modules = [name for name, _ in model.named_modules() if name]
    return LoraConfig(
        target_modules=_targets(file, said.get("target_modules"), modules),
        bias=said.get("bias", "none"),
        task_type=said.get("task_type") if isinstance(said.get("task_type"), str) else None,
        inference_mode=True,
        **values,
    )


def scale_values(said: Mapping[str, Any], about: str) -> dict[str, Any]:
    """Return what decides the ranks and scales of an adapter, as fields of `LoraConfig`.

    Args:
        said: Content of `adapter_config.json`.
        about: The file, or what it belongs to, at the beginning of messages.

    Raises:
        InputError: A value is missing, or beyond its limits.
    """
    values: dict[str, Any] = {"r": _rank(about, "r", said.get("r")), "use_rslora": bool(said.get("use_rslora"))}
    values["use_dora"] = bool(said.get("use_dora"))
    if said.get("lora_alpha") is not None:
        values["lora_alpha"] = _number(about, "lora_alpha", said["lora_alpha"])
    for key, check in (("rank_pattern", _rank), ("alpha_pattern", _number)):
        pattern = said.get(key) or {}
        if not isinstance(pattern, dict):
            raise InputError(f"{about}: {key} is no mapping: copy the folder again")
        names = _names(about, key, list(pattern), WHOLE_NAME)  # PEFT matches them as regular expressions
        values[key] = {name: check(about, key, pattern[name]) for name in names}
    return values


def _targets(file: Path, said: Any, modules: Iterable[str]) -> list[str] | str:
    """Return the target modules: names, or `all-linear`. A pattern becomes the names that it matches."""
    if said == "all-linear":
        return str(said)
    if not isinstance(said, str):
        return _names(file, "target_modules", said)
    fault = f"{file}: target_modules is a pattern that cannot be used: list the names of the modules there instead"
    if len(said) > LONGEST_NAME:
        raise InputError(fault)
    end = time.monotonic() + SECONDS
    try:
        pattern = regex.compile(said)
        found = [name for name in modules if pattern.fullmatch(name, timeout=max(0.001, end - time.monotonic()))]
    except (regex.error, TimeoutError, RecursionError) as error:
        raise InputError(fault) from error
    if not found:
        raise InputError(f"{file}: target_modules matches no module of the model: name the model that the adapter is for")
    return found


def _names(file: Path | str, key: str, said: Any, form: Any = NAME) -> list[str]:
    fits = isinstance(said, list) and 0 <= len(said) <= MOST_NAMES
    if not fits or not all(isinstance(name, str) and len(name) <= LONGEST_NAME and form.fullmatch(name) for name in said):
        raise InputError(f"{file}: {key} is no list of names of modules: copy the folder again")
    return list(said)


def _rank(file: str, key: str, said: Any) -> int:
    if not isinstance(said, int) or isinstance(said, bool) or not 1 <= said <= LARGEST_RANK:
        raise InputError(f"{file}: {key} is {str(said)[:40]}, expected a whole number from 1 to {LARGEST_RANK}")
    return said


def _number(file: str, key: str, said: Any) -> float:
    if not isinstance(said, int | float) or isinstance(said, bool) or not abs(said) < 1e9:
        raise InputError(f"{file}: {key} is {str(said)[:40]}, expected a number")
    return said
