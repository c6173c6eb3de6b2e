"""Scores against counts by hand, sizes against a saved file, speed against models of known slowness."""

import math
import time

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from distill.common.errors import InputError
from distill.kinds.classes import SINGLE
from distill.student import Student
from eval.classifiers.kinds.classes import choices
from eval.classifiers.scoring import main_metric, score, score_predictions, size_and_speed
from eval.data.labelled import EvaluationData

LABELS = ["no", "yes"]
TEXTS = ["good film", "bad film", "good", "bad", "film"]


class FakeTeacher:
    """Answers class 1 to "good", class 0 to "bad", and nothing usable to anything else; may be slow."""

    kind = SINGLE

    def __init__(self, seconds_per_text=0.0):
        self.labels, self.queries, self.invalid, self.seconds, self.asked = LABELS, 0, 0, seconds_per_text, []

    def __call__(self, texts, text_pairs=None):
        self.queries += len(texts)
        self.asked.append(len(texts))
        time.sleep(self.seconds * len(texts))
        rows = {"good": [0.1, 0.9], "bad": [1.0, 0.0]}
        return torch.tensor([rows.get(text.split()[0], [math.nan, math.nan]) for text in texts]).log()


@pytest.fixture(scope="module")
def student():
    words = ["[PAD]", "[UNK]", "good", "bad", "film"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    config = BertConfig(vocab_size=5, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=16,
                        max_position_embeddings=32, num_labels=2)  # fmt: skip
    return Student(
        BertForSequenceClassification(config),
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"),
        torch.device("cpu"),
        LABELS,
        "bert:layers=1,hidden=8",
    )


def test_choices_take_minus_infinity_for_an_answer_and_nan_for_none():
    predictions = torch.tensor([[0.0, -torch.inf], [-torch.inf, 0.0], [math.nan, math.nan], [math.nan, 0.0]])
    assert choices(predictions) == [0, 1, -1, -1]


def test_the_metric_of_the_data_is_scored_too():
    labels = [1, 0, 0, 0, 1]
    data = EvaluationData(TEXTS, labels).compared_by("matthews_correlation")
    assert main_metric(data) == "matthews_correlation" and main_metric(EvaluationData(TEXTS, labels)) == "accuracy"
    answers = torch.tensor([[0.1, 0.9], [0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.9, 0.1]]).log()
    found = score_predictions(answers, data)
    assert found["matthews_correlation"] == pytest.approx(np.corrcoef(labels, [1, 0, 1, 0, 0])[0, 1])
    assert found.keys() == {"accuracy", "macro_f1", "matthews_correlation", "n"}
    always = score_predictions(torch.tensor([[0.1, 0.9]] * 5).log(), data)
    assert always["matthews_correlation"] == 0 and always["accuracy"] == 0.4
    assert "matthews_correlation" not in score_predictions(answers, EvaluationData(TEXTS, labels).compared_by("auto"))
    with pytest.raises(InputError, match="eval_metric is 'pearson', which a classifier of the kind 'single' does not have"):
        data.compared_by("pearson")


def test_a_teacher_is_scored_and_its_missing_answer_is_wrong():
    figures = score(FakeTeacher(), EvaluationData(TEXTS, [1, 0, 0, 0, 1]))
    # chosen: yes no yes no -; labels: yes no no no yes. F1(no) = 2*2/(2+3), F1(yes) = 2*1/(2+2)
    assert figures == {"accuracy": 0.6, "macro_f1": pytest.approx((0.8 + 0.5) / 2), "n": 5}


def test_a_student_is_scored_by_its_own_answers_and_against_the_teachers(student):
    teacher = FakeTeacher()
    data = EvaluationData(TEXTS, [1, 0, 1, 0, 1], teacher(TEXTS))
    chosen = student.answers(TEXTS).argmax(1).tolist()
    figures = score(student, data)
    assert figures["accuracy"] == sum(c == y for c, y in zip(chosen, data.labels, strict=True)) / 5
    assert figures["agreement"] == sum(c == y for c, y in zip(chosen[:4], [1, 0, 1, 0], strict=True)) / 4
    assert teacher.queries == 5  # the kept answers were used
    assert score(None, data) == score_predictions(data.teacher_log_probs, data)
    assert score(None, data)["accuracy"] == 0.8


def test_nothing_to_score_is_refused():
    with pytest.raises(ValueError, match="teacher_log_probs"):
        score(None, EvaluationData(["a"], [0]))
    with pytest.raises(ValueError, match="0 predictions for 0 labels"):
        score_predictions(torch.empty(0, 2), EvaluationData([], []))
    with pytest.raises(ValueError, match="at least one text"):
        size_and_speed({}, [])


def test_sizes_are_those_of_the_saved_weights(student, tmp_path):
    student.save(tmp_path / "student")
    saved = (tmp_path / "student" / "model.safetensors").stat().st_size
    figures = size_and_speed({"student": student, "teacher": FakeTeacher()}, TEXTS, rounds=1)
    assert figures["student"]["parameters"] == student.num_parameters()
    assert figures["student"]["bytes"] < saved < figures["student"]["bytes"] + 8192  # the file's header
    assert figures["teacher"]["parameters"] is None and figures["teacher"]["bytes"] is None
    assert figures["student"]["texts_per_second"] > 0


def test_pairs_reach_the_model_and_each_pass_is_reported():
    class PairTeacher(FakeTeacher):
        def __call__(self, texts, text_pairs=None):
            assert [text + "!" for text in texts] == text_pairs
            return super().__call__(texts)

    pairs = [text + "!" for text in TEXTS]
    assert score(PairTeacher(), EvaluationData(TEXTS, [1, 0, 1, 0, 1], text_pairs=pairs))["accuracy"] == 0.8
    passes = []
    figures = size_and_speed(
        {"a": PairTeacher(0.002)}, TEXTS, 1, text_pairs=pairs, rounds=2, limit=4, after_pass=lambda: passes.append(0)
    )
    assert len(passes) == 3
    assert 2 <= figures["a"]["milliseconds_per_call"] < 1000 / figures["a"]["texts_per_second"] + 20


def test_models_take_turns_and_speed_is_the_median():
    slow, fast = FakeTeacher(0.004), FakeTeacher(0.001)
    figures = size_and_speed({"slow": slow, "fast": fast}, ["good"] * 30, batch=8, rounds=3, limit=20)
    assert slow.asked == fast.asked == [8, 8, 4] * 4
    assert 150 < figures["slow"]["texts_per_second"] <= 250
    assert 2 < figures["fast"]["texts_per_second"] / figures["slow"]["texts_per_second"] < 5


def test_the_first_pass_is_not_counted():
    class Waking(FakeTeacher):
        def __call__(self, texts, text_pairs=None):
            if not self.queries:
                time.sleep(0.1)
            return super().__call__(texts)

    figures = size_and_speed({"a": Waking()}, TEXTS[:1], rounds=1)["a"]
    assert figures["milliseconds_per_call"] < 40 and figures["texts_per_second"] > 25
