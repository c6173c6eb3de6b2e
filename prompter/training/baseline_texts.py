"""Texts of the baselines: the same student, teacher queries and updates, but text that no prompter has influenced.

The score of a prompted student means little by itself. Each baseline leaves out one part of the method:

- `unprompted`: no prompter; the writer starts from nothing. `unprompted-hot` samples at a higher temperature instead.
- `class-prompts`: no policy; the class prompt alone asks the writer for each class, as a user would ask a language model.
  `screened-class-prompts` writes several such texts for each one that the teacher is asked about, and chooses as a run does.
- `class-names`: no learning; the openings are hand-written and name the class.
- `random-topics`: openings without meaning, made of random tokens. `selected-topics` learns only from those of these texts
  that the teacher is most confident about.
- `corpus`, `random-words`: no language model; sentences, or single words, of a general corpus.
- `real`: the real text that the teacher was made for, which is the ceiling. `supervised` uses its labels, too, and no teacher.

A new baseline is one function here and its name in `prompter.training.baseline_names`.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch

from distill.batch import SyntheticBatch
from distill.common.seeding import random_generator
from distill.methods.corpus import rows_at, second_sentences
from distill.teachers.base import Teacher
from eval.data.labelled import EvaluationData
from prompter.generation.config import WRITTEN
from prompter.generation.opening import AnyWriter
from prompter.pairs.second_texts import CORRUPTIONS, SecondTexts
from prompter.rl.candidate_selection import CandidateSelector

CLASS_PROMPTS = ("{label}:", "This is about {label}.", "A text on {label}:", "The latest on {label}:")
"""Hand-written openings of the baseline `class-names`, four for each class."""

HOT: dict[str, Any] = {"writer_temperature": 1.3, "writer_top_k": 2000, "writer_top_p": 1.0}
"""Sampling of the writer for the baseline `unprompted-hot`: variety comes from the temperature instead of from topics."""

TOPIC_TOKENS = 4
"""Number of tokens of an opening of the baseline `random-topics`."""

ASKED, SCREENED = "class-prompts", "screened-class-prompts"

SCREENED_CANDIDATES = 4
"""Texts for each query of the baseline `screened-class-prompts`, where the run itself has no candidates."""

SELECTED = "selected-topics"
SELECTED_SHARE = 1 / 3
"""Share of its texts that the baseline `selected-topics` learns from."""

T = TypeVar("T")


def draw_texts(texts: list[T], count: int, seed: int) -> list[T]:
    """Draw texts in random order. No text is drawn a second time before all others were drawn once."""
    return [texts[row] for row in rows_at(len(texts), 0, count, seed, "draw")]


def random_words(sentences: list[str], count: int, seed: int) -> list[str]:
    """Make texts of 8 to 30 words. Each word is drawn from the corpus by its frequency, independently of the others."""
    words = [word for sentence in sentences for word in sentence.split()]
    random = random_generator(seed, "random words")
    lengths = torch.randint(8, 31, (count,), generator=random).tolist()
    return [" ".join(words[i] for i in torch.randint(len(words), (n,), generator=random).tolist()) for n in lengths]


def random_topics(writer: AnyWriter, count: int, seed: int) -> list[str]:
    """Make openings of `TOPIC_TOKENS` tokens, drawn uniformly from the writer's vocabulary without special tokens."""
    ordinary = torch.tensor(sorted(set(writer.tokenizer.get_vocab().values()) - set(writer.tokenizer.all_special_ids)))
    drawn = torch.randint(len(ordinary), (count, TOPIC_TOKENS), generator=random_generator(seed, "random topics"))
    return writer.tokenizer.batch_decode(ordinary[drawn])


def most_confident(batch: SyntheticBatch, share: float) -> SyntheticBatch:
    """Select the rows that the teacher is most confident about, equally many for each class that it predicts.

    Args:
        batch: N rows.
        share: Share of N to select, in (0, 1]. Each of K classes gets 1 / K of it; a class with fewer rows gives all.

    Returns:
        The selected rows in their order, without rows that have no usable prediction.
    """
    answers, kind = batch.teacher_logits, batch.kind
    predicted = kind.group(answers)
    confidence = kind.confidence(answers, predicted)
    groups = kind.groups(answers.shape[1])
    quota = int(share * len(batch) / groups)
    picked = torch.zeros(len(batch), dtype=torch.bool)
    for k in range(groups):
        rows = ((predicted == k) & batch.usable).nonzero().flatten()
        picked[rows[confidence[rows].argsort(descending=True, stable=True)[:quota]]] = True
    return batch.select(picked)


def baseline_texts(
    name: str,
    count: int,
    *,
    writer: AnyWriter,
    labels: list[str],
    corpus: list[str],
    real: list[str],
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[str], list[str], torch.Tensor]:
    """Write or draw the texts of a baseline.

    Args:
        name: One of `prompter.training.baseline_names.BASELINES`, except `supervised` and `screened-class-prompts`.
        count: Number of texts.
        writer: The frozen language model, for `class-prompts` with its contexts.
        labels: Class names, for `class-names`.
        corpus: General sentences, for `corpus` and `random-words`.
        real: Real texts, for `real`.
        seed: Seed of every draw.
        progress: Called with the number of texts written so far, if the writer writes them.

    Returns:
        Texts, their openings, and the target classes (N,), -1 for none.
    """
    topics = [""] * count
    targets = torch.full((count,), -1)
    if name == ASKED:
        targets = torch.arange(count) % len(labels)
        return writer.write(topics, seed, 0, progress=progress, targets=targets).texts, topics, targets
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
        texts = draw_texts(corpus, count, seed)
    else:
        texts = draw_texts(real, count, seed)
    return texts, topics, targets


