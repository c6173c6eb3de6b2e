"""A Hugging Face sequence classifier as teacher."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from distill.common import encode
from distill.common.errors import InputError
from distill.common.hub import load_config, load_model, load_tokenizer
from distill.common.precision import autocast, resolve_device, weight_dtype
from distill.teachers.probabilities import count


class TransformersTeacher:
    """A Hugging Face sequence classifier as teacher.

    Args:
        path: Model folder or hub id.
        device: "auto", "cpu", "cuda", "cuda:N".
        batch_tokens: Padded tokens per forward pass; None chooses by device.
        max_length: Longer inputs are cut to this many tokens, and to what the model can read.
        field: Name of the setting, for messages.

    Raises:
        InputError: The model cannot be loaded, is not a sequence classifier, has no trained head, is a regressor (one output)
            or gives several labels at once.
    """

    def __init__(
        self,
        path: str | Path,
        device: str | torch.device = "auto",
        batch_tokens: int | None = None,
        max_length: int = 128,
        field: str = "teacher",
    ) -> None:
        self.path = str(path)
        self.device = resolve_device(device)
        config = load_config(path, field)
        if config.num_labels < 2:
            raise InputError(f"{field}: {path} has {config.num_labels} output (a regressor); 2 or more are needed.")
        if config.problem_type == "multi_label_classification":
            raise InputError(f"{field}: {path} is a multi-label classifier; expected one label per text.")
        self.model = load_model(
            AutoModelForSequenceClassification, path, field, self.device, weight_dtype(self.device)
        ).requires_grad_(False)
        self.tokenizer = load_tokenizer(path, field)
        if self.model.config.pad_token_id is None:  # GPT-style classifiers look for the last token that is not padding
            self.model.config.pad_token_id = self.tokenizer.pad_token_id
        self.labels = [str(self.model.config.id2label[i]) for i in range(config.num_labels)]
        self.batch_tokens = batch_tokens
        self.max_length = max_length
        self.queries = 0
        self.invalid = 0

    def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
        """Return (N, K) float32 log-probabilities on the CPU.

        Raises:
            InputError: Too many answers are unusable (for instance because the weights hold NaN).
        """
        predictions = encode.log_probs(
            self.model,
            self.tokenizer,
            texts,
            text_pairs,
            max_length=self.max_length,
            batch_tokens=self.batch_tokens,
        )
        return count(self, predictions, "NaN or infinite values")

    def hidden_states(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Return the states after the embeddings and after each layer, (B, L, H) each, of encoded inputs.

        Count no query: the texts of a hidden-state loss were counted when the teacher classified them.
        """
        with torch.no_grad(), autocast(self.device):
            backbone = self.model.base_model
            return backbone(**inputs, output_hidden_states=True).hidden_states
