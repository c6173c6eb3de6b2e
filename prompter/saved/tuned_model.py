"""The tuned model of a saved prompter: a base with an adapter, or full weights, and its tokenizer."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from distill.checkpoints.checksums import check_weights
from distill.checkpoints.tokenizers import open_tokenizer
from distill.common.adapters import read_adapter_config
from distill.common.errors import InputError
from distill.common.hub import load_model
from distill.common.precision import resolve_device
from eval.toy import located
from prompter.saved.manifest import PROMPTER_MANIFEST, count_base_parameters

NOT_FOUND = ("does not exist", "is not a local", "has no config.json")
"""Parts of the messages with which `distill.common.hub` reports a model that is not at the given place."""


@contextmanager
def remedy_for_moved_model(setting: str) -> Iterator[None]:
    """Add to an error about a missing model how to name the new place of the model."""
    try:
        yield
    except InputError as error:
        if not any(reason in str(error) for reason in NOT_FOUND):
            raise
        raise InputError(f"{error} If the model has moved, name its new place with {setting}.") from error


def load_policy(folder: Path, manifest: dict[str, Any], base: str, revision: str | None, device: str) -> PreTrainedModel:
    """Load the tuned model: a base with an adapter, or full weights."""
    place = resolve_device(device)
    if not manifest["adapter"]:
        return load_model(AutoModelForCausalLM, folder, "prompter", place, torch.float32)
    with remedy_for_moved_model("base= (--base on the command line)"):
        model = load_model(AutoModelForCausalLM, located(base, "writer"), "base", place, torch.float32, revision=revision)
    expected = manifest.get("base_parameters", count_base_parameters(model))
    if not isinstance(expected, int):
        raise InputError(f"{folder / PROMPTER_MANIFEST}: 'base_parameters' is no whole number: copy the folder again")
    if count_base_parameters(model) != expected:
        raise InputError(
            f"base: {base} has {count_base_parameters(model):,} parameters, but the prompter was tuned on a model with "
            f"{expected:,} ({manifest['base']}): name that model with base= (--base on the command line)"
        )
    return _with_adapter(model, folder, base)


def _with_adapter(model: PreTrainedModel, folder: Path, base: str) -> PeftModel:
    """Put the adapter of the folder on a base model. The adapter must cover every LoRA weight, and nothing else."""
    damaged = f"{folder}: the adapter is missing or damaged"
    try:
        config = read_adapter_config(folder, model)
        check_weights(folder / "adapter_model.safetensors", f"prompter: {folder}")
        weights = load_file(folder / "adapter_model.safetensors")
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{damaged} ({reason}): copy the folder again") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT warns about the path of the base and about the layers of GPT-2
            tuned = get_peft_model(model, config)
            report = set_peft_model_state_dict(tuned, weights)
        missing = [name for name in report.missing_keys if ".lora_" in name]
        fault = f"{len(missing)} weights missing, {len(report.unexpected_keys)} left over"
        fits = not missing and not report.unexpected_keys
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        fits, fault = False, " ".join(f"{type(error).__name__}: {error}".split())[:200]
    if not fits:
        raise InputError(
            f"{folder}: the adapter does not fit {base} ({fault}): name the model it was tuned on with base= "
            "(--base on the command line)"
        )
    return tuned.requires_grad_(False).eval()


def load_saved_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer saved with the adapter. `distill.common.hub` would expect a config.json beside it."""
    try:
        return open_tokenizer(folder, f"prompter: {folder}")
    except InputError:
        raise
    except Exception as error:  # the Rust tokenizer raises a bare `Exception` for a damaged tokenizer.json
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{folder}: the tokenizer is missing or damaged ({reason}): copy the folder again") from error
