"""Folders as a stranger might make them: a good one in which a random change was made, or several."""

import json
import random
from pathlib import Path
from typing import Any

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 3, 10**6, 10**7, 10**30, -(10**9), 0.5, 1e308, float("nan"), float("inf")),
    *("", " ", "x" * 300, "x" * 100_000, "[/b]", "\x1b[2J", "\ud800", "a\nb", "\0", "..", "../../../etc/passwd", "/", "~"),
    *("os:system", "subprocess:getoutput", "hostile_module:run", "http://127.0.0.1:9/predict", "https://127.0.0.1:9"),
    *("org/kernel", "evil/kernel:x", "none", "toys:x", "(a+)+$", "(.*.*)*x", "all-linear", "LORA", "torch"),
    *([], {}, [None], [1, "a"], {"a": {"b": []}}, ["good", "good"], ["[/b]", "\x1b[31m"], {"0": 5}, [[[[[[]]]]]]),
)

SPOILT = (".json", ".yaml", ".safetensors", ".parquet")

KEYS = (
    *("attn_implementation", "_attn_implementation", "auto_map", "trust_remote_code", "quantization_config", "dtype"),
    *("megatron_core", "megatron_config", "layer_replication", "exclude_modules", "modules_to_save", "rank_pattern"),
    *("teacher", "teacher_labels", "labels", "base", "writer", "base_revision", "architectures", "model_type"),
    *("tokenizer_class", "base_model_name_or_path", "target_modules", "r", "peft_type", "id2label", "num_labels"),
)


def spoil(folder: Path, chance: random.Random) -> str:
    """Change one to three things in a folder, and say what."""
    return "; ".join(_spoil_once(folder, chance) for _ in range(chance.choice((1, 1, 1, 2, 3))))


def _spoil_once(folder: Path, chance: random.Random) -> str:
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix in SPOILT)
    if not files:
        return "nothing is left"
    file = chance.choice(files)
    if file.suffix == ".json" and chance.random() < 0.8:
        return _change_json(file, chance)
    content = file.read_bytes()
    kind = chance.choice(("cut", "flip", "empty", "gone", "folder", "noise", "deep"))
    if kind == "cut":
        file.write_bytes(content[: chance.randrange(len(content) + 1)])
    elif kind == "flip" and content:
        place = chance.randrange(len(content))
        file.write_bytes(content[:place] + bytes([content[place] ^ (1 << chance.randrange(8))]) + content[place + 1 :])
    elif kind == "empty":
        file.write_bytes(b"")
    elif kind == "noise":
        file.write_bytes(chance.randbytes(200))
    elif kind == "deep":
        file.write_text("[" * 100_000)
    else:
        file.unlink()
        if kind == "folder":
            file.mkdir()
    return f"{file.name}: {kind}"


def _change_json(file: Path, chance: random.Random) -> str:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return "as it was"
    where, inner = "", value
    while isinstance(inner, dict | list) and inner:
        key = chance.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        where += f".{key}"
        if isinstance(inner[key], dict | list) and inner[key] and chance.random() < 0.5:
            inner = inner[key]
            continue
        new = chance.choice(VALUES)
        if isinstance(inner, dict) and chance.random() < 0.3:
            key = chance.choice(KEYS)
            where += f" and new {key}"
        if isinstance(inner, dict) and chance.random() < 0.1:
            del inner[next(iter(inner))]
        else:
            inner[key] = new
            where += f" = {str(new)[:30]!r}"
        break
    file.write_text(json.dumps(value), encoding="utf-8")
    return f"{file.name}{where}"
