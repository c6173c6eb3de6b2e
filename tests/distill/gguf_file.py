"""Write tiny GGUF files as llama.cpp's converter does: the reverse of what transformers does when it reads them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)
from transformers.models.auto import AutoModelForCausalLM

from distill.common.seeding import seeded

TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEXT = "the good film and the bad film: good food was in the old town, and the new room was bad. " * 4

SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 2,
}

CONFIGS = {
    "llama": lambda size: LlamaConfig(vocab_size=size, tie_word_embeddings=True, rope_theta=5000.0, **SHAPE),
    "qwen2": lambda size: Qwen2Config(vocab_size=size, tie_word_embeddings=False, **SHAPE),
    "qwen3": lambda size: Qwen3Config(vocab_size=size, tie_word_embeddings=True, head_dim=32, **SHAPE),
    "gemma2": lambda size: Gemma2Config(
        vocab_size=size, head_dim=32, sliding_window=8, final_logit_softcapping=20.0, attn_logit_softcapping=10.0, **SHAPE
    ),
    "gemma3": lambda size: Gemma3TextConfig(vocab_size=size, head_dim=32, sliding_window=8, **SHAPE),
    "gpt2": lambda size: GPT2Config(
        vocab_size=size, n_embd=64, n_layer=2, n_head=4, n_positions=128, bos_token_id=0, eos_token_id=2
    ),
}
"""A tiny model of each family that transformers reads, by its name in llama.cpp."""


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A small byte-level BPE tokenizer with a chat template."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    inner.train_from_iterator([TEXT], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=SPECIAL[0], eos_token=SPECIAL[2])
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def tiny_model(family: str, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """A random model whose weights, norms among them, are far from their first values."""
    with seeded(0, "model"):
        model = AutoModelForCausalLM.from_config(CONFIGS[family](len(tokenizer)), dtype=torch.float32)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def write_gguf(
    file: Path,
    family: str = "llama",
    model: PreTrainedModel | None = None,
    tokenizer: PreTrainedTokenizerFast | None = None,
    quantised: bool = False,
    settings: dict[str, Any] | None = None,
    without: tuple[str, ...] = (),
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Write a model and its tokenizer into one GGUF file.

    Args:
        file: The file.
        family: A key of `CONFIGS`.
        model: The model; a tiny one if None.
        tokenizer: Its tokenizer; a tiny one if None.
        quantised: Write matrices in blocks of 8 bits, not as float32.
        settings: Further settings, or other values of those that are written.
        without: Beginnings of the names of settings that are left out.

    Returns:
        Model and tokenizer.
    """
    import gguf

    tokenizer = tokenizer or byte_tokenizer()
    model = model or tiny_model(family, tokenizer)
    config = model.config
    writer = gguf.GGUFWriter(file, family)
    said: dict[str, Any] = {
        f"{family}.context_length": config.max_position_embeddings,
        f"{family}.embedding_length": config.hidden_size,
        f"{family}.block_count": config.num_hidden_layers,
        f"{family}.feed_forward_length": getattr(config, "intermediate_size", 4 * config.hidden_size),
        f"{family}.attention.head_count": config.num_attention_heads,
    }
    if family == "gpt2":
        said[f"{family}.attention.layer_norm_epsilon"] = config.layer_norm_epsilon
    else:
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        rope = config.rope_parameters
        said |= {
            f"{family}.attention.head_count_kv": config.num_key_value_heads,
            f"{family}.attention.layer_norm_rms_epsilon": config.rms_norm_eps,
            f"{family}.attention.key_length": size,
            f"{family}.rope.dimension_count": size,
            f"{family}.rope.freq_base": float(rope.get("full_attention", rope)["rope_theta"]),
        }
    if family in ("gemma2", "gemma3"):
        said[f"{family}.attention.sliding_window"] = config.sliding_window
    if family == "gemma2":
        said |= {f"{family}.{name}": getattr(config, name) for name in ("attn_logit_softcapping", "final_logit_softcapping")}
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    merges = [" ".join(pair) for pair in json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]]
    said |= {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.token_type": [3 if word in SPECIAL else 1 for word in words],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": tokenizer.bos_token_id,
        "tokenizer.ggml.eos_token_id": tokenizer.eos_token_id,
        "tokenizer.chat_template": tokenizer.chat_template,
    }
    for name, value in (said | (settings or {})).items():
        if name.startswith(without):
            continue
        adders = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
        adders.get(type(value), writer.add_array)(name, value)
    names = gguf.get_tensor_name_map(
        next(a for a, n in gguf.MODEL_ARCH_NAMES.items() if n == family), config.num_hidden_layers
    )
    for key, weight in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        name = names.get_name(key, try_suffixes=(".weight", ".bias"))
        values = _converted(family, name, weight, config)
        if quantised and values.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model, tokenizer


def _converted(family: str, name: str, weight: torch.Tensor, config: Any) -> np.ndarray:
    """The values as llama.cpp stores them."""
    if family == "llama" and ("attn_q." in name or "attn_k." in name):
        heads = config.num_attention_heads if "attn_q." in name else config.num_key_value_heads
        weight = weight.reshape(heads, 2, -1, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape)
    if family in ("gemma2", "gemma3") and name.endswith("norm.weight"):
        weight = weight + 1
    if family == "gpt2" and any(part in name for part in ("attn_qkv.w", "ffn_down.w", "ffn_up.w", "attn_output.w")):
        weight = weight.T
    return np.ascontiguousarray(weight.float().numpy())
