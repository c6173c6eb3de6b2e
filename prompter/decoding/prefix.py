"""Prompts as padded tensors, and the first tokens that several prompts share."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def left_padded(rows: Sequence[Sequence[int]], pad_token_id: int, width: int | None = None) -> tuple[Tensor, Tensor]:
    """Return token ids of unequal length as `input_ids` and `attention_mask`, padded on the left.

    Args:
        rows: B lists of token ids.
        pad_token_id: Token that fills the left.
        width: Number of columns, at least the length of the longest row; that length if None.

    Returns:
        Two (B, width) int64 tensors on the CPU.

    Examples:
        >>> left_padded([[5], [6, 7]], 0)
        (tensor([[0, 5],
                [6, 7]]), tensor([[0, 1],
                [1, 1]]))
    """
    width = width or max(map(len, rows))
    ids = [[pad_token_id] * (width - len(row)) + list(row) for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, dtype=torch.long), torch.tensor(mask, dtype=torch.long)


@dataclass(frozen=True)
class Prefix:
    """First tokens that rows share, such as the class prompts.

    Attributes:
        input_ids: (K, P) the different prefixes, padded on the left.
        attention_mask: (K, P) 1 for tokens, 0 for padding.
        rows: (B,) int64, which prefix each row has.
    """

    input_ids: Tensor
    attention_mask: Tensor
    rows: Tensor

    @property
    def positions(self) -> Tensor:
        """(K, P) the position of each token."""
        return (self.attention_mask.cumsum(-1) - 1).clamp(min=0)

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], pad_token_id: int, device: torch.device) -> "Prefix":
        """Find the different prefixes among those of B rows.

        Args:
            rows: B lists of token ids, none of them empty.
            pad_token_id: Token that fills the left.
            device: Where the tensors go.
        """
        numbers: dict[tuple[int, ...], int] = {}
        which = [numbers.setdefault(tuple(row), len(numbers)) for row in rows]
        input_ids, attention_mask = left_padded(list(numbers), pad_token_id)
        return cls(input_ids.to(device), attention_mask.to(device), torch.tensor(which, device=device))

    def before(self, input_ids: Tensor, attention_mask: Tensor, pad_token_id: int) -> tuple[Tensor, Tensor]:
        """Return whole prompts, padded on the left alone: each row's prefix, and its own tokens (B, W) and mask (B, W)."""
        ids = torch.cat([self.input_ids[self.rows], input_ids], dim=1)
        mask = torch.cat([self.attention_mask[self.rows], attention_mask], dim=1)
        order = mask.sort(dim=1, stable=True).indices  # zeros come first, and the tokens stay in order
        ids, mask = ids.gather(1, order), mask.gather(1, order)
        begin = mask.shape[1] - int(mask.sum(dim=1).max())
        return ids.masked_fill(mask == 0, pad_token_id)[:, begin:], mask[:, begin:]
