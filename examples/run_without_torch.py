"""Classify texts with a converted student: `tokenizers` and `onnxruntime`, no torch and no transformers.

prompter export-student runs/demo/student --format onnx
pip install numpy onnxruntime tokenizers          # all that this script needs
python examples/run_without_torch.py runs/demo/student/onnx "the staff was lovely."
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


class Classifier:
    """A list of texts goes in; the probability of each class or label, or the value, for each text, comes out."""

    def __init__(self, folder):
        config = json.loads((Path(folder) / "config.json").read_text())
        self.labels, self.kind = config["id2label"], config.get("problem_type")
        self.tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))  # it cuts and pads as in training
        self.session = onnxruntime.InferenceSession(str(Path(folder) / "model.onnx"))
        self.names = [item.name for item in self.session.get_inputs()]

    def __call__(self, texts):  # noqa: D102
        encoded = self.tokenizer.encode_batch(texts)
        columns = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
        inputs = {name: np.array([getattr(row, columns[name]) for row in encoded], np.int64) for name in self.names}
        logits = self.session.run(["logits"], inputs)[0]
        if self.kind == "multi_label_classification":
            logits = 1 / (1 + np.exp(-logits))
        elif self.kind != "regression":
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
            logits = odds / odds.sum(axis=1, keepdims=True)
        return [{self.labels[str(i)]: float(p) for i, p in enumerate(row)} for row in logits]


if __name__ == "__main__":
    classify = Classifier(sys.argv[1])
    for text, answer in zip(sys.argv[2:], classify(sys.argv[2:]), strict=True):
        print(max(answer, key=answer.get), f"{max(answer.values()):.3f}", text, sep="\t")
