"""Classify texts with a converted student: `tokenizers` and `onnxruntime`, no torch and no transformers.

prompter export-student runs/demo/student --format onnx
pip install numpy onnxruntime tokenizers          # all that this script needs
python examples/run_without_torch.py runs/demo/student/onnx "the staff was lovely."

A student of pairs of texts takes two for each answer.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


class Classifier:
    """Texts go in, as a list, or pairs of them; for each, the probability of each class or label, or the value, comes out."""

    def __init__(self, folder):
        config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
        if config["architectures"][0].endswith("ForTokenClassification"):
            raise ValueError(f"{folder} tags words; expected a program that answers a text as a whole")
        self.labels, self.problem = config["id2label"], config.get("problem_type")
        self.pairs = config.get("prompter_kind", {}).get("kind") in ("pair", "score_pair")
        self.tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))  # it cuts and pads as in training
        self.session = onnxruntime.InferenceSession(str(Path(folder) / "model.onnx"))
        self.names = [item.name for item in self.session.get_inputs()]

    def __call__(self, texts):  # noqa: D102
        if self.pairs and any(isinstance(text, str) for text in texts):
            raise ValueError("expected pairs of texts: [(one, other), ...]")
        encoded = self.tokenizer.encode_batch(texts)
        for row in encoded:  # a text without tokens is one of padding, as in training
            row.pad(1, pad_id=self.tokenizer.padding["pad_id"])
        columns = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
        inputs = {name: np.array([getattr(row, column) for row in encoded], np.int64) for name, column in columns.items()}
        inputs["attention_mask"][~inputs["attention_mask"].any(axis=1), 0] = 1
        logits = self.session.run(["logits"], {name: inputs[name] for name in self.names})[0]
        if self.problem == "multi_label_classification":
            logits = 1 / (1 + np.exp(-logits))
        elif self.problem != "regression":
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
            logits = odds / odds.sum(axis=1, keepdims=True)
        return [{self.labels[str(i)]: float(p) for i, p in enumerate(row)} for row in logits]


if __name__ == "__main__":
    classify, texts = Classifier(sys.argv[1]), sys.argv[2:]
    if classify.pairs:
        if len(texts) % 2:
            sys.exit("this student reads pairs: give two texts for each answer")
        texts = list(zip(texts[::2], texts[1::2], strict=True))
    several = classify.problem == "multi_label_classification"
    for text, answer in zip(texts, classify(texts), strict=True):
        # Of several labels those that are given, which may be none; of classes the likeliest; of a value its name.
        given = [name for name in answer if answer[name] > 0.5] if several else [max(answer, key=answer.get)]
        print(", ".join(given) or "no label", ", ".join(f"{answer[name]:.3f}" for name in given), text, sep="\t")
