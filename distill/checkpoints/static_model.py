"""Static classifiers: one vector for each token, their mean, and a small head. No attention, so numpy is enough to run them.

The file is that of model2vec (https://github.com/MinishLab/model2vec, read in version 0.10): `model.safetensors` holds
`embeddings`, (V, D), beside `tokenizer.json` and a `config.json` with `model_type` model2vec, so its `StaticModel` opens the
folder and gives the mean vectors. The head lies in the same file, under names that model2vec leaves alone. Special and unknown
tokens have no part in the mean, as there. The head is ours.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.modeling_outputs import SequenceClassifierOutput

HEAD = 128
"""Width of the hidden layer of the head."""

MOST_VALUES = 2**31
"""Numbers of a vocabulary that is unpacked; the largest of model2vec has a sixteenth of them."""

MOST_SKIPPED = 10_000
"""Tokens without a part in the mean; each is looked for in every batch."""

SPECIAL = {"unk_token": ("[UNK]", "<unk>"), "pad_token": ("[PAD]", "<pad>"), "cls_token": ("[CLS]", "<s>"),
           "sep_token": ("[SEP]", "</s>"), "mask_token": ("[MASK]", "<mask>")}  # fmt: skip
"""What a tokenizer.json calls its special tokens; it does not say which is which."""


class StaticConfig(PreTrainedConfig):
    """Sizes of a static classifier.

    Attributes:
        vocab_size: Number of token vectors, V.
        hidden_dim: Width of a vector, D; the name is model2vec's.
        head_dim: Width of the head's hidden layer.
        normalize: Whether the mean is scaled to length 1, by model2vec as before the head.
        skipped_ids: Tokens without a part in the mean.
    """

    model_type = "model2vec"

    vocab_size: int = 0
    hidden_dim: int = 0
    head_dim: int = HEAD
    normalize: bool = False
    skipped_ids: list[int] | None = None
    pad_token_id: int | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        """Check `skipped_ids`."""
        super().__post_init__(**kwargs)
        skipped = self.skipped_ids
        if skipped is not None and not (isinstance(skipped, list) and all(type(number) is int for number in skipped)):
            raise ValueError("skipped_ids holds something else than a list of tokens' numbers")
        if len(skipped or []) > MOST_SKIPPED:
            raise ValueError(f"skipped_ids names {len(skipped or []):,} tokens; at most {MOST_SKIPPED:,} are taken")


class StaticForSequenceClassification(PreTrainedModel):
    """The mean of token vectors, and a head with one hidden layer."""

    config_class = StaticConfig
    main_input_name = "input_ids"

    def __init__(self, config: StaticConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Parameter(torch.empty(config.vocab_size, config.hidden_dim))
        self.dense = nn.Linear(config.hidden_dim, config.head_dim)
        self.classifier = nn.Linear(config.head_dim, config.num_labels)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, StaticForSequenceClassification):
            nn.init.normal_(module.embeddings, std=0.1)

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the table of vectors as a module that shares its weight."""
        return nn.Embedding.from_pretrained(self.embeddings, freeze=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **unused: Any) -> SequenceClassifierOutput:
        """Return `logits`, (N, K), of token ids, (N, L)."""
        vectors = nn.functional.embedding(input_ids, self.embeddings)
        kept = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        for skipped in self.config.skipped_ids or []:
            kept = kept * (input_ids != skipped)
        kept = kept.to(vectors.dtype)
        mean = (vectors * kept[..., None]).sum(dim=1) / kept.sum(dim=1, keepdim=True).clamp_min(1)
        if self.config.normalize:
            mean = nn.functional.normalize(mean, dim=1)
        return SequenceClassifierOutput(logits=self.classifier(torch.relu(self.dense(mean))))


AutoConfig.register(StaticConfig.model_type, StaticConfig)
AutoModelForSequenceClassification.register(StaticConfig, StaticForSequenceClassification)


def read_static(weights: Path) -> Tensor:
    """Return the token vectors of a model2vec file, (V, D) float32.

    A vocabulary that was quantised has fewer vectors than tokens, with `mapping` and `weights` by token.

    Raises:
        KeyError: It holds no `embeddings`.
        SafetensorError, ValueError: It is damaged.
    """
    tensors = load_file(weights)
    vectors = tensors["embeddings"]
    if vectors.ndim != 2:
        raise ValueError(f"embeddings have {vectors.ndim} dimensions instead of 2")
    if not vectors.shape[1]:
        raise ValueError("embeddings have a width of 0")
    if not vectors.is_floating_point() and vectors.dtype != torch.int8:  # model2vec quantises to int8
        raise ValueError(f"embeddings hold {vectors.dtype}".replace("torch.", ""))
    vectors = vectors.float()
    if (places := tensors.get("mapping")) is not None:
        if places.ndim != 1 or places.is_floating_point() or places.is_complex():
            raise ValueError("mapping is no list of whole numbers")
        if len(places) and not 0 <= int(places.min()) <= int(places.max()) < len(vectors):
            raise ValueError(f"mapping points beyond the {len(vectors)} embeddings")
        if len(places) * vectors.shape[1] > MOST_VALUES:  # a small file could fill the memory
            raise ValueError(f"mapping unpacks to {len(places):,} embeddings; at most {MOST_VALUES:,} values are taken")
        vectors = vectors[places.long()]
    if (factors := tensors.get("weights")) is not None:
        if factors.shape != vectors.shape[:1]:
            raise ValueError(f"weights have the shape {tuple(factors.shape)} instead of {tuple(vectors.shape[:1])}")
        vectors = vectors * factors.float()[:, None]
    return vectors


def read_static_tokenizer(file: Path) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a model2vec folder, which has a tokenizer.json alone.

    It pads with its padding token; where it has none, with the unknown token, another special one, or the token of id 0.

    Raises:
        Exception: The file is damaged; the Rust library raises this class itself.
    """
    backend = Tokenizer.from_file(str(file))
    known = backend.get_vocab()
    named = {kind: next((name for name in names if name in known), None) for kind, names in SPECIAL.items()}
    special = [token.content for _, token in sorted(backend.get_added_tokens_decoder().items()) if token.special]
    named["pad_token"] = next((name for name in (named["pad_token"], named["unk_token"], *special) if name), None)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, **{kind: name for kind, name in named.items() if name is not None}
    )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0)
    return tokenizer
