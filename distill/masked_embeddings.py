"""Measure how well a student understands embeddings: it predicts the ones that were hidden from it.

AS-DFD (arXiv 2010.04883) has a self-supervised module that measures the student's ability, and adapts the difficulty of its
samples to it (fact). The form is ours, after masked language modelling. A mask embedding replaces some positions of a sample,
and a linear head on the student's last layer predicts what was there. The loss is the cosine distance between the prediction
and the hidden embedding, in units of the table's spread. With a squared distance an adversary could raise the loss without
limit by making embeddings long; an angle has no such way out. A prediction without knowledge has a loss of about 1.

The head serves training only. It is not part of the saved student.
"""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from distill.common.encode import last_layer_at
from distill.common.seeding import random_generator, seeded
from distill.embedded import inner_positions, segment_types, word_table
from distill.student import Student


def positions_of(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Return where each row of a table is true.

    Args:
        chosen: (N, L) bool.

    Returns:
        (N, P) int64, the columns in their order, and (N, P) bool, which of them there are; P is the most of a row. What fills
        up a row is a column that was not chosen.

    Examples:
        >>> positions_of(torch.tensor([[False, True, True], [True, False, False]]))
        (tensor([[1, 2],
                [0, 1]]), tensor([[ True,  True],
                [ True, False]]))
    """
    counts = chosen.sum(dim=1)
    most = max(1, int(counts.max()))
    order = (~chosen).to(torch.uint8).argsort(dim=1, stable=True)[:, :most]
    return order, torch.arange(most, device=chosen.device) < counts[:, None]


class MaskedEmbeddings(nn.Module):
    """The masked-embedding loss of a student, with its learned head.

    Args:
        student: The student. Its word embeddings give the units of the loss and the mask embedding (that of the mask token, or
            the mean of the table where the tokenizer has no mask token).
        weight: Weight of the loss in the student's objective, above 0.
        share: Share of the positions that are hidden, above 0 and below 1, but at least one in each sample.
        seed: Decides the head's first weights and which positions are hidden.

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
        """Return the weighted loss of a batch, a scalar; `distill.embedded.padded_inputs` makes the inputs."""
        hidden = self.choose(inputs["attention_mask"], "update", update)
        return self.weight * self.loss(model, inputs["inputs_embeds"], inputs["attention_mask"], hidden)

    def choose(self, mask: Tensor, purpose: str, counter: int) -> Tensor:
        """Choose the hidden positions.

        Args:
            mask: (N, L), 1 at tokens and 0 at padding, which is on the right.
            purpose: Purpose of the draw; decides it together with the counter.
            counter: See `distill.common.seeding`.

        Returns:
            (N, L) bool, never the first or the last token; at least one position of each sample with three tokens or more.
        """
        draws = torch.rand(mask.shape, generator=random_generator(self.seed, "masked", purpose, counter)).to(mask.device)
        inner = inner_positions(mask)
        draws = draws.masked_fill(~inner, 2.0)
        return inner & ((draws < self.share) | (draws == draws.amin(dim=1, keepdim=True)))

    def loss(self, model: PreTrainedModel, embeddings: Tensor, mask: Tensor, hidden: Tensor) -> Tensor:
        """Return the mean cosine distance at the hidden positions, in [0, 2], with gradients to model, head and embeddings.

        Args:
            model: The student's model.
            embeddings: (N, L, E) float32.
            mask: (N, L), as for `choose`.
            hidden: (N, L) bool, from `choose`.
        """
        masked = torch.where(hidden.unsqueeze(-1), self.mask_embedding, embeddings)
        types = segment_types(model, embeddings, mask)
        more = {} if types is None else {"token_type_ids": types}
        positions, real = positions_of(hidden)
        with last_layer_at(model, positions) as alone:
            states = model.base_model(inputs_embeds=masked, attention_mask=mask, **more).last_hidden_state
        guesses = self.head(states[real if alone else hidden].float())
        targets = (embeddings[hidden] - self.mean) / self.std
        return 1 - torch.cosine_similarity(guesses.float(), targets, dim=-1).mean()
