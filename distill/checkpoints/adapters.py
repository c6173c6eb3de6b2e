"""LoRA adapters as PEFT saves them: find the base model, and merge the adapter into it in memory.

`adapter_config.json` is data. Its fields can name regular expressions that never end (`target_modules`) and modules to import
(`megatron_core`), so the modules are read from the names of the weights instead, and only plain numbers from the file.
"""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from distill.checkpoints.checksums import check_weights
from distill.checkpoints.model_config import read_json
from distill.checkpoints.weights import NAMES, file_of, load_pickled, unwrapped_names
from distill.common.adapters import ADAPTER_CONFIG, scale_values
from distill.common.errors import InputError

CONFIG = ADAPTER_CONFIG
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")

MODULE = re.compile(r"(.+)\.lora_(?:A|B|embedding_A|embedding_B|magnitude_vector)(?:\.weight)?")

REVISION = re.compile(r"(?!.*\.\.)\w[\w./-]{0,200}")
"""A commit, branch or tag of a repository. It becomes part of a path in the hub's cache, so it must not lead out of there."""

HEAD = re.compile(r"(?:.*\.)?(?:classifier|score|out_proj|classification_head|logits_proj)\.weight")

TRAINING_ONLY = {"lora_dropout", "inference_mode", "revision", "task_type", "peft_type", "peft_version", "auto_mapping",
                 "base_model_name_or_path", "target_modules", "exclude_modules", "modules_to_save", "layers_to_transform",
                 "layers_pattern", "megatron_core", "bias", "fan_in_fan_out", "ensure_weight_tying", "qalora_group_size",
                 "runtime_config", "loftq_config", "eva_config", "corda_config", "lora_ga_config"}  # fmt: skip
"""Fields that the merged weights do not depend on, given the names of the adapter's weights."""

READ = {"r", "lora_alpha", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "init_lora_weights"}


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter on disk.

    Attributes:
        about: Setting and name, at the beginning of messages.
        base: Name of the model that it was trained on.
        settings: Content of its adapter_config.json.
        weights: File of its weights.
        revision: Commit of the base in its repository; None: the newest.
    """

    about: str
    base: str
    settings: dict[str, Any]
    weights: Path
    revision: str | None = None

    def read(self) -> dict[str, Tensor]:
        """Return its weights, by names of the base model's modules."""
        check_weights(self.weights, self.about)
        try:
            found = (
                load_file(self.weights) if self.weights.suffix == ".safetensors" else load_pickled(self.weights, self.about)
            )
        except SafetensorError as error:
            raise InputError(
                f"{self.about}: {self.weights.name} is damaged or cut off ({error}); copy the folder again."
            ) from None
        names = unwrapped_names(list(found))
        # Beside a module that was trained as a whole, PEFT may save what that module was before.
        return {_plain(names[name]): weight for name, weight in found.items() if ".original_module." not in name}

    def classes(self) -> int | None:
        """Return the number of outputs of the classification head that it holds, None where it holds none."""
        heads = [weight for name, weight in self.read().items() if HEAD.fullmatch(name) and weight.ndim == 2]
        return heads[-1].shape[0] if heads else None


def find_adapter(source: str, revision: str | None, about: str) -> Adapter | None:
    """Return the adapter of a folder or hub id; None where there is none, or the weights of a whole model beside it.

    Raises:
        InputError: It is not a LoRA adapter, it names no base model, or its revision is none.
    """
    file = file_of(source, CONFIG, revision)
    if file is None:
        return None
    found = [weights for name in WEIGHTS if (weights := file_of(source, name, revision)) is not None]
    if not found:
        if any(file_of(source, name, revision) for name in NAMES):
            return None
        raise InputError(f"{about}: it has {CONFIG}, but no {WEIGHTS[0]}; copy the folder again.")
    settings = read_json(file, about)
    kind, base = str(settings.get("peft_type"))[:40], settings.get("base_model_name_or_path")
    if kind != "LORA":
        raise InputError(
            f"{about}: it is an adapter of kind {kind}; only LORA is read: merge it into its model and save that."
        )
    if not isinstance(base, str) or not base:
        raise InputError(f"{about}: {CONFIG} names no base model; set base_model_name_or_path there to its folder.")
    beside = Path(source) / base
    if not Path(base).expanduser().is_dir() and Path(source).is_dir() and beside.is_dir():
        base = str(beside)
    revision = settings.get("revision") or None
    if revision is not None and (not isinstance(revision, str) or not REVISION.fullmatch(revision)):
        raise InputError(f"{about}: revision in {CONFIG} is {str(revision)[:80]!r}, expected a commit or null; correct it.")
    return Adapter(about, base, settings, found[0], revision)


