"""Where teacher and student differ: correct counts and order, no new queries, equal results for equal seeds."""

import json

import pytest
import torch

from distill.batch import SyntheticBatch
from distill.kinds.classes import SINGLE
from distill.kinds.labels import MULTI_LABEL
from distill.kinds.tokens import Tokens
from distill.replay import Replay
from eval.classifiers import disagreement
from eval.classifiers.disagreement import compare_predictions, disagreements
from eval.classifiers.kinds.words import of_given_words
from eval.data.labelled import EvaluationData

LABELS = ["a", "b"]


class FakeStudent:
    """Is sure of the class that a text begins with."""

    labels = LABELS
    kind = SINGLE

    def __init__(self):
        self.asked = []

    def answers(self, texts, text_pairs=None):
        self.asked += texts
        return predictions(*(0.8 if text.startswith("a") else 0.2 for text in texts))

    __call__ = answers


def predictions(*first):
    return torch.tensor([[p, 1 - p] for p in first]).log()


def replay_of(count, seed=0):
    replay = Replay(10_000, seed)
    texts = [f"{'ab'[number % 2]}{number}" for number in range(count)]
    targets = torch.full((count,), -1)
    replay.add(SyntheticBatch(texts, predictions(*[0.9] * count), targets, [""] * count, "prompted"), 0)
    return replay


def test_pairs_are_counted_and_texts_ordered_by_how_far_apart_the_answers_are():
    texts = ["alike", "unusable", "far", "near"]
    teacher = torch.cat([predictions(0.9), torch.full((1, 2), float("nan")), predictions(0.05, 0.55)])
    found = compare_predictions(texts, teacher, predictions(0.9, 0.5, 0.95, 0.45), LABELS, [0, 0, 1, 0])
    assert found["texts"] == 3
    assert found["pairs"] == [
        {"teacher": 0, "student": 0, "texts": 1},
        {"teacher": 0, "student": 1, "texts": 1},
        {"teacher": 1, "student": 0, "texts": 1},
    ]
    assert [(row["text"], row["distance"]) for row in found["apart"]] == [("far", 0.9), ("near", 0.1), ("alike", 0.0)]
    assert found["apart"][0] == {
        "text": "far", "distance": 0.9, "teacher": "b", "teacher_probability": 0.95, "student": "a",
        "student_probability": 0.95, "label": "b",
    }  # fmt: skip


def test_no_usable_answer_is_no_comparison():
    found = compare_predictions(["t"], torch.full((1, 2), float("nan")), predictions(0.5), LABELS)
    assert (found["texts"], found["pairs"], found["apart"]) == (0, [], [])


def test_evaluation_data_is_taken_where_the_teacher_has_answered_it():
    student, data = FakeStudent(), EvaluationData(["a1", "b1", "b2"], [0, 1, 1], predictions(0.9, 0.1, 0.7))
    found = disagreements(student, data, replay_of(5), 0)
    assert (found["source"], found["held"], found["texts"]) == ("evaluation", 3, 3)
    assert student.asked == data.texts
    assert found["apart"][0]["text"] == "b2" and found["apart"][0]["label"] == "b"
    assert disagreements(student, EvaluationData(["a1"], [0]), replay_of(5), 0)["source"] == "replay"


def test_else_texts_of_the_replay_are_drawn_by_the_seed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(disagreement, "MAX_DRAWN", 30)
    replay, student = replay_of(100), FakeStudent()
    state = torch.random.get_rng_state()
    found = disagreements(student, None, replay, 0)
    assert torch.equal(state, torch.random.get_rng_state())
    assert (found["source"], found["held"], found["texts"]) == ("replay", 100, 30)
    assert len(set(student.asked)) == 30 and {row["label"] for row in found["apart"]} == {None}
    assert found == disagreements(student, None, replay, 0) == json.loads(json.dumps(found))
    assert found != disagreements(student, None, replay, 1)
    # All of a small replay, whatever room the tensors behind it have.
    assert disagreements(student, None, replay_of(7), 0)["texts"] == 7


def test_the_agreement_of_several_labels_goes_by_what_is_given_not_by_the_likeliest():
    class Sure(FakeStudent):
        kind = MULTI_LABEL

        def __call__(self, texts, text_pairs=None):
            return torch.tensor([[2.0, 1.0, -1.0]]).repeat(len(texts), 1)

    teacher = torch.tensor([[1.0, 2.0, -1.0], [1.0, 2.0, -2.0]]).repeat(60, 1)  # the same labels, another likeliest one
    teacher[::4, 2] = 0.5
    truth = torch.zeros(120, 3).tolist()
    data = EvaluationData([f"t{row}" for row in range(120)], truth, teacher, kind="multi_label", names=["a", "b", "c"])
    student = Sure()
    student.labels = ["a", "b", "c"]
    found = disagreements(student, data, None, 0)
    assert found["agreement"]["agreement"] == pytest.approx(1 - 30 / 360) and found["agreement"]["compared"] == 360
    assert {(pair["teacher"], pair["student"]) for pair in found["pairs"]} == {(1, 0)}
    assert found["apart"][0]["teacher"] == "a, b, c" and found["apart"][0]["student"] == "a, b"
    assert "teacher_probability" not in found["apart"][0]


class Tagger:
    """Answers for its own words: "w", "'" and "s" are three."""

    labels = ["O", "B-a", "I-a"]
    kind = Tokens(("O", "B-a", "I-a"))

    def __call__(self, texts, text_pairs=None):
        assert texts == ["w's x"]
        chosen = torch.nn.functional.one_hot(torch.tensor([[1, 2, 0, 0]]), 3)
        return (5.0 * chosen).log_softmax(dim=2)


def test_taggers_are_compared_on_the_words_of_the_data():
    words = [["w's", "x"]]
    teacher = of_given_words(Tagger()(["w's x"]), words)
    data = EvaluationData(["w's x"], [[1, 0]], teacher, kind="tokens", names=Tagger.labels, words=words)
    found = disagreements(Tagger(), data, None, 0)
    assert [row["distance"] for row in found["apart"]] == [0.0] and found["texts"] == found["held"] == 1
    teacher[0, 1] = (5.0 * torch.tensor([0.0, 1.0, 0.0])).log_softmax(dim=0)
    assert disagreements(Tagger(), data, None, 0)["apart"][0]["distance"] > 0.3
