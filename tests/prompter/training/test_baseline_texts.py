"""Texts of the baselines: what they draw, and that the seed alone decides each draw."""

from collections import Counter
from typing import Any

import pytest
import torch

from distill.batch import SyntheticBatch
from distill.kinds.classes import SINGLE
from distill.kinds.tokens import Tokens
from distill.teachers.callable_teacher import CallableTeacher
from distill.teachers.prediction_cache import CachedTeacher
from prompter.generation.config import PolicyConfig, WriterConfig
from prompter.generation.writer import Writer
from prompter.pairs.second_texts import SecondTexts
from prompter.training.baseline_texts import (
    CLASS_PROMPTS,
    answered_batches,
    baseline_pairs,
    baseline_texts,
    draw_texts,
    most_confident,
    random_topics,
    random_words,
    screened_batches,
)
from tests.prompter.tiny import tiny_gpt2, word_tokenizer

SENTENCES = ["The tide came in before noon.", "Nobody had counted the boats there."]


def texts_of(name: str, count: int, seed: int = 0, **more: Any) -> tuple[list[str], list[str], torch.Tensor]:
    config = WriterConfig(writer_max_new_tokens=6, writer_min_new_tokens=2, writer_batch_size=4)
    inputs = {"labels": ["good", "bad"], "corpus": SENTENCES, "real": [f"real {i}" for i in range(50)], **more}
    return baseline_texts(name, count, writer=Writer(tiny_gpt2(), word_tokenizer(), config), seed=seed, **inputs)


@pytest.mark.parametrize("name", ["unprompted", "class-names", "random-topics", "random-words", "corpus", "real"])
def test_a_baseline_is_fixed_by_its_seed(name: str) -> None:
    texts, topics, targets = texts_of(name, 12)
    assert len(texts) == len(topics) == len(targets) == 12 and all(texts)
    assert texts == texts_of(name, 12)[0]
    assert texts != texts_of(name, 12, seed=1)[0]


def test_class_names_ask_for_each_class_with_each_prompt_alike() -> None:
    texts, topics, targets = texts_of("class-names", 2 * 2 * len(CLASS_PROMPTS))
    assert Counter(targets.tolist()) == {0: 8, 1: 8}
    assert set(Counter(topics).values()) == {2}
    for text, topic, label in zip(texts, topics, targets.tolist(), strict=True):
        name = ("good", "bad")[label]
        assert name in topic and name in text.split()


def test_random_topics_are_four_ordinary_tokens() -> None:
    writer = Writer(tiny_gpt2(), word_tokenizer(), WriterConfig())
    topics = random_topics(writer, 500, seed=0)
    words = Counter(word for topic in topics for word in topic.split())
    assert all(len(topic.split()) == 4 for topic in topics)
    ordinary = set(writer.tokenizer.get_vocab()) - set(writer.tokenizer.all_special_tokens)
    assert set(words) == ordinary
    text = texts_of("random-topics", 5)
    assert all(t.startswith(topic) for t, topic in zip(text[0], text[1], strict=True)) and text[1] == topics[:5]


def test_the_surest_of_each_class_are_selected() -> None:
    p = torch.tensor([0.9, 0.2, 0.6, 0.8, 0.1, 0.7, float("nan"), 0.95, 0.55])
    predictions = torch.stack([p, 1 - p], 1).log()
    batch = SyntheticBatch([f"text {i}" for i in range(9)], predictions, torch.full((9,), -1), [""] * 9, "selected-topics")
    assert most_confident(batch, 0.5).texts == ["text 0", "text 1", "text 4", "text 7"]
    assert most_confident(batch, 1.0).texts == ["text 0", "text 1", "text 3", "text 4", "text 5", "text 7"]


def test_the_surest_tagged_texts_are_those_of_the_surest_entities() -> None:
    """Answers about words have a dimension more; the surest text of a type is the one whose entity is surest."""
    sure = torch.tensor([0.6, 0.9, 0.7, 0.8])
    outside, entity = torch.tensor([0.98, 0.01, 0.01]), torch.stack([1 - sure - 0.01, sure, torch.full((4,), 0.01)], 1)
    answers = torch.stack([outside.expand(4, 3), entity], 1).log()
    names, kind = [f"text {i}" for i in range(4)], Tokens(("O", "B-a", "I-a"))
    batch = SyntheticBatch(names, answers, torch.full((4,), -1), [""] * 4, "selected-topics", kind=kind)
    assert most_confident(batch, 1.0).texts == ["text 1", "text 3"]


