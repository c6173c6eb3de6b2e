"""Find and read the weights of a model: safetensors, or `pytorch_model.bin` without running anything in it.

Most public classifiers from before 2023 are pickle files only. They are read with `weights_only=True`, which knows tensors and
refuses everything else. Weights of a compiled or distributed model carry prefixes, which are removed.
"""

import math
import pickle
import re
import zipfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from transformers.utils.hub import cached_file

from distill.checkpoints.model_config import read_json, say_once
from distill.checkpoints.network import heed_network
from distill.common.errors import InputError

NAMES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")

WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module)\.")
"""What torch.compile and FSDP add to the names of weights; DDP adds "module." to all of them."""

PLACELESS = re.compile(
    r"(?:^|\.)(?:pooler|cls|lm_head|\w*predictions|generator_lm_head|vocab_(?:projector|transform|layer_norm)|qa_outputs"
    r"|seq_relationship|sop_classifier|position_ids|token_type_ids|masked_bias|attn\.bias|attention\.bias|inv_freq|rotary_emb"
    r"|mtp|visual|vision_\w+|num_batches_tracked|lm_loss|pred_layer|final_logits_bias)(?:\.|$)"
    r"|^decoder\.(?:bias|weight)$"  # of ModernBERT's masked language model
)
"""Weights that many files hold although the model does not use them: heads of the task that it was trained on before, tables
that are computed, parts that read images."""

NUMBERED = re.compile(r"\.\d+\.")

POINTER = b"version https://git-lfs"
"""How the file begins that stands for a large one until `git lfs pull` has brought it."""

FORBIDDEN = re.compile(r"unsupported global|can only (?:create|build)|unrecognized function|must be imported", re.IGNORECASE)
"""What torch says of a pickle file that names anything but tensors."""

FOREIGN = {".gguf": "GGUF", ".h5": "TensorFlow", ".msgpack": "Flax", ".onnx": "ONNX", ".ckpt": "a training checkpoint"}


@dataclass(frozen=True)
class Checkpoint:
    """Files that hold the weights of a model.

    Attributes:
        files: The files, in order.
        pickled: Whether they are pickle files.
    """

    files: list[Path]
    pickled: bool

    def sizes(self) -> dict[str, tuple[int, str]]:
        """Return number and format of the values of each weight in safetensors files, without reading the values."""
        sizes: dict[str, tuple[int, str]] = {}
        for file in self.files:
            with safe_open(file, "pt") as opened:
                for name in opened.keys():  # noqa: SIM118
                    weight = opened.get_slice(name)
                    sizes[name] = math.prod(weight.get_shape()), weight.get_dtype()
        return sizes

    def read(self, about: str) -> dict[str, Tensor]:
        """Return all weights by name, without prefixes of wrappers."""
        weights: dict[str, Tensor] = {}
        for file in self.files:
            weights |= load_pickled(file, about) if self.pickled else load_file(file)
        names = unwrapped_names(list(weights))
        return {names[name]: weight for name, weight in weights.items()}


def find_checkpoint(source: str, revision: str | None, about: str) -> Checkpoint | None:
    """Return the weights of a folder or hub id, None where there are none; safetensors come first.

    Raises:
        InputError: The index of the parts is damaged, or a part is missing.
    """
    for name in NAMES:
        file = file_of(source, name, revision)
        if file is None:
            continue
        pickled = "bin" in name
        if not name.endswith(".json"):
            return Checkpoint([file], pickled)
        parts = read_json(file, about).get("weight_map")
        if not isinstance(parts, dict) or not all(isinstance(p, str) and re.fullmatch(r"[\w.-]+", p) for p in parts.values()):
            raise InputError(f"{about}: {name} does not name the files of the weights; copy the folder again.")
        files = {part: file_of(source, part, revision) for part in dict.fromkeys(parts.values())}
        missing = [part for part, found in files.items() if found is None]
        if missing:
            raise InputError(
                f"{about}: {missing[0]} is missing ({len(missing)} of {len(files)} parts are); copy the folder again."
            )
        return Checkpoint([found for found in files.values() if found], pickled)
    return None


def file_of(source: str, name: str, revision: str | None) -> Path | None:
    """Return a file of a folder or hub id, None where there is none.

    Raises:
        InputError: It stands for a file that Git LFS has not brought.
    """
    if Path(source).is_dir():
        file = Path(source) / name
        if not file.is_file():
            return None
        with file.open("rb") as stream:
            if stream.read(len(POINTER)) == POINTER:
                raise InputError(f"{file} stands for a file that Git LFS has not brought; run git lfs pull in {source}.")
        return file
    heed_network()
    found = cached_file(
        source,
        name,
        revision=revision or "main",
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
    )
    return None if found is None else Path(found)


def unwrapped_names(names: list[str]) -> dict[str, str]:
    """Return the name of each weight without what torch.compile, FSDP and DDP add.

    Examples:
        >>> unwrapped_names(["module._orig_mod.bert.a", "module._orig_mod.b"])
        {'module._orig_mod.bert.a': 'bert.a', 'module._orig_mod.b': 'b'}
        >>> unwrapped_names(["module.a", "b"])
        {'module.a': 'module.a', 'b': 'b'}
    """
    plain = {name: WRAPPERS.sub("", name) for name in names}
    while plain and all(name.startswith("module.") for name in plain.values()):
        plain = {old: name.removeprefix("module.") for old, name in plain.items()}
    return plain


