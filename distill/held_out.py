"""Held-out texts: no student trains on them; they measure and select students without any real data.

The hash of a text alone decides whether it is held out. So a text that comes again, in another batch or from another source,
falls on the same side, and a run that resumes or mixes its sources in another way holds out the same texts. Of few texts, none
may be held out so; then those whose hashes come first can be, once all texts are there, see `HeldOut.fill`.

For embeddings, the topic of the sample decides. Two stages of one sample are so similar that a student must not train on one
and be measured on the other.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from distill.batch import SyntheticBatch
from distill.common.encode import usable_length
from distill.common.errors import InputError
from distill.common.files import replace_folder, write_text
from distill.embedded import embedded_outputs, stored_rows
from distill.kinds.kind import Kind
from distill.kinds.rows import below, widened
from distill.replay import Replay
from distill.student import Student


def is_held_out(text: str, text_pair: str | None, share: float) -> bool:
    """Return whether a text belongs to the held-out share of all texts, 0 <= share < 1.

    Examples:
        >>> sum(is_held_out(f"text {i}", None, 0.1) for i in range(10_000))
        979
    """
    return _place(text, text_pair) < share * 2**64


def _place(text: str, text_pair: str | None) -> int:
    """Return a number in [0, 2**64) that a text alone decides: the order in which texts are held out as the share grows."""
    return int.from_bytes(hashlib.sha256(json.dumps([text, text_pair]).encode()).digest()[:8], "big")


def cohen_kappa(same: int, teacher: Sequence[int], student: Sequence[int]) -> float:
    """Return Cohen's kappa: agreement beyond what the class shares alone would give, at most 1; 0 is chance.

    Args:
        same: Number of texts for which both choose the same class.
        teacher: Number of texts for which the teacher chooses each class.
        student: The same of the student.

    Examples:
        >>> cohen_kappa(75, [50, 50], [50, 50]), cohen_kappa(95, [95, 5], [100, 0])
        (0.5, 0.0)
    """
    texts = sum(teacher)
    if not texts:
        return 0.0
    chance = sum(one * other for one, other in zip(teacher, student, strict=True)) / texts**2
    return (same / texts - chance) / (1 - chance) if chance < 1 else 0.0  # both always give one class: nothing was told apart


def decided(kind: Kind, teacher: Tensor, student: Tensor) -> tuple[int, list[int], list[int]]:
    """Return on how many decisions two models agree, and how often the teacher and the student chose each option.

    Where either decides nothing, such as about a word that it does not read, nothing is compared.

    Args:
        kind: What the answers are.
        teacher: (N, C) usable answers, or (N, W, C) of words.
        student: (N, C) answers, or (N, W', C) of words.
    """
    words = max(teacher.shape[1], student.shape[1])
    wanted, chosen = (kind.decisions(widened(answers, words)).flatten() for answers in (teacher, student))
    both = (wanted >= 0) & (chosen >= 0)
    wanted, chosen = wanted[both], chosen[both]
    options = kind.options(teacher.shape[-1])
    counts = (torch.bincount(made, minlength=options).tolist() for made in (wanted, chosen))
    one, other = counts
    return int((wanted == chosen).sum()), one, other


class HeldOut:
    """The held-out texts of a run, each once, with the teacher's answers.

    Args:
        share: Share of all texts, at least 0 and below 1.

    Raises:
        InputError: The share is out of range.
    """

    def __init__(self, share: float) -> None:
        if not 0 <= share < 1:
            raise InputError(f"held_out: {share}; expected a share of at least 0 and below 1.")
        self.share = share
        self.texts: list[str] = []
        self.text_pairs: list[str | None] = []
        self.embeddings: list[Tensor] = []  # (length, H) float16 each, where embeddings are held out
        self.samples = 0  # texts, or crafted samples, of which several stages may be held
        self._predictions: list[Tensor] = []  # a list, because a growing matrix would be copied each time
        self._known: set[tuple[str, str | None]] = set()

    def __len__(self) -> int:
        """Return the number of texts held."""
        return len(self.texts)

    @property
    def logprobs(self) -> Tensor:
        """The teacher's answers to `texts`, (N, C) float32, or (N, W, C) of words."""
        return below(self._predictions) if self._predictions else torch.empty(0, 0)

    @property
    def pairs(self) -> list[str] | None:
        """The second texts, or None where texts are single ones."""
        return None if None in self.text_pairs or not self.text_pairs else [str(pair) for pair in self.text_pairs]

    def take(self, batch: SyntheticBatch) -> SyntheticBatch:
        """Keep the held-out texts of a batch that have a usable answer; return the batch without any held-out text."""
        pairs: Sequence[str | None] = batch.text_pairs or [None] * len(batch)
        deciding = batch.texts
        if batch.embeddings is not None:
            deciding = [topic or text for topic, text in zip(batch.topics, batch.texts, strict=True)]
        held = [is_held_out(text, pair, self.share) for text, pair in zip(deciding, pairs, strict=True)]
        kept: list[int] = []
        for index in (torch.tensor(held, dtype=torch.bool) & batch.usable).nonzero().flatten().tolist():
            key = (batch.texts[index], pairs[index])
            if batch.embeddings is not None:
                kept.append(index)  # embeddings with the same nearest words are still different samples
            elif key not in self._known:
                self._known.add(key)
                kept.append(index)
        self.samples += len({deciding[index] for index in kept}) if batch.embeddings is not None else len(kept)
        if kept:
            if batch.embeddings is not None and batch.lengths is not None:
                self.embeddings += stored_rows(batch.embeddings[kept], batch.lengths[kept])
            self.texts += [batch.texts[index] for index in kept]
            self.text_pairs += [pairs[index] for index in kept]
            self._predictions.append(batch.teacher_logits[kept])
        return batch.select(~torch.tensor(held, dtype=torch.bool))

    def fill(self, replay: Replay) -> Tensor:
        """Hold out rows of a replay where chance has held out none: those that a larger share would hold out first.

        Of embeddings, all stages of a sample go together. At least one text or sample stays in the replay.

        Args:
            replay: What the students are to learn from, once all of it is there.

        Returns:
            (n,) int64 rows that are held out now, so that no student may learn from them; none where some text is held out
            already, where the share is 0, or where there are not two texts or samples.
        """
        groups: dict[tuple[str, str | None], list[int]] = {}
        for row in range(0 if len(self) or not self.share else len(replay)):
            deciding = (replay.embeddings and replay.topics[row]) or replay.texts[row]
            groups.setdefault((deciding, replay.text_pairs[row]), []).append(row)
        count = min(max(1, round(self.share * len(groups))), len(groups) - 1)
        first = sorted(groups, key=lambda key: _place(*key))[: max(0, count)]
        rows = torch.tensor([row for key in first for row in groups[key]], dtype=torch.int64)
        if not first:
            return rows
        self.texts, self.text_pairs = [replay.texts[i] for i in rows.tolist()], [replay.text_pairs[i] for i in rows.tolist()]
        self._predictions, self.samples = [replay.logprobs[rows]], len(first)
        if replay.embeddings:
            self.embeddings = [replay.embeddings[i] for i in rows.tolist()]
        else:
            self._known = set(zip(self.texts, self.text_pairs, strict=True))
        return rows

    def predictions(self, student: Student) -> Tensor:
        """Return a student's answers to the held-out texts or embeddings, (N, C) float32, or (N, W, C) of words."""
        if self.embeddings:
            readable = usable_length(student.model, student.tokenizer, student.max_length)
            return student.kind.answers(embedded_outputs(student.model, self.embeddings, readable))
        return student.answers(self.texts, self.pairs)

    def measure(self, student: Student) -> dict[str, float]:
        """Compare a student with the teacher on the held-out texts.

        Returns:
            `agreement`, the share of decisions on which both agree, see `Kind.decisions`; `kappa`, see `cohen_kappa`; and
            `kl`, the mean `Kind.divergence`, in nats for classes and labels; {} where no text is held out.
        """
        if not len(self):
            return {}
        predictions, teacher, kind = self.predictions(student), self.logprobs, student.kind
        same, *counts = decided(kind, teacher, predictions)
        return {
            "agreement": same / max(1, sum(counts[0])),
            "kappa": cohen_kappa(same, *counts),
            "kl": kind.divergence(teacher, predictions).mean().item(),
        }

    def __contains__(self, text: object) -> bool:
        """Return whether a (text, second text or None) is held."""
        return text in self._known

    def save(self, folder: str | Path) -> None:
        """Write the texts and answers to a folder; `load` restores them exactly.

        Raises:
            InputError: The folder cannot be written.
        """
        rows = zip(self.texts, self.text_pairs, strict=True)
        with replace_folder(folder, marker="texts.jsonl") as temporary:
            write_text(temporary / "texts.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
            tensors = {"logprobs": self.logprobs, "samples": torch.tensor(self.samples)}
            if self.embeddings:
                tensors["embeddings"] = torch.cat(self.embeddings)
                tensors["lengths"] = torch.tensor([len(row) for row in self.embeddings])
            save_file(tensors, temporary / "answers.safetensors")

    def load(self, folder: str | Path) -> None:
        """Continue from what `save` wrote.

        Raises:
            InputError: A file is missing or damaged.
        """
        folder = Path(folder)
        try:
            lines = (folder / "texts.jsonl").read_text(encoding="utf-8").splitlines()
            rows = [json.loads(line) for line in lines]
            tensors = load_file(folder / "answers.safetensors")
            logprobs, embeddings = tensors["logprobs"], []
            samples = int(tensors.get("samples", len(rows)))  # older checkpoints do not say
            if "embeddings" in tensors:
                embeddings = [row.clone() for row in tensors["embeddings"].split(tensors["lengths"].tolist())]
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise InputError(f"{folder}: the held-out texts are damaged ({error}); use an earlier checkpoint.") from error
        self.texts, self.text_pairs = [text for text, _ in rows], [pair for _, pair in rows]
        self._predictions = [logprobs] if rows else []
        self.embeddings, self.samples = embeddings, samples
        self._known = set() if embeddings else set(zip(self.texts, self.text_pairs, strict=True))
