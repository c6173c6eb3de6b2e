"""The terms of the student's loss, each a plain function of tensors.

The main term is Hinton's (arXiv 1503.02531, section 2): the cross-entropy between the teacher's and the student's
distributions, both softened by a temperature. A high temperature shows how the teacher ranks the classes that it does *not*
choose, and that ranking holds most of what it knows about a text.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def kd_loss(student_logits: Tensor, teacher_logprobs: Tensor, temperature: float, weights: Tensor | None = None) -> Tensor:
    """Return `τ² KL(p_T^τ || p_S^τ)`, averaged over the batch.

    `p^τ = softmax(x / τ)`. The factor τ² makes the size of the gradient independent of the temperature (Hinton et al., section
    2.1). KL is the cross-entropy minus the teacher's entropy, which is a constant, and 0 at a perfect match.

    Args:
        student_logits: (B, K), any float format; computed in float32.
        teacher_logprobs: (B, K) log-probabilities, or logits, which have the same softmax.
        temperature: τ > 0.
        weights: (B,) non-negative row weights for a weighted mean, or None.

    Returns:
        A scalar >= 0.
    """
    student = torch.log_softmax(student_logits.float() / temperature, dim=-1)
    teacher = torch.log_softmax(teacher_logprobs.float() / temperature, dim=-1)
    return temperature**2 * _mean(kl(teacher, student), weights)


def hard_label_loss(student_logits: Tensor, teacher_logprobs: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the cross-entropy of the student against the teacher's most likely class, averaged over the batch.

    Args:
        student_logits: (B, K).
        teacher_logprobs: (B, K); only the arg max of each row counts.
        weights: (B,) non-negative row weights for a weighted mean, or None.

    Returns:
        A scalar >= 0.
    """
    student = torch.log_softmax(student_logits.float(), dim=-1)
    rows = -student.gather(1, teacher_logprobs.argmax(dim=-1, keepdim=True)).squeeze(1)
    return _mean(rows, weights)


def hidden_state_loss(
    student_hidden: Sequence[Tensor],
    teacher_hidden: Sequence[Tensor],
    attention_mask: Tensor,
    projection: nn.Module | None = None,
) -> Tensor:
    """Return the mean squared difference of hidden states at paired layers.

    The form of TinyBERT's hidden-state term (arXiv 1909.10351, equation 8): `MSE(H_S W, H_T)`, with one learned `W` for all
    layers. The mean is over layers, real tokens and features.

    Args:
        student_hidden: n tensors (B, L, H_S).
        teacher_hidden: n tensors (B, L, H_T), paired with them by `layer_pairs`.
        attention_mask: (B, L), 1 at real tokens, 0 at padding.
        projection: Maps H_S to H_T; None where the widths are equal.

    Returns:
        A scalar >= 0.
    """
    mask = attention_mask.unsqueeze(-1).float()
    total = mask.new_zeros(())
    for student, teacher in zip(student_hidden, teacher_hidden, strict=True):
        mapped = student if projection is None else projection(student)
        difference = (mapped.float() - teacher.float()) * mask
        total = total + difference.square().sum() / (mask.sum() * teacher.shape[-1])
    return total / len(student_hidden)


def kl(target: Tensor, other: Tensor) -> Tensor:
    """Return `KL(p || q)` of each row in nats, (N,), from log-probabilities (N, K) of p (`target`) and q (`other`)."""
    return (target.exp() * (target - other)).sum(dim=-1)


def entropy(log_probs: Tensor) -> Tensor:
    """Return the entropy of each row in nats, (N,), from log-probabilities (N, K)."""
    return -(log_probs.exp() * log_probs).sum(dim=-1)


def layer_pairs(student_layers: int, teacher_layers: int) -> list[tuple[int, int]]:
    """Pair student layer i (1 to n) with teacher layer ceil(i * N / n), so that the last layers are paired.

    Layer 0 of `hidden_states` is the embeddings and has no pair.

    Examples:
        >>> layer_pairs(2, 6)
        [(1, 3), (2, 6)]
    """
    return [(i, -(-i * teacher_layers // student_layers)) for i in range(1, student_layers + 1)]


def _mean(rows: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return rows.mean()
    return (rows * weights).sum() / weights.sum()
