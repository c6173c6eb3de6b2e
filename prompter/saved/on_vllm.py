"""A saved prompter on vLLM, with its adapter as a LoRA request.

What vLLM reads of the adapter is written anew from what was checked: the folder may come from anybody.
"""

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import PreTrainedTokenizerBase

from distill.checkpoints.checksums import check_weights
from distill.common.adapters import ADAPTER_CONFIG, UNSUPPORTED, scale_values
from distill.common.errors import InputError
from distill.common.files import read_json, write_json
from distill.common.terminal import one_line
from prompter.generation.config import PolicyConfig, WriterConfig
from prompter.generation.opening import edits_of
from prompter.generation.outside.vllm_policy import VLLMPolicy
from prompter.generation.outside.vllm_writer import VLLMWriter
from prompter.generation.prompts import contexts_of
from prompter.runtime.console import LOGGER

WEIGHTS = "adapter_model.safetensors"

NAME = re.compile(r"base_model\.model\.([\w.]+)\.lora_[AB]\.weight")

SUPPORTED = {"r", "lora_alpha", "use_rslora"}
"""Values of an adapter's scale that vLLM takes; the others must be off."""

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as `max_lora_rank`."""


def load_on_vllm(
    folder: Path,
    manifest: Mapping[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    name: str,
    config: tuple[PolicyConfig, WriterConfig],
    revision: str | None,
) -> tuple[VLLMPolicy, VLLMWriter] | None:
    """Load base model and adapter into one engine.

    Args:
        folder: The folder of the prompter.
        manifest: Content of its `prompter.json`.
        tokenizer: Its tokenizer.
        name: Folder or hub id of the base, which is the writer, too.
        config: Settings of policy and writer.
        revision: Commit of a hub repository.

    Returns:
        Policy and writer, or None, after a line that says why, where vLLM cannot take the adapter.

    Raises:
        InputError: The adapter is damaged, or vLLM is missing or cannot load the model at all.
    """
    policy_config, writer_config = config
    copy = tempfile.TemporaryDirectory(prefix="prompter-adapter-")  # vLLM reads it with the first request; the policy keeps it
    rank, reason = copy_adapter(folder, Path(copy.name))
    try:
        writer = None if reason else VLLMWriter(name, writer_config, revision, lora_rank=rank)
    except InputError as error:
        reason = str(error) if re.search("lora", str(error), re.IGNORECASE) else ""
        if not reason:
            raise
        writer = None
    if writer is None:
        LOGGER.warning("vLLM cannot take the prompter's adapter (%s): transformers writes the openings.", one_line(reason))
        return None
    policy = VLLMPolicy(writer, tokenizer, manifest["labels"], policy_config, copy)
    writer.contexts, writer.edits = contexts_of(writer, policy), edits_of(writer_config, policy)
    return policy, writer


def copy_adapter(folder: Path, to: Path) -> tuple[int, str]:
    """Write what vLLM shall read of an adapter into another folder.

    Args:
        folder: The folder of the prompter.
        to: An empty folder.

    Returns:
        The smallest rank of vLLM's that holds the adapter, and why vLLM cannot take it, or "".

    Raises:
        InputError: The adapter is missing or damaged.
    """
    weights, file = folder / WEIGHTS, folder / ADAPTER_CONFIG
    check_weights(weights, f"prompter: {folder}")
    said = read_json(file)
    if not isinstance(said, dict):
        raise InputError(f"{file}: holds no adapter configuration: copy the folder again")
    scale = scale_values(said, str(file))
    used = [key for key, value in scale.items() if value and key not in SUPPORTED]
    used += [key for key in (*UNSUPPORTED, "modules_to_save") if said.get(key)]
    used += ["bias"] if said.get("bias", "none") != "none" else []
    if used:
        return 0, f"it uses {', '.join(used)}"
    if scale["r"] > RANKS[-1]:
        return 0, f"its rank is {scale['r']}"
    try:
        with safe_open(weights, "pt") as opened:
            names = [NAME.fullmatch(key) for key in opened.keys()]
    except (OSError, SafetensorError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{folder}: the adapter is missing or damaged ({reason}): copy the folder again") from error
    if not names or not all(names):
        return 0, "it holds more than LoRA weights"
    targets = sorted({name[1] for name in names if name})
    kind = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "bias": "none", "target_modules": targets}
    write_json(to / ADAPTER_CONFIG, kind | {key: scale[key] for key in SUPPORTED if key in scale})
    shutil.copyfile(weights, to / WEIGHTS)
    return next(rank for rank in RANKS if rank >= scale["r"]), ""
