"""The toy teacher: it has learnt its task, and is less sure of other text."""

from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    pipeline,
)

from eval.toy.models import toy_teacher
from eval.toy.teacher import SPECIAL_TOKENS, UNKNOWN_ID, TeacherSettings, hide_words
from eval.toy.world import shared_world

SMALL_TEACHER = TeacherSettings(layers=1, hidden=48, heads=2, train_texts=3000, epochs=2, batch_size=16, learning_rate=3e-3)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_teacher("topic", tmp_path_factory.mktemp("cache"), settings=SMALL_TEACHER, quiet=True)


def test_teacher_is_an_ordinary_classifier_that_has_learnt(teacher):
    task = shared_world(0).task("topic")
    classify = pipeline("text-classification", str(teacher))
    predictions = classify(task.test_texts[:200])
    right = [answer["label"] == task.labels[label] for answer, label in zip(predictions, task.test_labels, strict=False)]
    assert sum(right) / len(right) > 0.8
    assert not list(teacher.glob("*.bin"))


def test_teacher_is_less_sure_of_foreign_text(teacher):
    world = shared_world(0)
    tokenizer = AutoTokenizer.from_pretrained(teacher)
    model = AutoModelForSequenceClassification.from_pretrained(teacher, dtype=torch.float32)

    def confidence(texts: list[str]) -> float:
        with torch.inference_mode():
            logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
        return float(logits.softmax(-1).amax(-1).mean())

    foreign = [text for domain, text in world.labelled_corpus(300, seed=3) if domain in ("sea", "kitchen", "school")]
    assert confidence(world.task("topic").test_texts[:100]) > confidence(foreign) + 0.1


def test_teacher_does_not_know_words_of_other_domains(teacher):
    tokenizer = AutoTokenizer.from_pretrained(teacher)
    ids = tokenizer("The lawyer, a goalkeeper")["input_ids"]
    cls, sep = (SPECIAL_TOKENS.index(token) for token in ("[CLS]", "[SEP]"))
    assert (ids[0], ids[-1], tokenizer.pad_token_id) == (cls, sep, 0)
    assert [token == UNKNOWN_ID for token in ids] == [False, False, False, False, False, True, False]


def test_hidden_words_are_words_only_and_in_a_share_of_texts():
    ids = torch.arange(20).expand(4000, 20)
    hidden = hide_words(ids, 0.5, torch.Generator().manual_seed(0))
    changed = hidden != ids
    assert (hidden[changed] == UNKNOWN_ID).all()
    assert not changed[:, : len(SPECIAL_TOKENS)].any()
    assert changed.any(1).float().mean() == pytest.approx(0.47, abs=0.03)  # a low rate may hide nothing
    assert changed[:, len(SPECIAL_TOKENS) :].float().mean() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(hide_words(ids, 0.0, torch.Generator().manual_seed(0)), ids)
