"""The teachers of the toy tasks of every kind: a four-layer BERT-style model, trained on a task's private rows.

They are made as the teacher of `eval.toy.teacher`: a token for each word of the private texts, and words hidden in some of
them, so that a teacher is unsure about foreign text. Only the output layer and the loss differ from kind to kind.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from transformers import BertForSequenceClassification, BertForTokenClassification, PreTrainedModel

from distill.common.encode import TokenTable
from distill.common.precision import resolve_device
from distill.common.seeding import random_generator, seeded
from distill.kinds.found import store_kind
from distill.kinds.scores import Score
from eval.toy.fit import encoder_config, fit, length_sorted_batches, save
from eval.toy.tasks.world import Row
from eval.toy.teacher import SPECIAL_TOKENS, hide_words, reading_tokenizer

PROBLEMS = {
    "single": "single_label_classification",
    "pair": "single_label_classification",
    "multi_label": "multi_label_classification",
    "score": "regression",
}
"""What Hugging Face calls the kinds of sequence classifiers, in `problem_type`."""

NO_TAG = -100  # the label of positions that no loss looks at


@dataclass(frozen=True)
class KindTeacherSettings:
    """Hyper-parameters of a teacher; all are part of the cache key."""

    layers: int = 4
    hidden: int = 96
    heads: int = 3
    max_length: int = 64
    epochs: int = 4
    batch_size: int = 64
    learning_rate: float = 1e-3
    hidden_words: float = 0.3  # share of texts with hidden words, each at a rate drawn from [0, 1)
    label_smoothing: float = 0.05  # of classes and tags


def train_kind_teacher(
    name: str,
    kind: str,
    labels: list[str],
    rows: list[Row],
    settings: KindTeacherSettings,
    seed: int,
    folder: Path,
    quiet: bool,
    span: tuple[float, float] | None = None,
) -> None:
    """Train the teacher of a task on its private rows and save it to `folder`.

    Args:
        name: Name of the task, for the progress bar and the random numbers.
        kind: Kind of the task, see `eval.toy.tasks.table.TaskOfKind`.
        labels: Names of classes, labels or tags.
        rows: The private training rows.
        settings: Hyper-parameters.
        seed: Seed of the model.
        folder: Where the Hugging Face folder is written.
        quiet: Show no progress bar.
        span: Lowest and highest number, for `score`; the folder says it.
    """
    texts = [" ".join(row["tokens"]) if kind == "tokens" else row["text"] for row in rows]
    second = [row["text_pair"] for row in rows] if kind == "pair" else None
    tokenizer = reading_tokenizer([*texts, *(second or [])], settings.max_length, SPECIAL_TOKENS)
    if kind == "pair":
        names = ["input_ids", "token_type_ids", "attention_mask"]
        tokenizer.model_input_names = tokenizer.init_kwargs["model_input_names"] = names  # the second is what is saved
    sizes = (settings.layers, settings.hidden, settings.heads, settings.max_length)
    config = encoder_config(
        tokenizer,
        *sizes,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        problem_type=PROBLEMS.get(kind),
    )
    if span is not None:
        store_kind(config, Score(*span))
    targets = _targets(kind, labels, rows, settings.max_length)
    with seeded(seed, "toy-kind-teacher", name, "weights"):
        model: PreTrainedModel = (BertForTokenClassification if kind == "tokens" else BertForSequenceClassification)(config)
    if kind == "score":  # the first steps need not look for the middle of the range
        model.get_submodule("classifier").bias.data.fill_(float(targets.mean()))
    device = resolve_device("auto")
    table = TokenTable(tokenizer, settings.max_length, token_types=kind == "pair")
    table.put(torch.arange(len(texts)), texts, second)

    def losses() -> Iterator[Tensor]:
        for epoch in range(settings.epochs):
            random = random_generator(seed, "toy-kind-teacher", name, "epoch", epoch)
            for batch in length_sorted_batches(table.lengths[: len(texts)], settings.batch_size, random):
                inputs = table.gather(batch, device)
                inputs["input_ids"] = hide_words(inputs["input_ids"].cpu(), settings.hidden_words, random).to(device)
                yield _loss(kind, model(**inputs).logits.float(), targets[batch].to(device), settings.label_smoothing)

    steps = settings.epochs * -(-len(texts) // settings.batch_size)
    fit(model.to(device), losses(), steps, settings.learning_rate, f"teacher ({name})", quiet)
    save(model, tokenizer, folder)


def _targets(kind: str, labels: list[str], rows: list[Row], max_length: int) -> Tensor:
    """Return what the teacher learns: (N,) classes or numbers, (N, K) labels, or (N, max_length) tags of tokens."""
    if kind == "multi_label":
        targets = torch.zeros(len(rows), len(labels))
        for index, row in enumerate(rows):
            targets[index, row["labels"]] = 1.0
        return targets
    if kind == "tokens":
        tags = torch.full((len(rows), max_length), NO_TAG)
        for index, row in enumerate(rows):  # each word is one token, and the first token begins the text
            kept = [labels.index(tag) for tag in row["tags"][: max_length - 2]]
            tags[index, 1 : 1 + len(kept)] = torch.tensor(kept)
        return tags
    return torch.tensor([row["label"] for row in rows])


def _loss(kind: str, logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    if kind == "multi_label":
        return binary_cross_entropy_with_logits(logits, targets)
    if kind == "score":
        return mse_loss(logits[:, 0], targets.float())
    if kind == "tokens":
        shown = targets[:, : logits.shape[1]]
        return cross_entropy(logits.flatten(0, 1), shown.flatten(), ignore_index=NO_TAG, label_smoothing=smoothing)
    return cross_entropy(logits, targets, label_smoothing=smoothing)
