"""Tags of words: entity F1 against entities counted by hand and against seqeval, on drawn texts too."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score

from eval.classifiers.kinds.tags import Tags
from eval.classifiers.measures import constant_answer, measure, pairs
from eval.classifiers.metrics.tags import EntityF1, TokenAccuracy
from eval.classifiers.scoring import score, score_predictions
from eval.data.labelled import EvaluationData

NAMES = ["O", "B-per", "I-per", "B-loc", "I-loc"]
BOTH = ["entity_f1", "token_accuracy"]


def data(labels, teacher=None):
    words = [["w"] * len(row) for row in labels]
    texts = [" ".join(row) for row in words]
    return EvaluationData(texts, labels, teacher, kind="tokens", names=NAMES, words=words)


def answers(tags, sure=4.0):
    """Answers that choose these tags."""
    longest = max(map(len, tags))
    found = torch.zeros(len(tags), longest, len(NAMES))
    for row, chosen in enumerate(tags):
        for word, tag in enumerate(chosen):
            found[row, word] = (sure * torch.nn.functional.one_hot(torch.tensor(tag), len(NAMES))).log_softmax(0)
    return found


def sample(texts, seed=0, wrong=0.3):
    random = np.random.default_rng(seed)
    true = [random.integers(0, len(NAMES), random.integers(1, 7)).tolist() for _ in range(texts)]
    return true, [[tag if random.random() > wrong else int(random.integers(0, 5)) for tag in row] for row in true]


def test_an_entity_counts_if_type_begin_and_end_are_right():
    true = [["B-per", "I-per", "O", "B-loc"], ["O", "B-loc", "I-loc"]]
    given = [["B-per", "I-per", "O", "B-per"], ["O", "B-loc", "O"]]  # right; wrong type; wrong end
    assert EntityF1().compute(predictions=given, references=true)["entity_f1"] == pytest.approx(2 * 1 / (3 + 3))
    assert TokenAccuracy().compute(predictions=given, references=true)["token_accuracy"] == pytest.approx(5 / 7)
    assert EntityF1().compute(predictions=[["I-per", "I-per"]], references=[["B-per", "I-per"]])["entity_f1"] == 1.0
    assert EntityF1().compute(predictions=[["O"]], references=[["O"]])["entity_f1"] == 0.0


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 25), st.integers(0, 10**6))
def test_tallies_equal_the_metrics_on_any_draw(texts, seed):
    true, chosen = sample(texts, seed)
    drawn = np.random.default_rng(seed).integers(texts, size=texts)
    named = [[[NAMES[tag] for tag in rows[row]] for row in drawn] for rows in (true, chosen)]
    words = [(t, c) for row in drawn for t, c in zip(true[row], chosen[row], strict=True)]
    expected = {"entity_f1": f1_score(*named, zero_division=0), "token_accuracy": np.mean([t == c for t, c in words])}
    for name, tally in Tags().tallies(answers(chosen), data(true), BOTH).items():
        assert tally.finish(tally.sums(drawn[None]))[0] == pytest.approx(expected[name], abs=1e-12), name


def test_words_and_texts_without_an_answer_are_outside_of_entities():
    true = [[1, 2, 0], [3, 0]]
    given = answers([[1, 2, 0], [3, 0]])
    given[0, 1] = 0.0  # not read
    assert score(None, data(true, given)) == {"entity_f1": 0.5, "token_accuracy": 0.8, "n": 2}
    given[1] = math.nan
    assert score(None, data(true, given)) == {"entity_f1": 0.0, "token_accuracy": 0.6, "n": 2}


def test_a_student_is_compared_with_its_teacher_word_by_word():
    true, taught = sample(60, 3, 0.1)
    _, learnt = sample(60, 3, 0.5)
    student, teacher = answers(learnt, 2.0), answers(taught)
    teacher[0], student[1, 0] = math.nan, 0.0
    found = measure(student, data(true), BOTH, teacher)
    same, divergences = [], []
    for row in range(1, 60):
        for word in range(len(true[row])):
            p, q = student[row, word].double().exp(), teacher[row, word].double().exp()
            mine = NAMES.index("O") if (row, word) == (1, 0) else learnt[row][word]
            same.append(mine == taught[row][word])
            if (row, word) != (1, 0):
                divergences.append(float((q * (q / p).log()).sum()))
    assert found["agreement"]["value"] == pytest.approx(np.mean(same))
    assert found["kl"]["value"] == pytest.approx(np.mean(divergences))
    assert list(found) == [*BOTH, "agreement", "kl", "retention"]
    for name, figure in found.items():
        assert figure["low"] < figure["value"] < figure["high"], name
    (test,) = pairs({"a": student, "b": teacher}, data(true), "entity_f1")
    assert test["low"] < test["difference"] < test["high"] < 0


def test_no_entity_is_what_can_be_had_without_reading():
    found = constant_answer(data([[1, 2, 0, 0], [0]]), BOTH)
    assert found == {"answer": "always O", "metrics": {"entity_f1": 0.0, "token_accuracy": pytest.approx(3 / 5)}}


def test_other_formats_are_scored_like_iob():
    true, chosen = [["U-per", "B-loc", "L-loc", "O"]], [["U-per", "B-loc", "I-loc", "L-loc"]]
    names = ["O", *(f"{place}-{kind}" for kind in ("per", "loc") for place in "BILU")]
    rows = EvaluationData(
        ["a b c d"], [[names.index(tag) for tag in true[0]]], kind="tokens", names=names, words=[list("abcd")]
    )
    given = torch.eye(len(names))[[names.index(tag) for tag in chosen[0]]][None].mul(9).log_softmax(-1)
    assert score_predictions(given, rows) == {"entity_f1": pytest.approx(0.5), "token_accuracy": pytest.approx(0.5), "n": 1}


def test_without_an_outside_each_word_counts_and_the_most_frequent_tag_is_what_costs_nothing():
    names = ["NOUN", "VERB", "DET"]
    rows = EvaluationData(["a b c d"], [[2, 0, 1, 0]], kind="tokens", names=names, words=[list("abcd")])
    given = torch.eye(3)[[2, 0, 0, 0]][None].mul(9).log_softmax(-1)
    given[0, 3] = 0.0  # no answer for the last word
    assert score_predictions(given, rows) == {"entity_f1": pytest.approx(4 / 7), "token_accuracy": pytest.approx(0.5), "n": 1}
    assert Tags().constant(rows) == ("always NOUN", [["S-NOUN"] * 4])
