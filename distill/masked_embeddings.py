"""How well a student understands samples that are embeddings: it guesses the ones that were hidden from it.

AS-DFD (arXiv 2010.04883) has a self-supervised module that measures the student's ability, and adapts the difficulty of its
samples to it (fact). The form is ours, after masked language modelling: some positions of a sample are replaced by one mask
embedding, and a linear head on the student's last layer says what was there. The loss is the cosine distance between the
guess and the hidden embedding, in units of the table's spread. A squared distance would let an adversary win by making
embeddings long; an angle can only be missed. It is about 1 for a guess that knows nothing.

The head exists for the training only and is no part of the student that is saved.
"""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from distill.common.seeding import random_generator, seeded
from distill.embedded import inner_positions, word_table
from distill.student import Student


class MaskedEmbeddings(nn.Module):
    """The masked-embedding loss of a student, with the head it learns.

    Args:
        student: Its word embeddings give the mask embedding (the tokenizer's mask token; the table's mean where there is
            none) and the units of the loss.
        weight: Of the loss in the student's objective, above 0.
        share: Of the positions that are hidden, above 0 and below 1; of each sample at least one.
        seed: Decides the head's first weights and what is hidden.

    Attributes:
        weight: As given.
    """

    def __init__(self, student: Student, weight: float, share: float, seed: int) -> None:
        super().__init__()
        self.weight, self.share, self.seed = weight, share, seed
        table = word_table(student.model)
        mask_token = student.tokenizer.mask_token_id
        self.mean, self.std = table.mean(dim=0), table.std(dim=0).clamp_min(1e-6)
        self.mask_embedding = self.mean if mask_token is None else table[mask_token].clone()
        with seeded(seed, "masked-head"):
            self.head = nn.Linear(student.model.config.hidden_size, table.shape[1])
        self.to(student.device)

    def update_loss(self, model: PreTrainedModel, inputs: dict[str, Tensor], update: int) -> Tensor:
        """The weighted loss of a batch in a student's update, a scalar; `inputs` as `distill.embedded.padded_inputs` makes."""
        hidden = self.choose(inputs["attention_mask"], "update", update)
        return self.weight * self.loss(model, inputs["inputs_embeds"], inputs["attention_mask"], hidden)

    def choose(self, mask: Tensor, purpose: str, counter: int) -> Tensor:
        """Choose what to hide.

        Args:
            mask: (N, L), 1 at tokens and 0 at the padding, which is on the right.
            purpose: What it is for; with the counter it decides the draw.
            counter: See `distill.common.seeding`.

        Returns:
            (N, L) bool: never the first or the last token, at least one position where there is another.
        """
        draws = torch.rand(mask.shape, generator=random_generator(self.seed, "masked", purpose, counter)).to(mask.device)
        inner = inner_positions(mask)
        draws = draws.masked_fill(~inner, 2.0)
        return inner & ((draws < self.share) | (draws == draws.amin(dim=1, keepdim=True)))

    def loss(self, model: PreTrainedModel, embeddings: Tensor, mask: Tensor, hidden: Tensor) -> Tensor:
        """The mean cosine distance at the hidden positions, in [0, 2], with gradients to model, head and embeddings.

        Args:
            model: The student's model.
            embeddings: (N, L, E) float32.
            mask: (N, L), as for `choose`.
            hidden: (N, L) bool, from `choose`.
        """
        masked = torch.where(hidden.unsqueeze(-1), self.mask_embedding, embeddings)
        states = model.base_model(inputs_embeds=masked, attention_mask=mask).last_hidden_state
        guesses = self.head(states[hidden].float())
        targets = (embeddings[hidden] - self.mean) / self.std
        return 1 - torch.cosine_similarity(guesses.float(), targets, dim=-1).mean()
