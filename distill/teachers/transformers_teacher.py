"""A Hugging Face classifier as teacher: of texts, or of the words of texts."""

from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate.utils import find_executable_batch_size
from torch import Tensor
from transformers import PreTrainedConfig

from distill.checkpoints.gguf import is_gguf
from distill.checkpoints.model_config import read_json, say_once
from distill.checkpoints.tokenizers import agree_on_padding
from distill.checkpoints.weights import file_of
from distill.common import encode
from distill.common.errors import InputError
from distill.common.hub import CLASSIFIERS, check_vocabulary, load_config, load_model, load_tokenizer
from distill.common.precision import (
    autocast,
    compute_dtype,
    output_layer,
    outputs_in_float32,
    prepared,
    resolve_device,
    weight_dtype,
)
from distill.kinds.found import LENGTH_KEY, LIBRARY_KEY, activation_of, kind_of_model
from distill.kinds.kind import Kind
from distill.kinds.names import AUTO, NOT_GIVEN, OF_SCORES, GivenKind, reads_pairs
from distill.kinds.scores import ACTIVATIONS
from distill.kinds.word_table import outputs
from distill.teachers.probabilities import count

LIBRARY_FILE = "config_sentence_transformers.json"
"""Where newer versions of sentence-transformers note what kind of model a folder holds."""

FAULTS = (RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError)
"""What a model raises that cannot read a text, or a tokenizer without the parts that others have."""

UNPADDED = "none"
"""Value of `TransformersTeacher.padding` where texts are never padded."""

SHORT = ["A text.", "A longer text.", "One more text of this kind."]
LONG = "Another text that is longer than the others, so that they are padded when they are classified together with this one."

SLACK, SLACK_OF_HALVES = 0.01, 0.1
"""How far an answer may be off by rounding, as a share of the largest one: in float32, and in bf16 or float16."""