def baseline_pairs(
    name: str,
    texts: list[str],
    targets: torch.Tensor,
    made: SecondTexts,
    corpus: list[str],
    real: list[str],
    seed: int,
    size: int,
) -> list[str]:
    """Write or draw the second texts of a baseline for a teacher of pairs.

    Where the first texts were written for classes, so are these. Otherwise they are the construction of zero-shot
    distillation in equal shares: three words replaced, a neighbour, and any other text.

    Args:
        name: See `baseline_texts`.
        texts: The N first texts that it returned.
        targets: Their target classes (N,), which it returned.
        made: Makes second texts.
        corpus: General sentences, for `corpus`.
        real: Second texts of the real pairs, for `real`.
        seed: Seed of every draw.
        size: Second texts that are asked for together.
    """
    count = len(texts)
    if name == "real":
        return draw_texts(real, count, seed)
    if name in ("corpus", "random-words"):
        source, rows = (corpus, rows_at(len(corpus), 0, count, seed, "draw")) if name == "corpus" else (texts, range(count))
        return second_sentences(source, rows, seed, 0)
    kinds = (WRITTEN,) if bool((targets >= 0).all()) else CORRUPTIONS
    return [
        second
        for number, start in enumerate(range(0, count, size))
        for second in made.write(texts[start : start + size], targets[start : start + size], seed, number, name, kinds)
    ]


def labelled_batches(data: EvaluationData, count: int, classes: int, seed: int, size: int) -> Iterator[SyntheticBatch]:
    """Yield real texts with their labels in batches of `size`: the texts of the baseline `real`, without a teacher.

    The label takes the place of a prediction, with nearly all probability on it. It is meant for a loss on hard labels.
    """
    rows = draw_texts(list(range(len(data))), count, seed)
    certain = torch.full((classes, classes), math.log(1e-6)).fill_diagonal_(0.0).log_softmax(dim=1)
    for start in range(0, count, size):
        part = rows[start : start + size]
        targets = torch.tensor([data.labels[row] for row in part])
        texts, pairs = [data.texts[row] for row in part], data.text_pairs and [data.text_pairs[row] for row in part]
        yield SyntheticBatch(texts, certain[targets], targets, [""] * len(part), "supervised", pairs)


def answered_batches(
    texts: list[str],
    topics: list[str],
    targets: torch.Tensor,
    teacher: Teacher,
    source: str,
    size: int,
    text_pairs: list[str] | None = None,
) -> Iterator[SyntheticBatch]:
    """Yield the texts, or pairs, in batches of `size`, with the teacher's predictions."""
    for start in range(0, len(texts), size):
        part = slice(start, start + size)
        pairs = None if text_pairs is None else text_pairs[part]
        answers = teacher(texts[part]) if pairs is None else teacher(texts[part], pairs)
        yield SyntheticBatch(texts[part], answers, targets[part], topics[part], source, pairs, kind=teacher.kind)


def screened_batches(
    writer: AnyWriter,
    teacher: Teacher,
    targets: torch.Tensor,
    candidates: int,
    seed: int,
    size: int,
    second_texts: SecondTexts | None = None,
) -> Iterator[SyntheticBatch]:
    """Yield texts of the class prompts in batches of `size`, chosen among `candidates` times as many; with predictions.

    Args:
        writer: The frozen language model with its contexts.
        teacher: Answers the texts that are chosen.
        targets: (N,) target class of each text.
        candidates: Texts written for each one that is chosen.
        seed: Seed of the writer.
        size: Texts per batch.
        second_texts: Makes the second texts, for a teacher of pairs.
    """
    selector = CandidateSelector(len(teacher.kind.targets(teacher.labels)), teacher.kind)
    for number, part in enumerate(targets.split(size)):
        asked_for = part.repeat(candidates)
        written = writer.write([""] * len(asked_for), seed, number, SCREENED, targets=asked_for).texts
        whole, seconds = written, None
        if second_texts is not None:
            seconds = second_texts.write(written, asked_for, seed, number, SCREENED, (WRITTEN,))
            whole = [f"{one} {other}" for one, other in zip(written, seconds, strict=True)]
        features = writer.features(whole)
        picked = torch.tensor(selector.pick(features, whole, len(part)))
        texts = [written[row] for row in picked.tolist()]
        pairs = None if seconds is None else [seconds[row] for row in picked.tolist()]
        predictions = teacher(texts, pairs) if pairs is not None else teacher(texts)
        selector.learn(features[picked], predictions)
        topics = [""] * len(texts)
        yield SyntheticBatch(texts, predictions, asked_for[picked], topics, SCREENED, pairs, kind=teacher.kind)
