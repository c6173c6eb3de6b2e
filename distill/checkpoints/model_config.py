"""Read the config.json of a model as data: bounded, put right where it is harmless, and refused in one line elsewhere.

People's files hold `id2label` as a list or counted from 1, numbers as text, or the configuration of a quantiser that is not
installed. Strangers' files may hold a million layers, or names that make transformers import code (`attn_implementation:
"evil/kernel"`, `auto_map`). All of this is looked at before transformers sees the file.
"""

import importlib.util
import json
import logging
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedConfig

from distill.common.errors import InputError, did_you_mean
from distill.common.terminal import one_line

LOGGER = logging.getLogger("prompter")

MAX_JSON_BYTES = 64 * 2**20
"""Largest JSON file of a model that is read, apart from its vocabulary."""

MAX_VOCABULARY_BYTES = 128 * 2**20
MAX_VOCABULARY = 1_000_000
"""Most entries of a tokenizer, twice over, because a byte-pair vocabulary has as many merges again."""

LIMITS = (
    (re.compile(r"label|class"), 100_000),
    (re.compile(r"layer(?!_?norm)|depth|blocks?$|experts"), 1_000),
    (re.compile(r"vocab"), 4_000_000),
    (re.compile(r"position|n_ctx|seq_len"), 2**24),
    (re.compile(r"size|dim|embd|inner|hidden|heads"), 2**18),
)
"""Largest whole numbers of a configuration, by what their names mean. The first pattern that is found counts."""

ATTENTION = ("eager", "sdpa", "flash_attention_2")
"""Attention implementations that a configuration may name. Any other name may be code to import."""

COMMIT = re.compile(r"/snapshots/([0-9a-f]{40})/")
"""Where the path of a file in the hub's cache names the commit."""

NEVER_READ = {"auto_map", "fusion_config", "transformers_weights", "use_kernels", "kernel_config", "custom_pipelines",
              "_attn_implementation_internal", "_experts_implementation_internal", "experts_implementation"}  # fmt: skip
"""Fields that choose code or files, and that no weights depend on."""

FLOAT = "__float__"
"""Key under which transformers writes the floats that JSON has no number for: infinity, and none."""

DEEPEST = 16
"""How deep a config.json may be nested."""

QUANTISERS = {"bitsandbytes": "bitsandbytes", "bitsandbytes_4bit": "bitsandbytes", "bitsandbytes_8bit": "bitsandbytes",
              "gptq": "gptqmodel", "awq": "gptqmodel", "aqlm": "aqlm", "quanto": "optimum.quanto", "eetq": "kernels",
              "hqq": "hqq", "compressed-tensors": "compressed_tensors", "fbgemm_fp8": "fbgemm_gpu", "torchao": "torchao",
              "higgs": "flute", "vptq": "vptq", "spqr": "spqr_quant", "quark": "quark", "mxfp4": "kernels"}  # fmt: skip
"""Library that each method of quantisation needs."""


@cache
def say_once(line: str) -> None:
    """Show a line to the user, once in a process."""
    LOGGER.warning("%s", one_line(line))


def read_json(file: str | Path, about: str) -> dict[str, Any]:
    """Read a JSON file that holds a mapping.

    Args:
        file: The file.
        about: What it belongs to, at the beginning of messages: "teacher: models/x".

    Raises:
        InputError: It is too large, too deep, no JSON, or no mapping.
    """
    path = Path(file)
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise InputError(f"{about}: {path.name} has {size:,} bytes; at most {MAX_JSON_BYTES:,} are read.")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        reason = "it is too deep" if isinstance(error, RecursionError) else str(error)[:120]
        raise InputError(f"{about}: {path.name} is not JSON ({reason}); copy the folder again.") from None
    if not isinstance(content, dict):
        raise InputError(f"{about}: {path.name} holds a {type(content).__name__}; expected a mapping.")
    return content


def make_config(raw: dict[str, Any], source: str, about: str) -> PreTrainedConfig:
    """Make the configuration that a config.json describes.

    Args:
        raw: Its content.
        source: Folder or hub id. Some old files do not name their family, but their folder does.
        about: What it belongs to, at the beginning of messages.

    Raises:
        InputError: The family is unknown, a value is out of its limits, or the classes cannot be read.
    """
    cleaned = _cleaned(raw, about)
    config_class = _config_class(cleaned, source, about)
    _read_numbers(cleaned, config_class)
    cleaned.update(_classes(cleaned, about))
    named = cleaned.get("architectures")
    if named is not None:  # one name instead of a list, or null in it
        cleaned["architectures"] = [name for name in (named if isinstance(named, list) else [named]) if isinstance(name, str)]
    _check_quantiser(cleaned, about)
    config: PreTrainedConfig = config_class.from_dict(cleaned)
    config.name_or_path = source
    drop_foreign_tokens(config, getattr(config, "vocab_size", None), about)
    return config