def prefix_of(names: Iterable[str], expected: Collection[str]) -> str:
    """Return what a training program put before the name of each weight of a model, "" where that is nothing.

    Args:
        names: Names in the files.
        expected: Names that the model has.

    Examples:
        >>> prefix_of(["net.bert.a", "net.bert.b", "net.loss"], ["bert.a", "bert.b"])
        'net.'
        >>> prefix_of(["bert.a", "net.bert.b"], ["bert.a", "bert.b"])
        ''
    """
    found = set(names)
    if not expected or not found.isdisjoint(expected):
        return ""
    one = max(expected, key=len)
    prefixes = (name.removesuffix(one) for name in found if name.endswith(f".{one}"))
    return next((prefix for prefix in sorted(prefixes) if all(prefix + name in found for name in expected)), "")


def check_numbers(formats: Mapping[str, str], about: str) -> None:
    """Refuse weights that are codes of a quantiser, of a model whose config.json names none.

    Args:
        formats: The format of each weight, as safetensors or torch name it.
        about: Setting and name, at the beginning of the message.

    Raises:
        InputError: Weights are whole numbers, or numbers of 8 bits beside scales.
    """
    kinds = {name: kind.removeprefix("torch.").upper() for name, kind in formats.items()}
    # A static classifier's vectors are called embeddings; model2vec quantises them to int8 and keeps no scale.
    weights = [name for name in kinds if name.endswith("weight") or name == "embeddings"]
    codes = [name for name in weights if re.match(r"(?:U?INT|[UI])\d", kinds[name])]
    if not codes and any("scale" in name.rpartition(".")[2] for name in kinds):
        codes = [name for name, kind in kinds.items() if kind.startswith(("F8", "FLOAT8"))]
    if codes:
        raise InputError(
            f"{about}: its weights are quantised ({codes[0]} is {kinds[codes[0]]}), but config.json has no "
            "quantization_config that says how; use the full weights."
        )


def name_drawn(missing: Iterable[str], prefix: str, about: str) -> None:
    """Say which weights below a new head are drawn at random, because the files lack them.

    Args:
        missing: Names of all weights that are.
        prefix: How names of weights below the head begin, without the dot. A pooler belongs to a head here: checkpoints of
            language models have none.
        about: Setting and name, at the beginning of the line.
    """
    drawn = sorted(name for name in missing if prefix and name.startswith(f"{prefix}.") and ".pooler." not in name)
    if drawn:
        say_once(
            f"{about}: its files lack {len(drawn)} of the weights that config.json describes ({', '.join(drawn[:3])}"
            f"{', ...' * (len(drawn) > 3)}); they begin at random: if the model was trained, copy the folder again."
        )


def name_left_out(names: Iterable[str], headless: bool, about: str) -> None:
    """Say which weights of the files a model has no place for, but for those that many files hold for nothing.

    Args:
        names: Names of these weights.
        headless: Whether the model was opened without its head, whose weights are then among them.
        about: Setting and name, at the beginning of the line.
    """
    lost = sorted(name for name in names if not PLACELESS.search(name) and (not headless or NUMBERED.search(name)))
    if lost:
        shown = ", ".join(lost[:2]) + (", ..." if len(lost) > 2 else "")
        say_once(
            f"{about}: the model that config.json describes has no place for {len(lost)} weights of its files ({shown}), "
            "which are left out; if they belong to it, correct its layers and architectures in config.json."
        )


def load_pickled(file: Path, about: str) -> dict[str, Tensor]:
    """Read a pickle file of weights and run nothing in it.

    Raises:
        InputError: It holds anything but tensors, is damaged, or unpacks to more than it is.
    """
    size = file.stat().st_size
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > 2 * size + 2**20:
            raise InputError(f"{about}: {file.name} unpacks from {size:,} to {unpacked:,} bytes; it is not read.")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not FORBIDDEN.search(str(error)):
            raise InputError(f"{about}: {file.name} is damaged or cut off; copy the folder again.") from None
        raise InputError(
            f"{about}: {file.name} holds more than weights, which could run code and is never read; "
            "save the model with save_pretrained (safetensors)."
        ) from None
    except Exception:  # torch raises many kinds for a damaged file
        raise InputError(f"{about}: {file.name} is damaged or cut off; copy the folder again.") from None
    for inner in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(inner), dict):
            content = content[inner]
    weights = (
        {name: value for name, value in content.items() if isinstance(value, Tensor)} if isinstance(content, dict) else {}
    )
    if not weights:
        raise InputError(f"{about}: {file.name} holds no weights; save the model with save_pretrained (safetensors).")
    if sum(weight.numel() * weight.element_size() for weight in weights.values()) > 4 * size + 2**20:
        raise InputError(f"{about}: {file.name} describes more weights than it holds; it is not read.")
    say_once(f"{about}: {file.name} is a pickle file; only its tensors are read (weights_only), no code in it is run.")
    return weights


def describe_missing(source: str, name: str, field: str) -> InputError:
    """Return the error of a folder without weights: what it holds instead, and what to do."""
    kinds = (
        {FOREIGN[file.suffix] for file in Path(source).glob("*") if file.suffix in FOREIGN} if Path(source).is_dir() else ()
    )
    instead = f" It holds {', '.join(sorted(kinds))}, which is not read." if kinds else ""
    if "GGUF" in kinds:
        instead = f" It holds GGUF files: name one of them, such as {sorted(Path(source).glob('*.gguf'))[0]}."
    return InputError(f"{field}: {name} has no model.safetensors; save the model with save_pretrained (safetensors).{instead}")
