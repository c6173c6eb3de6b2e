"""`SyntheticBatch`: texts with the teacher's answers, the only thing that text synthesis hands to distillation.

Whatever makes texts (a prompted language model, a corpus, a baseline) asks the teacher once and yields such batches. The
distillation loop, the replay and the exporters read nothing else. A method that works without text puts in word embeddings,
and the texts beside them only show people what these embeddings are close to.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distill.common.errors import InputError
from distill.kinds.classes import SINGLE
from distill.kinds.kind import Kind
from distill.kinds.rows import below, finite


@dataclass(frozen=True)
class SyntheticBatch:
    """N texts, or embeddings, with the teacher's answers.

    Attributes:
        texts: N texts; beside embeddings, the nearest words (see `distill.embedded.nearest_texts`).
        teacher_logits: (N, C) float32 on the CPU, of words (N, W, C), the teacher's answers. What the numbers are is for
            `kind` to say; of one class per text, they are log-probabilities (`log_softmax` of the teacher's logits, which
            leaves a softmax at any temperature unchanged). A row of NaN is an unusable answer: it was paid for and is counted,
            but no model learns from it.
        targets: (N,) int64, the target of `kind` that each text was written for, or -1.
        topics: N openings that the texts continue, or "".
        source: Where the texts come from, for instance "prompted", "unprompted", "corpus".
        text_pairs: N second texts for pair tasks, or None; never beside embeddings.
        embeddings: (N, L, H) float32 on the CPU, word embeddings instead of texts, special tokens included, padded on the
            right; or None.
        lengths: (N,) int64 in 1..L, how many embeddings of each row are not padding; given exactly where `embeddings` are.
        kind: What the teacher's answers are.

    Raises:
        InputError: Lengths, shapes, types or ranges disagree, or probabilities are given as `teacher_logits`.
    """

    texts: list[str]
    teacher_logits: Tensor
    targets: Tensor
    topics: list[str]
    source: str
    text_pairs: list[str] | None = None
    embeddings: Tensor | None = None
    lengths: Tensor | None = None
    kind: Kind = SINGLE

    def __post_init__(self) -> None:
        """Check that all parts belong together."""
        for name in ("texts", "topics", "text_pairs"):
            texts = getattr(self, name)
            if name == "text_pairs" and texts is None:
                continue
            if isinstance(texts, str) or not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
                raise InputError(f"batch.{name}: {type(texts).__name__} {str(texts)[:40]!r}; expected a list of texts.")
        for name in ("teacher_logits", "targets", "embeddings", "lengths"):
            tensor = getattr(self, name)
            if not isinstance(tensor, Tensor) and not (tensor is None and name in ("embeddings", "lengths")):
                raise InputError(f"batch.{name}: {type(tensor).__name__}; expected a tensor: torch.as_tensor(values).")
        rows = len(self.texts)
        logits = self.teacher_logits
        sizes = (rows, "W", "K") if self.kind.of_words else (rows, "K")
        if logits.ndim != len(sizes) or logits.shape[0] != rows or logits.shape[-1] < self.kind.fewest:
            expected = f"({', '.join(map(str, sizes))}) with K >= {self.kind.fewest}"
            raise InputError(f"batch.teacher_logits: shape {tuple(logits.shape)}; expected {expected}.")
        if logits.dtype != torch.float32 or logits.device.type != "cpu":
            raise InputError(f"batch.teacher_logits: {logits.dtype} on {logits.device}; expected float32 on the CPU.")
        if (self.kind.problem_type is None or self.kind.of_words) and _are_probabilities(logits.flatten(0, -2)):
            raise InputError(
                "batch.teacher_logits: no number is negative and each row adds up to 1, as probabilities do; expected logits, "
                "or log-probabilities: give teacher_logits=probabilities.log()."
            )
        if self.targets.shape != (rows,) or self.targets.dtype != torch.int64:
            found = f"{self.targets.dtype} of shape {tuple(self.targets.shape)}"
            raise InputError(f"batch.targets: {found}; expected int64 of shape ({rows},).")
        groups = self.kind.groups(logits.shape[-1])
        if rows and not (-1 <= int(self.targets.min()) and int(self.targets.max()) < groups):
            raise InputError(f"batch.targets: holds a label outside -1..{groups - 1}.")
        if len(self.topics) != rows:
            raise InputError(f"batch.topics: {len(self.topics)} topics for {rows} texts.")
        if self.text_pairs is not None and len(self.text_pairs) != rows:
            raise InputError(f"batch.text_pairs: {len(self.text_pairs)} second texts for {rows} texts.")
        if self.embeddings is not None or self.lengths is not None:
            self._check_embeddings(rows)

    def _check_embeddings(self, rows: int) -> None:
        embeddings, lengths = self.embeddings, self.lengths
        if embeddings is None or lengths is None:
            raise InputError("batch.embeddings: expected together with batch.lengths; give both or neither.")
        if self.text_pairs is not None:
            raise InputError("batch.text_pairs: expected none beside embeddings; put both texts into the embeddings.")
        if embeddings.ndim != 3 or embeddings.shape[0] != rows:
            raise InputError(f"batch.embeddings: shape {tuple(embeddings.shape)}; expected ({rows}, L, H).")
        if embeddings.dtype != torch.float32 or embeddings.device.type != "cpu":
            raise InputError(f"batch.embeddings: {embeddings.dtype} on {embeddings.device}; expected float32 on the CPU.")
        if lengths.shape != (rows,) or lengths.dtype != torch.int64:
            raise InputError(f"batch.lengths: {lengths.dtype} of shape {tuple(lengths.shape)}; expected int64 ({rows},).")
        if rows and not 1 <= int(lengths.min()) <= int(lengths.max()) <= embeddings.shape[1]:
            raise InputError(f"batch.lengths: holds a length outside 1..{embeddings.shape[1]}.")

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.texts)

    @property
    def usable(self) -> Tensor:
        """The rows with a finite teacher answer, (N,) bool."""
        return finite(self.teacher_logits)

    def select(self, rows: Tensor | Sequence[int]) -> "SyntheticBatch":
        """Return the rows that a (N,) bool mask or a list of indices picks, in that order.

        Raises:
            InputError: The mask has another length, or an index is no whole number from -N to N - 1.
        """
        picked = torch.as_tensor(rows)
        if picked.dtype == torch.bool:
            if picked.shape != (len(self),):
                raise InputError(f"batch.select: a mask of shape {tuple(picked.shape)} for {len(self)} texts.")
            picked = picked.nonzero().flatten()
        index = picked.long().tolist()
        if (len(index) and picked.is_floating_point()) or any(not -len(self) <= row < len(self) for row in index):
            raise InputError(f"batch.select: {str(rows)[:40]}; expected whole numbers from {-len(self)} to {len(self) - 1}.")
        return SyntheticBatch(
            texts=[self.texts[i] for i in index],
            teacher_logits=self.teacher_logits[index],
            targets=self.targets[index],
            topics=[self.topics[i] for i in index],
            source=self.source,
            text_pairs=None if self.text_pairs is None else [self.text_pairs[i] for i in index],
            embeddings=None if self.embeddings is None else self.embeddings[index],
            lengths=None if self.lengths is None else self.lengths[index],
            kind=self.kind,
        )


def _are_probabilities(rows: Tensor) -> bool:
    """Return whether rows (N, C) are probabilities, and no logits by chance: two or more that are not just whole numbers."""
    usable = rows[rows.isfinite().all(dim=1) & (rows != 0).any(dim=1)]  # there is nothing after the last word
    if len(usable) < 2 or bool((usable < 0).any()) or torch.equal(usable, usable.round()):
        return False
    return bool(((usable.sum(dim=1) - 1).abs() < 1e-3).all())


def joined(batches: Sequence[SyntheticBatch]) -> SyntheticBatch:
    """Return one batch of the rows of several batches of texts, at least one, all of the same source."""
    pairs = [text for batch in batches for text in batch.text_pairs or []]
    return SyntheticBatch(
        texts=[text for batch in batches for text in batch.texts],
        teacher_logits=below([batch.teacher_logits for batch in batches]),
        targets=torch.cat([batch.targets for batch in batches]),
        topics=[topic for batch in batches for topic in batch.topics],
        source=batches[0].source,
        text_pairs=pairs if batches[0].text_pairs is not None else None,
        kind=batches[0].kind,
    )