def with_commit(config: PreTrainedConfig, file: Path) -> PreTrainedConfig:
    """Note the commit of the hub's repository that a configuration was read from; transformers notes it no more."""
    found = COMMIT.search(file.as_posix())
    config._commit_hash = found[1] if found else None
    return config


def drop_foreign_tokens(config: Any, vocabulary: Any, about: str) -> None:
    """Leave out special tokens beyond the vocabulary, such as the 50256 that a small GPT-2 trained from scratch keeps.

    Args:
        config: Configuration of a model or of its generation; it is changed.
        vocabulary: Number of tokens.
        about: What it belongs to, for the line that says so.
    """
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        value = getattr(config, name, None)
        ids = value if isinstance(value, (list, tuple)) else [value]
        if not isinstance(vocabulary, int) or not any(isinstance(i, int) and i >= vocabulary for i in ids):
            continue
        kept = [i for i in ids if not isinstance(i, int) or i < vocabulary]
        setattr(config, name, kept or None)
        say_once(f"{about}: {name} {value} is beyond its {vocabulary:,} tokens; that of the tokenizer is used.")


def _cleaned(raw: Mapping[str, Any], about: str, depth: int = 0) -> dict[str, Any]:
    """Return a copy without fields that choose code; check attention and sizes."""
    if depth > DEEPEST:
        raise InputError(f"{about}: config.json is nested more than {DEEPEST} deep.")
    result = {}
    for name, value in raw.items():
        if name in NEVER_READ:
            continue
        if name.lstrip("_") == "attn_implementation":
            _check_attention(value, about)
        value = _cleaned_value(value, about, depth + 1)
        check_limit(name, value, about)
        result[name] = value
    return result


