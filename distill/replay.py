"""The replay: the texts that the student learns from, each with the teacher's answer.

It is a ring of fixed capacity. New texts overwrite the oldest, and no text is stored twice. Each row also keeps its target,
topic and source, and the update at which it came in, so that a selection rule can use them. The rule is one function,
`selection_weights`.

The replay may hold embeddings instead of texts (in all rows or none), in float16, see `distill.embedded`. Two embeddings are
different samples even where they have the same nearest words, so none is left out as a repetition.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from distill.batch import SyntheticBatch
from distill.common.errors import InputError
from distill.common.files import read_json, replace_folder, write_json, write_text
from distill.common.seeding import random_generator
from distill.config import SELECTIONS
from distill.embedded import stored_rows
from distill.kinds.classes import SINGLE
from distill.kinds.kind import Kind
from distill.kinds.rows import widened

POOL_BATCHES = 16
"""Most batches that are drawn at once."""


class Replay:
    """A ring buffer of texts with the teacher's answers.

    Args:
        capacity: Maximum number of rows, at least 1.
        seed: Decides every draw, together with the draw's counter.
        source_weights: Weight of each source in the draws; all texts of a source share its weight. None: all texts are drawn
            equally often, whatever their source.
        kind: What the teacher's answers are.

    Attributes:
        embeddings: One (length, H) float16 tensor per row where embeddings are held; else empty.
        texts, text_pairs, topics, sources: Lists with one entry per row; `text_pairs` holds None for single texts.
        logprobs: (capacity or fewer, C) float32, of words (..., W, C), the teacher's answers; rows 0 to len - 1 are filled.
        classes: (...,) int64, the group of each answer, such as the class that the teacher chose; kept, as each draw needs it
            of all rows.
        targets: (...,) int64, the label that the text was written for, or -1.
        inserted: (...,) int64, the update at which the row came in.
    """

    def __init__(
        self, capacity: int, seed: int, source_weights: Mapping[str, float] | None = None, kind: Kind = SINGLE
    ) -> None:
        if capacity < 1:
            raise InputError(f"replay_capacity: {capacity}; expected at least 1.")
        self.capacity = capacity
        self.seed = seed
        self.source_weights = source_weights
        self.kind = kind
        self.embeddings: list[Tensor] = []
        self.texts: list[str] = []
        self.text_pairs: list[str | None] = []
        self.topics: list[str] = []
        self.sources: list[str] = []
        self.logprobs = torch.empty(0, 0)
        self.classes = torch.empty(0, dtype=torch.int64)
        self.targets = torch.empty(0, dtype=torch.int64)
        self.inserted = torch.empty(0, dtype=torch.int64)
        self.next_row = 0  # the row of the next text
        self._rows: dict[tuple[str, str | None], int] = {}

    def __len__(self) -> int:
        """Return the number of texts held."""
        return len(self.texts)

    def __contains__(self, text: object) -> bool:
        """Return whether a (text, second text or None) is held."""
        return text in self._rows

    @property
    def pairs(self) -> list[str] | None:
        """The second texts, or None where texts are single ones."""
        return None if None in self.text_pairs or not self.text_pairs else [str(pair) for pair in self.text_pairs]

    def add(self, batch: SyntheticBatch, update: int) -> Tensor:
        """Store the new texts of a batch that have a usable answer.

        A text is new unless the replay holds it with the same second text. Embeddings are always new.

        Args:
            batch: Texts or embeddings with the teacher's answers.
            update: Number of student updates made so far.

        Returns:
            (n,) int64, the rows that now hold a new text, without repetition.

        Raises:
            InputError: The batch has another number of classes than the stored rows, or holds texts where embeddings are
                stored or the reverse, or embeddings of another width.
        """
        answers = batch.teacher_logits
        if len(self) and answers.shape[-1] != self.logprobs.shape[-1]:
            columns = f"{answers.shape[-1]} classes; the stored texts have {self.logprobs.shape[-1]}"
            raise InputError(f"replay: a batch of {columns}.")
        self._check_same_kind(batch)
        pairs: Sequence[str | None] = batch.text_pairs or [None] * len(batch)
        stored: list[Tensor] | None = None
        if batch.embeddings is not None and batch.lengths is not None:
            stored = stored_rows(batch.embeddings, batch.lengths)
        placed: dict[int, int] = {}  # row -> index in the batch
        for index in batch.usable.nonzero().flatten().tolist():
            key = (batch.texts[index], pairs[index])
            if stored is None and key in self._rows:
                continue
            row = self._place(key, batch.topics[index], batch.source, None if stored is None else stored[index])
            placed[row] = index
        if not placed:
            return torch.empty(0, dtype=torch.int64)
        rows = torch.tensor(list(placed), dtype=torch.int64)
        index = torch.tensor(list(placed.values()), dtype=torch.int64)
        self._grow(len(self), answers)
        self.logprobs[rows] = widened(answers[index], self.logprobs.shape[1])
        self.classes[rows] = self.kind.group(self.logprobs[rows])
        self.targets[rows] = batch.targets[index]
        self.inserted[rows] = update
        return rows

    def without(self, rows: Tensor) -> "Replay":
        """Return a replay that lacks some rows, with the others from the oldest to the newest."""
        left = Replay(self.capacity, self.seed, self.source_weights, self.kind)
        oldest = self.next_row % max(1, len(self))
        dropped = set(rows.tolist())
        kept = [row for row in [*range(oldest, len(self)), *range(oldest)] if row not in dropped]
        for row in kept:
            embedding = self.embeddings[row] if self.embeddings else None
            left._place((self.texts[row], self.text_pairs[row]), self.topics[row], self.sources[row], embedding)
        left.logprobs, left.classes = self.logprobs[kept], self.classes[kept]
        left.targets, left.inserted = self.targets[kept], self.inserted[kept]
        return left

    def sample(self, count: int, counter: int, selection: str = "uniform") -> Tensor:
        """Draw rows.

        Args:
            count: Number of rows n.
            counter: Number of the draw. The same counter over the same rows gives the same draw.
            selection: See `selection_weights`.

        Returns:
            (n,) int64 row numbers, without repetition where n <= len(self) and there are no `source_weights`.

        Raises:
            InputError: The replay is empty, or the selection is unknown.
        """
        if not len(self):
            raise InputError("replay: it holds no text to learn from; every answer of the teacher so far was unusable.")
        weights = selection_weights(self, selection)
        source = random_generator(self.seed, "replay", counter)
        # Without repetition, few texts would nearly all be drawn, whatever weights the user has given.
        repeated = count > len(self) or bool(self.source_weights)
        return torch.multinomial(weights, count, replacement=repeated, generator=source)

    def save(self, folder: str | Path) -> None:
        """Write the replay to a folder: texts as JSON lines, numbers as safetensors; `load` restores it exactly.

        Raises:
            InputError: The folder cannot be written.
        """
        size = len(self)
        columns = zip(self.texts, self.text_pairs, self.topics, self.sources, strict=True)
        lines = [json.dumps({"text": t, "text_pair": p, "topic": o, "source": s}) for t, p, o, s in columns]
        tensors = {"logprobs": self.logprobs, "wanted": self.targets, "inserted": self.inserted}
        with replace_folder(folder, marker="replay.json") as temporary:
            write_text(temporary / "texts.jsonl", "".join(line + "\n" for line in lines))
            save_file({name: t[:size].contiguous() for name, t in tensors.items()}, temporary / "answers.safetensors")
            state = {"capacity": self.capacity, "seed": self.seed, "next_row": self.next_row, "rows": size}
            if self.embeddings:
                state["embeddings"] = True
                parts = {"embeddings": torch.cat(self.embeddings), "lengths": torch.tensor([len(e) for e in self.embeddings])}
                save_file(parts, temporary / "embeddings.safetensors")
            write_json(temporary / "replay.json", state)

    @classmethod
    def load(cls, folder: str | Path, kind: Kind = SINGLE) -> "Replay":
        """Read what `save` wrote, of answers of this kind.

        Raises:
            InputError: A file is missing or damaged, or the files disagree.
        """
        folder = Path(folder)
        state = read_json(folder / "replay.json")
        try:
            replay = cls(state["capacity"], state["seed"], kind=kind)
            replay.next_row = state["next_row"]
            with (folder / "texts.jsonl").open(encoding="utf-8") as file:
                for line in file:
                    row = json.loads(line)
                    if "embeddings" not in state:
                        replay._rows[row["text"], row["text_pair"]] = len(replay.texts)
                    replay.texts.append(row["text"])
                    replay.text_pairs.append(row["text_pair"])
                    replay.topics.append(row["topic"])
                    replay.sources.append(row["source"])
            tensors = load_file(folder / "answers.safetensors")
            replay.logprobs, replay.targets, replay.inserted = (tensors[n] for n in ("logprobs", "wanted", "inserted"))
            if len(replay.logprobs):
                replay.classes = kind.group(replay.logprobs)
            if "embeddings" in state:
                parts = load_file(folder / "embeddings.safetensors")
                # A slice would keep the whole tensor in memory, so each row is a copy.
                replay.embeddings = [e.clone() for e in parts["embeddings"].split(parts["lengths"].tolist())]
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise InputError(f"{folder}: the replay is damaged ({error}); use an earlier checkpoint.") from error
        counts = {len(part) for part in (replay.texts, replay.logprobs, replay.targets, replay.inserted)}
        counts |= {len(replay.embeddings)} if "embeddings" in state else set()
        if counts != {state["rows"]}:
            raise InputError(f"{folder}: the replay's files disagree on the number of rows; use an earlier checkpoint.")
        return replay

    def _check_same_kind(self, batch: SyntheticBatch) -> None:
        if len(self) and bool(self.embeddings) != (batch.embeddings is not None):
            held, new = ("embeddings", "texts") if self.embeddings else ("texts", "embeddings")
            raise InputError(f"replay: it holds {held}, but the batch holds {new}; use one kind only.")
        if self.embeddings and batch.embeddings is not None and batch.embeddings.shape[2] != self.embeddings[0].shape[1]:
            widths = f"{batch.embeddings.shape[2]} features; the stored ones have {self.embeddings[0].shape[1]}"
            raise InputError(f"replay: a batch of embeddings of {widths}; use one teacher.")

    def _place(self, key: tuple[str, str | None], topic: str, source: str, embedding: Tensor | None) -> int:
        """Store what a row holds beside numbers, and return the number of the row."""
        text, pair = key
        row = self.next_row
        if row == len(self):
            self.texts.append(text)
            self.text_pairs.append(pair)
            self.topics.append(topic)
            self.sources.append(source)
            if embedding is not None:
                self.embeddings.append(embedding)
        else:
            if embedding is not None:
                self.embeddings[row] = embedding
            else:
                del self._rows[self.texts[row], self.text_pairs[row]]
            self.texts[row], self.text_pairs[row], self.topics[row], self.sources[row] = text, pair, topic, source
        if embedding is None:
            self._rows[key] = row
        self.next_row = (row + 1) % self.capacity
        return row

    def _grow(self, rows: int, answers: Tensor) -> None:
        """Make room for `rows` rows like these. The room doubles, so that the cost per text is constant."""
        held = self.logprobs.shape[0]
        if held:
            self.logprobs = widened(self.logprobs, answers.shape[1])
        if rows <= held:
            return
        size = min(self.capacity, max(rows, 2 * held, 1024))
        logprobs = torch.zeros(size, *(self.logprobs if held else answers).shape[1:])
        if held:
            logprobs[:held] = self.logprobs
        self.logprobs = logprobs
        self.classes = torch.nn.functional.pad(self.classes, (0, size - held))
        self.targets = torch.nn.functional.pad(self.targets, (0, size - held), value=-1)
        self.inserted = torch.nn.functional.pad(self.inserted, (0, size - held))


def pool_batches(held: int, batch_size: int) -> int:
    """Return how many batches to draw at once: as many as the held texts fill, between 1 and 16.

    Examples:
        >>> pool_batches(300, 64), pool_batches(5, 64), pool_batches(10_000, 64)
        (4, 1, 16)
    """
    return max(1, min(POOL_BATCHES, held // batch_size))


def selection_weights(replay: Replay, selection: str) -> Tensor:
    """Return (len(replay),) float64 weights, proportional to the probability that a row is drawn first.

    "uniform" gives every row the same weight. "balanced" gives every class that the teacher chose (or label, or step of a
    range) the same total weight, so that a class that is easy to write for does not dominate the others. A draw takes no row
    twice, so its balance depends on how few of them it takes: a class of 10 % of the rows gets 10 % of 960 drawn of 1,000,
    39 % of 1,024 drawn of 6,000, and 47 % of as many of 20,000. The `source_weights` of the replay then scale the rows of each
    source; with them rows may come twice, and each source gets its share. A new rule (by age, by target, by confidence)
    belongs here.

    Args:
        replay: The replay.
        selection: "uniform" or "balanced".

    Raises:
        InputError: The selection is unknown.
    """
    size = len(replay)
    weights = torch.ones(size, dtype=torch.float64)
    if selection == "balanced":
        groups = replay.kind.groups(replay.logprobs.shape[-1])
        weights = _spread(weights, replay.classes[:size], torch.ones(groups, dtype=torch.float64))
    elif selection != "uniform":
        raise InputError(f"replay_selection: {selection!r}; expected one of {', '.join(SELECTIONS)}.")
    if replay.source_weights:
        names = list(replay.source_weights)
        number = {name: index for index, name in enumerate(names)}
        sources = torch.tensor([number[source] for source in replay.sources])
        targets = torch.tensor([replay.source_weights[name] for name in names], dtype=torch.float64)
        weights = _spread(weights, sources, targets)
    return weights


def _spread(weights: Tensor, groups: Tensor, totals: Tensor) -> Tensor:
    """Scale weights (N,) so that the weights of each group add up to its total; `groups` (N,) holds group numbers."""
    sums = torch.zeros_like(totals).index_add_(0, groups, weights)
    return weights * (totals / sums.clamp_min(torch.finfo(torch.float64).tiny))[groups]