def merge(model: PreTrainedModel, adapter: Adapter, missing: list[str]) -> PreTrainedModel:
    """Merge an adapter into its base model, in memory.

    Word embeddings with other rows than the adapter's get as many. Embeddings and output layer that share their weights are
    parted where the adapter changes them in two ways.

    Args:
        model: The base model; it is changed.
        adapter: The adapter.
        missing: Weights that the base's files lack; the adapter must hold them.

    Raises:
        InputError: The adapter uses what cannot be merged here, or does not fit the model.
    """
    _check_used(adapter)
    weights = adapter.read()
    low_rank = {name: weight for name, weight in weights.items() if MODULE.fullmatch(name)}
    whole = {name.replace(".base_layer.", "."): weight for name, weight in weights.items() if name not in low_rank}
    modules = sorted({match[1] for name in low_rank if (match := MODULE.fullmatch(name))})
    _fit_vocabulary(model, whole, modules)
    state = model.state_dict()
    unknown = [name for name, weight in whole.items() if name not in state or state[name].shape != weight.shape]
    unknown += [module for module in modules if f"{module}.weight" not in state]
    if unknown or not weights:
        raise InputError(
            f"{adapter.about}: the adapter does not fit {adapter.base} ({', '.join(unknown[:2]) or 'it is empty'}); set "
            f"base_model_name_or_path in its {CONFIG} to the model that it was trained on."
        )
    left = [name for name in missing if name not in whole]
    if left:
        raise InputError(f"{adapter.about}: neither the adapter nor {adapter.base} holds trained weights of {left[0]}.")
    with torch.no_grad():
        for name, weight in whole.items():
            state[name].copy_(weight)
    return _merged(model, adapter, modules, low_rank) if modules else model


def _fit_vocabulary(model: PreTrainedModel, whole: dict[str, Tensor], modules: list[str]) -> None:
    """Give embeddings and output layer as many rows as the adapter has, and part them where it changes one of them alone.

    Args:
        model: The base model; it is changed.
        whole: Weights of the adapter that replace those of the model.
        modules: Names of the modules that low-rank weights are added to.
    """
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    names = [name for end in ends for name, module in model.named_modules() if module is end]
    new = [whole[f"{name}.weight"] for name in names if f"{name}.weight" in whole]
    rows, width = ends[0].weight.shape
    if new and all(weight.shape == new[0].shape and weight.shape[1:] == (width,) for weight in new) and len(new[0]) != rows:
        model.resize_token_embeddings(len(new[0]), mean_resizing=False)
        ends = (model.get_input_embeddings(), model.get_output_embeddings())
    if ends[1] is None or ends[0] is ends[1] or ends[1].weight is not ends[0].weight:
        return
    alike = len(new) == 2 and torch.equal(*new)
    if set(names) & set(modules) or (new and not alike):
        ends[1].weight = torch.nn.Parameter(ends[1].weight.detach().clone())
        model.config.tie_word_embeddings = model.config.get_text_config().tie_word_embeddings = False


def _merged(model: PreTrainedModel, adapter: Adapter, modules: list[str], low_rank: dict[str, Tensor]) -> PreTrainedModel:
    config = _lora_config(adapter, modules)
    try:
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT warns about the layers of GPT-2, and sets them right itself
            tuned = get_peft_model(model, config)
            report = set_peft_model_state_dict(tuned, {f"base_model.model.{name}": w for name, w in low_rank.items()})
            lost = [name for name in report.missing_keys if ".lora_" in name] + list(report.unexpected_keys)
            if lost:
                raise ValueError(f"{lost[0]} is left over")
            merged: PreTrainedModel = tuned.merge_and_unload()
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{adapter.about}: the adapter does not fit {adapter.base} ({reason}).") from error
    if hasattr(merged, "peft_config"):
        del merged.peft_config  # the policy puts adapters of its own on top
    return merged


def _check_used(adapter: Adapter) -> None:
    """Refuse an adapter that changes its model in a way that is not merged here."""
    settings = adapter.settings
    used = [name for name, value in settings.items() if value and name not in TRAINING_ONLY | READ]
    start = settings.get("init_lora_weights", True)
    if start not in (True, False, None, "gaussian", "eva", "orthogonal"):
        used.append("init_lora_weights")
    if used:
        raise InputError(
            f"{adapter.about}: the adapter uses {used[0][:40]}, which is not merged here; merge it with PEFT "
            "(merge_and_unload, save_pretrained) and give that folder."
        )


def _lora_config(adapter: Adapter, modules: list[str]) -> LoraConfig:
    """Return a configuration of the adapter's plain numbers, for exactly the modules that it has weights for."""
    values = scale_values(adapter.settings, f"{adapter.about}: {CONFIG}")
    return LoraConfig(target_modules=modules, lora_dropout=0.0, **values)


def _plain(name: str) -> str:
    """Return the name of an adapter's weight as the base model would call it."""
    return name.removeprefix("base_model.model.").replace("modules_to_save.default.", "").replace("modules_to_save.", "")
