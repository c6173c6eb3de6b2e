"""Controls: the same student, the same teacher queries, the same updates, but text that no prompter had a hand in.

A prompted student says little by itself. Each control removes one thing: `unprompted` the prompter (`unprompted-hot` puts
variety of sampling in its place), `class-names` the learning (hand-written openings instead), `random-topics` what openings
say (random tokens instead), of which `selected-topics` learns from the texts that the teacher is surest of, `random-words`
and `corpus` the language model; `real` is the ceiling, the text the teacher was made for. A new control is one function
here and its name in `prompter.training.settings.CONTROLS`.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch

from distill.batch import SyntheticBatch
from distill.common.seeding import random_generator
from distill.methods.corpus import rows_at
from distill.teachers.base import Teacher
from eval.data.labelled import EvaluationData
from prompter.generation.writer import Writer

CLASS_PROMPTS = ("{label}:", "This is about {label}.", "A text on {label}:", "The latest on {label}:")
"""Hand-written openings of the control `class-names`, four for each class."""

HOT: dict[str, Any] = {"writer_temperature": 1.3, "writer_top_k": 2000, "writer_top_p": 1.0}
"""How the writer samples for the control `unprompted-hot`: variety from the sampling instead of from openings."""

TOPIC_TOKENS = 4
"""Length of the openings of the control `random-topics`."""

SELECTED = "selected-topics"
SELECTED_SHARE = 1 / 3
"""Share of the texts asked about that the control `selected-topics` learns from."""

T = TypeVar("T")


def draw(texts: list[T], count: int, seed: int) -> list[T]:
    """`count` texts in random order without repetition; where there are fewer, all of them again and again."""
    return [texts[row] for row in rows_at(len(texts), 0, count, seed, "draw")]


def random_words(sentences: list[str], count: int, seed: int) -> list[str]:
    """Texts of 8 to 30 words, each word drawn from the corpus by its frequency, without any order."""
    words = [word for sentence in sentences for word in sentence.split()]
    random = random_generator(seed, "random words")
    lengths = torch.randint(8, 31, (count,), generator=random).tolist()
    return [" ".join(words[i] for i in torch.randint(len(words), (n,), generator=random).tolist()) for n in lengths]


def random_topics(writer: Writer, count: int, seed: int) -> list[str]:
    """Openings of `TOPIC_TOKENS` tokens, each drawn from the writer's vocabulary with equal chances, special ones left out."""
    ordinary = torch.tensor(sorted(set(writer.tokenizer.get_vocab().values()) - set(writer.tokenizer.all_special_ids)))
    drawn = torch.randint(len(ordinary), (count, TOPIC_TOKENS), generator=random_generator(seed, "random topics"))
    return writer.tokenizer.batch_decode(ordinary[drawn])


def most_confident(batch: SyntheticBatch, share: float) -> SyntheticBatch:
    """Of each class that the teacher chose the rows it is surest of.

    Args:
        batch: N rows.
        share: Of N, in (0, 1], that all K classes together may fill, each 1 / K of it; a class with fewer rows gives all.

    Returns:
        The rows, in their order; those with an unusable answer are left out.
    """
    confidence, chosen = batch.teacher_logits.max(dim=1)
    quota = int(share * len(batch) / batch.teacher_logits.shape[1])
    picked = torch.zeros(len(batch), dtype=torch.bool)
    for k in range(batch.teacher_logits.shape[1]):
        rows = ((chosen == k) & batch.usable).nonzero().flatten()
        picked[rows[confidence[rows].argsort(descending=True, stable=True)[:quota]]] = True
    return batch.select(picked)


def baseline_texts(
    name: str,
    count: int,
    *,
    writer: Writer,
    labels: list[str],
    corpus: list[str],
    real: list[str],
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[str], list[str], torch.Tensor]:
    """The texts of a control.

    Args:
        name: One of `prompter.training.settings.CONTROLS`.
        count: How many texts.
        writer: The frozen language model, sampling as it does for the prompter.
        labels: Class names, for `class-names`.
        corpus: General sentences, for `corpus` and `random-words`.
        real: Real texts, for `real`.
        seed: Seed of every draw.
        progress: Called with the number of texts there are, as the writer writes them.

    Returns:
        Texts, their openings, and the class asked for (N,), -1 where none was.
    """
    topics = [""] * count
    targets = torch.full((count,), -1)
    if name == "class-names":
        targets = torch.arange(count) % len(labels)
        prompts = [CLASS_PROMPTS[i // len(labels) % len(CLASS_PROMPTS)] for i in range(count)]
        topics = [p.replace("{label}", labels[int(w)]) for p, w in zip(prompts, targets, strict=True)]
    if name in ("random-topics", SELECTED):
        topics = random_topics(writer, count, seed)
    if name in ("unprompted", "unprompted-hot", "class-names", "random-topics", SELECTED):
        texts = writer.write(topics, seed, 0, progress=progress).texts
    elif name == "random-words":
        texts = random_words(corpus, count, seed)
    elif name == "corpus":
        texts = draw(corpus, count, seed)
    else:
        texts = draw(real, count, seed)
    return texts, topics, targets


def labelled_batches(data: EvaluationData, count: int, classes: int, seed: int, size: int) -> Iterator[SyntheticBatch]:
    """Real texts with their real labels in batches of `size`: the texts of the control `real`, but no teacher is asked.

    The answers are near enough to certainty that their arg max is the label; they are meant for a loss on hard labels.
    """
    rows = draw(list(range(len(data))), count, seed)
    certain = torch.full((classes, classes), math.log(1e-6)).fill_diagonal_(0.0).log_softmax(dim=1)
    for start in range(0, count, size):
        part = rows[start : start + size]
        targets = torch.tensor([data.labels[row] for row in part])
        yield SyntheticBatch([data.texts[row] for row in part], certain[targets], targets, [""] * len(part), "supervised")


def answered_batches(
    texts: list[str], topics: list[str], targets: torch.Tensor, teacher: Teacher, source: str, size: int
) -> Iterator[SyntheticBatch]:
    """The texts in batches of `size`, with the teacher's answers."""
    for start in range(0, len(texts), size):
        part = slice(start, start + size)
        yield SyntheticBatch(texts[part], teacher(texts[part]), targets[part], topics[part], source)
