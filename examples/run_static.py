"""Classify texts with a static student: `numpy`, `safetensors` and `tokenizers`, no torch and no transformers.

prompter distill --from runs/demo/dataset --student static:from-teacher --output_dir students/static-from-teacher
pip install numpy safetensors tokenizers          # all that this script needs
python examples/run_static.py students/static-from-teacher "the staff was lovely."
"""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer


class Classifier:
    """A list of texts goes in; the probability of each class or label, or the value, for each text, comes out."""

    def __init__(self, folder):
        self.config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
        self.weights = load_file(Path(folder) / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(self.config["prompter_max_length"])
        self.pairs = self.config.get("prompter_kind", {}).get("kind") in ("pair", "score_pair")

    def logits(self, texts):  # noqa: D102
        means = np.zeros((len(texts), self.config["hidden_dim"]), np.float32)
        for row, encoded in enumerate(self.tokenizer.encode_batch(texts)):
            if kept := [token for token in encoded.ids if token not in self.config["skipped_ids"]]:
                means[row] = self.weights["embeddings"][kept].mean(axis=0)
        if self.config["normalize"]:
            means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        hidden = np.maximum(means @ self.weights["dense.weight"].T + self.weights["dense.bias"], 0)
        return hidden @ self.weights["classifier.weight"].T + self.weights["classifier.bias"]

    def __call__(self, texts):  # noqa: D102
        if self.pairs and any(isinstance(text, str) for text in texts):
            raise ValueError("expected pairs of texts: [(one, other), ...]")
        logits, problem = self.logits(texts), self.config.get("problem_type")
        if problem == "multi_label_classification":
            logits = 1 / (1 + np.exp(-logits))
        elif problem != "regression":
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
            logits = odds / odds.sum(axis=1, keepdims=True)
        labels = self.config["id2label"]
        return [{labels[str(i)]: float(p) for i, p in enumerate(row)} for row in logits]


if __name__ == "__main__":
    classify, texts = Classifier(sys.argv[1]), sys.argv[2:]
    if classify.pairs:
        if len(texts) % 2:
            sys.exit("this student reads pairs: give two texts for each answer")
        texts = list(zip(texts[::2], texts[1::2], strict=True))
    several = classify.config.get("problem_type") == "multi_label_classification"
    for text, answer in zip(texts, classify(texts), strict=True):
        # Of several labels those that are given, which may be none; of classes the likeliest; of a value its name.
        given = [name for name in answer if answer[name] > 0.5] if several else [max(answer, key=answer.get)]
        print(", ".join(given) or "no label", ", ".join(f"{answer[name]:.3f}" for name in given), text, sep="\t")
