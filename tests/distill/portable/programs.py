"""An ONNX program that was made by hand, for tests that need no exporter."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from transformers import PreTrainedTokenizerFast


def save_sums(file: Path, words: int, classes: int) -> np.ndarray:
    """Write a program whose logits are the sums of word vectors over what the mask leaves; return the vectors."""
    table = np.random.default_rng(0).normal(size=(words, classes)).astype(np.float32)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in ("input_ids", "attention_mask")
    ]
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["columns"]),
        helper.make_node("Mul", ["vectors", "columns"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "one"], ["logits"], keepdims=0),
    ]
    constants = [
        onnx.numpy_helper.from_array(table, "table"),
        onnx.numpy_helper.from_array(np.array([2]), "last"),
        onnx.numpy_helper.from_array(np.array([1]), "one"),
    ]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])
    graph = helper.make_graph(nodes, "sums", inputs, [output], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), file)
    return table


def write_program(folder: Path, tokenizer: PreTrainedTokenizerFast, labels: list[str]) -> Path:
    """Write a folder that is read like one of `prompter export-student`; `table.npy` holds the word vectors."""
    folder.mkdir(exist_ok=True)
    np.save(folder / "table.npy", save_sums(folder / "model.onnx", len(tokenizer), len(labels)))
    tokenizer.save_pretrained(folder)
    alone = tokenizer.backend_tokenizer
    alone.enable_padding(pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token)
    alone.save(str(folder / "tokenizer.json"))
    config = {"model_type": "bert", "architectures": ["BertForSequenceClassification"], "pad_token_id": tokenizer.pad_token_id,
              "id2label": dict(enumerate(labels))}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder
