"""A masked language model that fills gaps in texts.

The model masks a share of a text's tokens and predicts them again. Each prediction is a distribution over the vocabulary, so a
gradient can reach the model through the choice of a token (`distill.methods.soft_texts`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import AutoModelForMaskedLM

from distill.common.encode import usable_length
from distill.common.errors import InputError
from distill.common.hub import check_vocabulary, load_model, load_tokenizer
from distill.common.precision import autocast, resolve_device


@dataclass(frozen=True)
class Gaps:
    """Texts with gaps, as the filler reads them.

    Attributes:
        ids: (N, L) int64, tokens of the whole texts.
        mask: (N, L) int64, 1 at tokens, 0 at padding.
        types: (N, L) int64, the model's token types. Of RoBERTa and its like they are 0 in both texts of a pair.
        second: (N, L) bool, the second text of a pair.
        hidden: (N, L) bool, the gaps.
    """

    ids: Tensor
    mask: Tensor
    types: Tensor
    second: Tensor
    hidden: Tensor


class Filler:
    """A masked language model in training, and its tokenizer.

    Args:
        name: Folder or hub id of the model.
        max_length: Longer texts are cut to this many tokens, or to as many as the model can read.
        mask_share: Share of a text's ordinary tokens that become gaps, at least one.
        device: "auto", "cpu", "cuda", "cuda:N".

    Attributes:
        model: Float32 weights on `device`.
        tokenizer: Its tokenizer.
        max_length: Texts are cut to this many tokens.
        device: Device of the model.
        special: Ids of the special tokens, which are never hidden.
        forbidden: Ids that never fill a gap: special tokens, and outputs of the model that stand for no token.
        size: Number of tokens V that the model chooses among.

    Raises:
        InputError: The model cannot be loaded, or its tokenizer has no mask token, or tokens that the model does not know.
    """

    def __init__(self, name: str, max_length: int, mask_share: float, device: str) -> None:
        self.mask_share = mask_share
        self.device = resolve_device(device)
        self.model = load_model(AutoModelForMaskedLM, name, "masked_lm", self.device, torch.float32)
        self.tokenizer = load_tokenizer(name, "masked_lm")
        if self.tokenizer.mask_token_id is None:
            raise InputError(f"masked_lm: the tokenizer of {name} has no mask token; use a masked language model.")
        check_vocabulary(self.model, self.tokenizer, f"masked_lm: {name}")
        self.max_length = usable_length(self.model, self.tokenizer, max_length)
        self.special = torch.tensor(self.tokenizer.all_special_ids)
        self.size = int(self.model.config.vocab_size)
        allowed = torch.zeros(self.size, dtype=torch.bool)
        allowed[sorted(set(self.tokenizer.get_vocab().values()))] = True
        allowed[self.special] = False
        self.forbidden = (~allowed).nonzero().flatten()

    def gaps(self, texts: Sequence[str], pairs: Sequence[str] | None, random: torch.Generator) -> Gaps:
        """Encode texts, or pairs of texts, and choose their gaps at random.

        Raises:
            InputError: The tokenizer does not tell which token belongs to which text of a pair.
        """
        encoded = self.tokenizer(
            list(texts),
            None if pairs is None else list(pairs),
            truncation=True,
            max_length=self.max_length,
            padding=True,
            padding_side="right",
            return_token_type_ids=True,
            return_tensors="pt",
        )
        ids = encoded["input_ids"]
        ordinary = ~torch.isin(ids, self.special) & encoded["attention_mask"].bool()
        rank = torch.rand(ids.shape, generator=random).masked_fill(~ordinary, 2.0).argsort(dim=1).argsort(dim=1)
        counts = (self.mask_share * ordinary.sum(dim=1)).round().clamp_min(1)
        hidden = (rank < counts[:, None]) & ordinary
        if pairs is None:
            second = torch.zeros_like(hidden)
        elif encoded.is_fast:
            second = torch.tensor([[text == 1 for text in encoded.sequence_ids(row)] for row in range(len(ids))])
        else:
            raise InputError(
                "masked_lm: its tokenizer does not tell the two texts of a pair apart; "
                "use a masked language model with a fast tokenizer (tokenizer.json)."
            )
        parts = (ids, encoded["attention_mask"], encoded["token_type_ids"], second, hidden)
        return Gaps(*(part.to(self.device) for part in parts))

    def logits(self, gaps: Gaps) -> Tensor:
        """Return the logits at the gaps, (number of gaps, V) float32; -inf where no gap may be filled with a token."""
        masked = gaps.ids.masked_fill(gaps.hidden, int(self.tokenizer.mask_token_id))
        inputs = {"input_ids": masked, "attention_mask": gaps.mask}
        if "token_type_ids" in self.tokenizer.model_input_names:
            inputs["token_type_ids"] = gaps.types
        # The layer over the vocabulary is most of a small model's work, so it gets the positions of the gaps only.
        head = self.model.get_output_embeddings()
        hook = head.register_forward_pre_hook(lambda _, states: (states[0][gaps.hidden], *states[1:]))
        try:
            with autocast(self.device, trained=True):
                logits = self.model(**inputs).logits
        finally:
            hook.remove()
        # MobileBERT uses the weights of that layer but not the layer, so the hook never runs and all positions come back.
        logits = (logits[gaps.hidden] if logits.ndim == 3 else logits).float()
        return logits.index_fill(1, self.forbidden.to(self.device), -math.inf)

    def decode(self, gaps: Gaps, tokens: Tensor) -> tuple[list[str], list[str]]:
        """Return the texts with their gaps filled, and the second texts, "" where there are none.

        Args:
            gaps: Texts with gaps.
            tokens: The tokens of all gaps, (number of gaps,), in the order of `logits`.
        """
        ids = gaps.ids.masked_scatter(gaps.hidden, tokens)
        texts, seconds = [], []
        for row, mask, second in zip(ids.cpu(), gaps.mask.bool().cpu(), gaps.second.cpu(), strict=True):
            texts.append(self.tokenizer.decode(row[mask & ~second], skip_special_tokens=True))
            seconds.append(self.tokenizer.decode(row[mask & second], skip_special_tokens=True))
        return texts, seconds

    def parameters(self) -> list[nn.Parameter]:
        """Return the trained weights."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def weights(self) -> dict[str, Tensor]:
        """Return all weights by name; changing a tensor changes the model."""
        return {name: parameter.detach() for name, parameter in self.model.named_parameters()}