def test_other_baselines_ask_for_no_class() -> None:
    for name in ("unprompted", "random-words", "corpus", "real"):
        _, topics, targets = texts_of(name, 5)
        assert topics == [""] * 5 and (targets == -1).all()


def test_progress_tells_how_many_texts_there_are() -> None:
    seen: list[int] = []
    texts_of("unprompted", 10, progress=seen.append)
    assert seen == [4, 8, 10]


def test_a_draw_repeats_nothing_before_all_are_used() -> None:
    texts = [str(i) for i in range(7)]
    drawn = draw_texts(texts, 17, seed=3)
    assert sorted(drawn[:7]) == sorted(drawn[7:14]) == sorted(texts)
    assert drawn[:7] != drawn[7:14] and len(set(drawn[14:])) == 3


def test_random_words_keep_frequencies_and_lose_order() -> None:
    texts = random_words(["a a a b"], 2000, seed=0)
    lengths = {len(text.split()) for text in texts}
    counts = Counter(" ".join(texts).split())
    assert lengths == set(range(8, 31))
    assert counts["a"] / counts.total() == pytest.approx(0.75, abs=0.01)


def test_batches_carry_the_answers_in_order() -> None:
    class Lengths:
        kind = SINGLE
        labels = ["short", "long"]

        def __call__(self, texts: list[str]) -> torch.Tensor:
            p = torch.tensor([min(0.9, len(text) / 10) for text in texts])
            return torch.stack([1 - p, p], 1).log()

    texts = ["a" * n for n in range(1, 8)]
    teacher: Any = Lengths()
    batches = list(answered_batches(texts, [""] * 7, torch.full((7,), -1), teacher, "real", 3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    logits = torch.cat([batch.teacher_logits for batch in batches])
    assert torch.equal(logits, teacher(texts))
    assert [text for batch in batches for text in batch.texts] == texts


def second_texts() -> SecondTexts:
    config = WriterConfig(
        writer_max_new_tokens=6, writer_min_new_tokens=2, pair_max_new_tokens=4, pair_control="{text} {label}"
    )
    words = PolicyConfig(label_descriptions="{equivalent: good, not_equivalent: bad}")
    return SecondTexts(Writer(tiny_gpt2(), word_tokenizer(), config), ["equivalent", "not_equivalent"], words)


@pytest.mark.parametrize("name", ["unprompted", "class-names", "random-words", "corpus", "real"])
def test_second_texts_of_baselines(name: str) -> None:
    corpus, real = [f"w{i} w{i + 1} w{i + 2}" for i in range(20)], [f"real {i}" for i in range(50)]
    texts, _, targets = texts_of(name, 12, corpus=corpus, real=real)
    inputs = (second_texts(), corpus, [f"other {i}" for i in range(50)])
    pairs = baseline_pairs(name, texts, targets, *inputs, 0, 4)
    assert len(pairs) == 12 and all(pairs) and pairs == baseline_pairs(name, texts, targets, *inputs, 0, 4)
    if name == "real":  # the halves of a pair stay together
        assert [text.replace("real", "other") for text in texts] == pairs
    if name == "corpus":  # three words replaced, the sentence behind it, or any sentence
        behind = [corpus[(corpus.index(text) + 1) % 20] for text in texts]
        assert sum(pair == other for pair, other in zip(pairs, behind, strict=True)) >= 1
    if name == "class-names":  # written for the class
        assert pairs != baseline_pairs(name, texts, 1 - targets, *inputs, 0, 4)


def test_screened_texts_of_pairs_are_asked_about_as_pairs() -> None:
    made = second_texts()
    asked: list[tuple[list[str], list[str]]] = []

    def teacher(texts: list[str], pairs: list[str]) -> list[list[float]]:
        asked.append((texts, pairs))
        return [[0.25, 0.75]] * len(texts)

    model = CachedTeacher(CallableTeacher(teacher, ["equivalent", "not_equivalent"]), None, print)
    batches = list(screened_batches(made.writer, model, torch.arange(8) % 2, 3, 0, 4, made))
    assert [batch.text_pairs for batch in batches] == [pairs for _, pairs in asked] and len(asked) == 2