class TransformersTeacher:
    """A Hugging Face classifier as teacher.

    Args:
        path: Model folder or hub id.
        device: "auto", "cpu", "cuda", "cuda:N".
        batch_tokens: Padded tokens per forward pass; None chooses by device. Where the memory does not hold them, they are
            lowered by tenths until it does, for all later calls too.
        max_length: Longer inputs are cut to this many tokens, and to what the model can read.
        field: Name of the setting, for messages.
        given: What the user says about its kind.

    Attributes:
        kind: What its answers are.
        activation: What the outputs of a cross-encoder go through to be scores; None for other models.
        max_length: As given, and at most what the model was trained to read, where a student's folder says so.
        padding: What texts of a batch are padded with: "" for the tokenizer's token, else the number of the model's token, or
            `UNPADDED`: texts of one length are classified at once, because the model's answers depend on padding.

    Raises:
        InputError: The model cannot be loaded, is not a classifier of texts or words, has no trained head, is of another kind
            than the given one, or cannot classify a text.
    """

    def __init__(
        self,
        path: str | Path,
        device: str | torch.device = "auto",
        batch_tokens: int | None = None,
        max_length: int = 512,
        field: str = "teacher",
        given: GivenKind = NOT_GIVEN,
    ) -> None:
        self.path = str(path)
        self.device = resolve_device(device)
        config = classifier_config(path, field)
        self.kind = kind_of_model(config, given, f"{field}: {path}")
        self.activation = heeded_activation(config, self.kind, given, f"{field}: {path}")
        self.model = load_model(
            CLASSIFIERS[self.kind.of_words], path, field, self.device, weight_dtype(self.device)
        ).requires_grad_(False)
        if self.kind.name in OF_SCORES:
            self._keep_scores_exact(path, field)
        prepared(self.model, f"{field}: {path}", compiled=True)
        self.tokenizer = load_tokenizer(path, field)
        self._field, self.padding = field, ""
        try:
            self._settle_padding()
            check_vocabulary(self.model, self.tokenizer, f"{field}: {path}")
        except InputError:
            raise
        except FAULTS as error:  # a family may lack what others have
            raise self._unable(error) from error
        self.labels = [str(self.model.config.id2label[i]) for i in range(config.num_labels)]
        self.batch_tokens = batch_tokens
        trained = getattr(config, LENGTH_KEY, None)
        self.max_length = min(max_length, trained) if isinstance(trained, int) and trained > 1 else max_length
        self.queries = 0
        self.invalid = 0
        if self.padding != UNPADDED and self._depends_on_padding():
            self.padding = UNPADDED
            say_once(
                f"{field}: {path} answers a text by what it is padded with, so texts of one length are classified at once, "
                "which takes longer."
            )

    def __call__(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Tensor:
        """Return (N, C) float32 answers on the CPU, of words (N, W, C), see `kind`.

        Raises:
            InputError: Too many answers are unusable (for instance because the weights hold NaN).
        """
        predictions = self.scores(texts, text_pairs)
        return count(self, predictions, "NaN or infinite values")

    @property
    def reads(self) -> int:
        """Number of tokens that are read of a text at most."""
        return encode.usable_length(self.model, self.tokenizer, self.max_length)

    def cut_share(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> float:
        """Return the share of texts that are longer than what is read of them."""
        return encode.cut_share(self.tokenizer, self.reads, texts, text_pairs)

    def scores(self, texts: Sequence[str], text_pairs: Sequence[str] | None, raw: bool = False) -> Tensor:
        """Return (N, C) float32 answers, or raw outputs, on the CPU. Count nothing.

        Raises:
            InputError: The model fails on a text.
        """
        unpadded = self.padding == UNPADDED

        def attempt(tokens: int | None) -> Tensor:
            given = outputs(self.kind, self.model, self.tokenizer, texts, text_pairs, self.max_length, tokens, unpadded)
            self.batch_tokens = tokens
            return given if raw else self.answers_of(given)

        try:
            try:
                return attempt(self.batch_tokens)
            except torch.OutOfMemoryError:
                most = self.batch_tokens or encode.default_batch_tokens(self.model)
            smaller: Tensor = find_executable_batch_size(attempt, starting_batch_size=most * 9 // 10)()
            return smaller
        except InputError:
            raise
        except FAULTS as error:
            raise self._unable(error) from error

    def answers_of(self, raw: Tensor) -> Tensor:
        """Return the answers (N, C) of raw outputs (N, C) of `model`; gradients pass."""
        return self.kind.answers(activated(raw, self.kind, self.activation))

    def _keep_scores_exact(self, path: str | Path, field: str) -> None:
        """Compute the number in float32, with a bias that was not rounded with the other weights."""
        layer = output_layer(self.model)
        rounded = layer is not None and layer.bias is not None and layer.bias.dtype != torch.float32
        outputs_in_float32(self.model)
        if rounded and layer is not None:  # an encoder, which is small: the heads of language models have no bias
            whole = load_model(CLASSIFIERS[False], path, field, torch.device("cpu"), torch.float32)
            if (exact := output_layer(whole)) is not None:
                layer.load_state_dict(exact.state_dict())

    def _settle_padding(self) -> None:
        """Pad with the token that the model knows as padding, or not at all where that cannot be told from text."""
        own = self.tokenizer.pad_token_id
        if not agree_on_padding(self.model, self.tokenizer):
            self.model.config.pad_token_id, self.padding = -1, UNPADDED  # it then reads the last token, whatever that is
        elif getattr(self.model.config, "pad_token_id", own) != own:
            self.padding = str(self.model.config.pad_token_id)

    def _depends_on_padding(self) -> bool:
        """Return whether a text gets another answer beside a longer one than alone: some families do not mask padding.

        The same text twice says how much of the difference is rounding, or chance.

        Raises:
            InputError: The model cannot classify a text.
        """

        def raw(texts: list[str], padding: str) -> Tensor:
            kept, self.padding = self.padding, padding
            try:
                return self.scores(texts, texts if self.kind.texts == 2 else None, raw=True)[: len(SHORT)]
            finally:
                self.padding = kept

        together = raw([*SHORT, LONG], self.padding)
        alone, twice = raw(SHORT, UNPADDED), raw(SHORT * 2, UNPADDED)
        together = together[:, : alone.shape[1]]  # of words: LONG has more of them
        known = alone.isfinite() & together.isfinite() & twice.isfinite()  # a word without a token has no answer
        if not known.any():
            return False  # NaN is counted later
        off, rounding = ((other - alone)[known].abs().max() for other in (together, twice))
        exact = compute_dtype(self.device) == self.model.dtype == torch.float32
        return bool(off > 4 * rounding + (SLACK if exact else SLACK_OF_HALVES) * alone[known].abs().max().clamp(min=1))

    def _unable(self, error: Exception) -> InputError:
        reason = (" ".join(str(error).split()) or type(error).__name__)[:160]
        return InputError(
            f"{self._field}: {self.path} cannot classify a text ({reason}); if it reads fewer tokens than its files say, "
            "lower teacher_max_length."
        )

    def hidden_states(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Return the states after the embeddings and after each layer, (B, L, H) each, of encoded inputs.

        Count no query: the texts of a hidden-state loss were counted when the teacher classified them.
        """
        with torch.no_grad(), autocast(self.device):
            backbone = self.model.base_model
            return backbone(**inputs, output_hidden_states=True).hidden_states


def classifier_config(path: str | Path, field: str) -> PreTrainedConfig:
    """Read the configuration of a classifier, with what sentence-transformers notes in a file beside it.

    Raises:
        InputError: See `distill.common.hub.load_config`; or that file cannot be read.
    """
    config = load_config(path, field)
    source, about = config.name_or_path, f"{field}: {path}"
    if hasattr(config, LIBRARY_KEY) or hasattr(config, LENGTH_KEY) or is_gguf(source):
        return config
    file = file_of(source, LIBRARY_FILE, None)
    noted = {} if file is None else read_json(file, about)
    if noted.get("model_type") == "CrossEncoder":
        setattr(config, LIBRARY_KEY, noted)
    return config


def heeded_activation(config: PreTrainedConfig, kind: Kind, given: GivenKind, about: str) -> str | None:
    """Return what the outputs of a cross-encoder of sentence-transformers go through, None for other models; say what is done.

    Args:
        config: From `classifier_config`.
        kind: What its answers are.
        given: What the user says about its kind.
        about: Setting and name of the model, for the lines.
    """
    name = activation_of(config)
    if name is None:
        return None
    scored = kind.name in OF_SCORES
    if given.name == AUTO and (scored or not reads_pairs(config.id2label.values())):
        other = "score" if scored else "single"
        through = f", and its output goes through {name.lower()}" if scored and name in ("Sigmoid", "Tanh") else ""
        say_once(
            f"{about} is a cross-encoder of sentence-transformers by its files, so it reads two texts (kind {kind.name})"
            f"{through}. If it was trained on single texts since, give --kind {other}."
        )
    if scored and name not in ACTIVATIONS:
        say_once(f"{about} puts its output through {name[:40]}, which is not done here: its scores are the raw outputs.")
    elif not scored and name not in ("Identity", "Softmax"):
        say_once(f"{about} puts its outputs through {name[:40]}, which is not done here: its classes have a softmax.")
    return name


def activated(raw: Tensor, kind: Kind, activation: str | None) -> Tensor:
    """Return what the outputs (N, C) of a classifier become before they are read: those of scores, as their files say."""
    if activation is None or kind.name not in OF_SCORES:
        return raw
    return ACTIVATIONS[activation](raw.float()) if activation in ACTIVATIONS else raw