def _cleaned_value(value: Any, about: str, depth: int) -> Any:
    if isinstance(value, list) and depth <= DEEPEST:
        return [_cleaned_value(item, about, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    special = value.get(FLOAT) if len(value) == 1 else None
    return float(special) if special in ("Infinity", "-Infinity", "NaN") else _cleaned(value, about, depth)


def _check_attention(value: Any, about: str) -> None:
    for name in value.values() if isinstance(value, dict) else [value]:
        if name is not None and name not in ATTENTION:
            raise InputError(
                f"{about}: config.json asks for attn_implementation {str(name)[:80]!r}, which may be code to import; "
                f"only {', '.join(ATTENTION)} are taken: delete the line."
            )


def check_limit(name: str, value: Any, about: str) -> None:
    """Refuse a size that is beyond any model in use, before anything is allocated for it.

    Raises:
        InputError: The value is beyond the limit that its name has in `LIMITS`.
    """
    count = len(value) if isinstance(value, (dict, list)) else value
    if isinstance(count, str) and re.fullmatch(r"\d{1,30}", count):
        count = int(count)
    if isinstance(count, bool) or not isinstance(count, (int, float)) or name.endswith("_token_id"):
        return
    limit = next((limit for pattern, limit in LIMITS if pattern.search(name)), None)
    if limit is not None and count > limit:
        raise InputError(f"{about}: {name} = {count:,}; at most {limit:,} are taken.")


def _config_class(raw: Mapping[str, Any], source: str, about: str) -> type[PreTrainedConfig]:
    family = raw.get("model_type")
    if family is None:  # as transformers does for files from before 2020
        names = sorted(CONFIG_MAPPING.keys(), key=len, reverse=True)
        family = next((name for name in names if name in source.lower()), None)
        if family is None:
            raise InputError(f'{about}: config.json has no model_type; add the family, such as "model_type": "bert".')
    if not isinstance(family, str) or family not in CONFIG_MAPPING:
        hint = did_you_mean(str(family), CONFIG_MAPPING.keys())
        raise InputError(
            f"{about}: model_type {str(family)[:80]!r} is unknown to this version of transformers, or needs code from its "
            f"repository, which is never run; use another model.{hint}"
        )
    return CONFIG_MAPPING[family]


def _read_numbers(raw: dict[str, Any], config_class: type[PreTrainedConfig]) -> None:
    """Turn numbers that were written as text into numbers."""
    fields = getattr(config_class, "__dataclass_fields__", {})
    for name, value in raw.items():
        declared = fields.get(config_class.attribute_map.get(name, name))
        kind = str(declared.type) if declared is not None else ""
        if isinstance(value, str) and "str" not in kind:
            text = value.strip()
            if "int" in kind and re.fullmatch(r"[+-]?\d{1,18}", text):
                raw[name] = int(text)
            elif "float" in kind and re.fullmatch(r"[+-]?\d*\.?\d+([eE][+-]?\d{1,3})?", text):
                raw[name] = float(text)
            elif "bool" in kind and text.lower() in ("true", "false"):
                raw[name] = text.lower() == "true"
        elif isinstance(value, float) and "int" in kind and "float" not in kind and value.is_integer():
            raw[name] = int(value)


def _classes(raw: dict[str, Any], about: str) -> dict[str, Any]:
    """Return `id2label` and `label2id` as transformers wants them, without what contradicts them."""
    names, numbers = raw.pop("id2label", None), raw.pop("label2id", None)
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not names and isinstance(numbers, dict):
        names = {number: name for name, number in numbers.items()}
    if not names:
        return {}
    try:
        by_number = {int(number): str(name) for number, name in names.items()}
    except (AttributeError, TypeError, ValueError):
        raise InputError(f"{about}: id2label of config.json is {str(names)[:120]}; expected names by number from 0.") from None
    first = min(by_number)
    if sorted(by_number) != list(range(first, first + len(names))) or first not in (0, 1):
        raise InputError(f"{about}: id2label of config.json numbers its classes {sorted(by_number)[:8]}; expected 0, 1, 2 ...")
    if first == 1:
        say_once(f"{about}: id2label counts from 1; the first output is read as {by_number[1]!r}.")
    ordered = {index: by_number[index + first] for index in range(len(by_number))}
    said = raw.pop("num_labels", None)
    if said is not None and str(said) != str(len(ordered)):
        raise InputError(
            f"{about}: config.json says num_labels = {str(said)[:20]}, but id2label has {len(ordered)} names; correct it."
        )
    return {"id2label": ordered, "label2id": {name: index for index, name in ordered.items()}}


def _check_quantiser(raw: Mapping[str, Any], about: str) -> None:
    quantised = raw.get("quantization_config")
    if not isinstance(quantised, dict):
        return
    loaded = "bitsandbytes" if {"load_in_8bit", "load_in_4bit"} & quantised.keys() else ""
    method = str(quantised.get("quant_method") or loaded)
    library = QUANTISERS.get(method)
    if not method:
        raise InputError(
            f"{about}: quantization_config of config.json has no quant_method that says how its weights are quantised; add "
            "it, or use the full weights."
        )
    if library is None:
        raise InputError(
            f"{about}: its weights are quantised by {method[:40]!r}, which is not supported; use the full weights."
        )
    try:
        found = importlib.util.find_spec(library) is not None  # a name of `QUANTISERS`, never one of the file
    except ImportError:
        found = False
    if not found:
        raise InputError(
            f"{about}: its weights are quantised ({method}), and the library {library} is not installed; "
            f"pip install {library.partition('.')[0]}, or use the full weights."
        )


def check_tokenizer_files(folder: Path, about: str) -> None:
    """Refuse tokenizer files that would exhaust memory.

    Raises:
        InputError: A file is too large, or holds too many entries.
    """
    for file in (folder / name for name in ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "added_tokens.json",
                                            "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")):  # fmt: skip
        size = file.stat().st_size if file.is_file() else 0
        if size > MAX_VOCABULARY_BYTES:
            raise InputError(f"{about}: {file.name} has {size:,} bytes; at most {MAX_VOCABULARY_BYTES:,} are read.")
        if size > MAX_VOCABULARY:
            content = file.read_bytes()
            # An entry of a JSON mapping has a colon, one of a list a bracket, and one of a text file a line.
            entries = max(content.count(b":"), content.count(b"["), content.count(b"\n") if file.suffix == ".txt" else 0)
            if entries > 2 * MAX_VOCABULARY:
                raise InputError(f"{about}: {file.name} has {entries:,} entries; at most {2 * MAX_VOCABULARY:,} are read.")
    for name in ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json"):
        if (folder / name).is_file():
            read_json(folder / name, about)
