"""The judgements of `eval.classifiers.health`, and the page that explains them."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from distill.batch import SyntheticBatch
from distill.held_out import cohen_kappa
from distill.kinds.labels import MULTI_LABEL
from distill.kinds.scores import Score
from distill.kinds.tokens import Tokens
from eval.classifiers import agreement, health

LABELS = ["no", "yes"]
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "when-a-run-fails.md"


def batch(probabilities: list[list[float]], texts: list[str] | None = None, topics: list[str] | None = None) -> SyntheticBatch:
    rows = len(probabilities)
    return SyntheticBatch(
        texts or [f"text {i}" for i in range(rows)],
        torch.tensor(probabilities, dtype=torch.float32).log(),
        torch.full((rows,), -1),
        topics or [""] * rows,
        "prompted",
    )


def looks(count: int, share: float, right: float = 0.9, **changes: Any) -> list[dict[str, Any]]:
    """Rounds of 100 texts whose teacher answers "yes" for a share, and whose student is right for another share of each."""
    yes = round(100 * share)
    hits = [round(right * n) for n in (100 - yes, yes)]
    students = [hits[0] + yes - hits[1], hits[1] + 100 - yes - hits[0]]
    row = {
        "texts": 100, "usable": 100, "new": 100, "classes": [100 - yes, yes], "mean": [1 - share, share], "topics": 0.9,
        "square": 1.0, "student_classes": students, "same": sum(hits),
    }  # fmt: skip
    return [row | changes for _ in range(count)]


def codes(rows: list[dict[str, Any]], agreements: dict[str, Any] | None = None) -> list[str]:
    return [found["code"] for found in health.findings(rows, LABELS, agreements)]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    one, other = zip(*pairs, strict=True)
    counts = [np.bincount(chosen, minlength=4).tolist() for chosen in (one, other)]
    expected = cohen_kappa_score(one, other, labels=range(4)) if len({*one, *other}) > 1 else 0.0
    assert cohen_kappa(sum(a == b for a, b in pairs), *counts) == pytest.approx(expected)


def test_a_round_without_a_word_compares_nothing() -> None:
    nothing, kind = torch.zeros(2, 1, 3), Tokens(("O", "B-a", "I-a"))
    empty = SyntheticBatch(["", ""], nothing, torch.full((2,), -1), ["", ""], "prompted", kind=kind)
    found = health.pooled([health.look(empty, [], nothing)])
    assert found["texts"] == 2 and "agreement" not in found


def tagged(tags: list[list[int]]) -> SyntheticBatch:
    """Texts whose words have tags without an O, each with 94 %."""
    told = (torch.eye(4)[torch.tensor(tags)] * 0.92 + 0.02).log()
    texts = [f"text {number}" for number in range(len(tags))]
    kind = Tokens(("0", ".", ",", "?"))
    return SyntheticBatch(texts, told, torch.full((len(tags),), -1), [""] * len(tags), "prompted", kind=kind)


def test_a_frequent_tag_is_no_one_class_where_texts_hold_others_too() -> None:
    """A restorer of punctuation says of nine words of ten that no mark follows, and its marks end the texts."""
    marked = tagged([[0, 0, 0, 2, 0, 0, 0, 0, 0, mark] for mark in [1, 1, 1, 3] for _ in range(150)])
    rows = [health.look(marked, [], marked.teacher_logits)] * 10
    assert rows[0]["classes"] == [600, 450, 600, 150]
    names = list(marked.kind.targets(["0", ".", ",", "?"]))
    assert health.findings(rows, names) == []
    assert health.agreement_found(rows)["majority"] == pytest.approx(0.8)
    assert health.agreement_found(rows)["on"] == "decisions about the newest texts"
    nothing = tagged([[0] * 10] * 590 + [[0, 1] * 5] * 10)
    (found,) = health.findings([health.look(nothing, [])] * 3, names)[:1]
    assert found["code"] == "H01" and found["words"] == "The teacher answers '0' for 98.3% of 600 texts."


@given(st.lists(st.floats(0.01, 0.99), min_size=4, max_size=40), st.integers(1, 3))
def test_batches_pool_to_what_one_batch_has(values: list[float], cut: int) -> None:
    rows = [[value, 1 - value] for value in values]
    whole = health.pooled([health.look(batch(rows), [])])
    parts = health.pooled([health.look(batch(rows[:cut]), []), health.look(batch(rows[cut:]), [])])
    assert whole["classes"] == parts["classes"]
    assert whole["spread"] == pytest.approx(np.std(values), abs=0.01) == pytest.approx(parts["spread"], abs=0.02)


def test_a_look_counts_answers_texts_and_the_student() -> None:
    seen = batch(
        [[0.9, 0.1], [0.2, 0.8], [float("nan")] * 2, [0.3, 0.7]], ["old", "new", "bad", "new"], ["one", "two", "one", "two"]
    )
    student = torch.tensor([[0.6, 0.4], [0.6, 0.4], [0.6, 0.4], [0.1, 0.9]]).log()
    found = health.look(seen, [{("old", None)}], student)
    expected = {"texts": 4, "usable": 3, "new": 2, "classes": [1, 2], "topics": 0.5, "student_classes": [2, 1], "same": 2}
    assert {key: found[key] for key in expected} == expected


def test_a_sound_run_has_no_finding() -> None:
    good = {"prompted": {"kappa": 0.8, "agreement": 0.9, "majority": 0.5, "compared": 400, "on": "evaluation texts"}}
    assert codes(looks(20, 0.5), good) == []
    assert codes(looks(20, 0.8), good) == []


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (looks(3, 0.95), "H01"),
        (looks(3, 0.5, new=30), "H03"),
        (looks(3, 0.5, usable=80, classes=[40, 40]), "H04"),
        (looks(3, 0.5, mean=[0.5, 0.5], square=0.5), "H05"),
        (looks(3, 0.5, topics=0.05), "H08"),
    ],
)
def test_each_fault_of_teacher_or_texts_is_found(rows: list[dict[str, Any]], code: str) -> None:
    assert code in codes(rows)


def test_a_class_that_never_comes_is_named() -> None:
    row = {"texts": 100, "usable": 100, "new": 100, "classes": [50, 50, 0], "mean": [0.5, 0.5, 0], "square": 1.0}
    (found,) = health.findings([row] * 20, ["a", "b", "c"])
    assert found["code"] == "H07" and "'c'" in found["words"]


def test_a_student_that_always_gives_the_most_frequent_answer_is_worthless() -> None:
    rows = looks(8, 0.85, student_classes=[0, 100], same=85)
    found = health.agreement_found(rows)
    assert found["agreement"] == 0.85 and found["kappa"] == 0
    assert codes(rows, {"prompted": found}) == ["H02"]
    assert health.health(rows, LABELS, {"prompted": found})["codes"] == ["H02"]


def test_agreement_that_stays_low_is_found_and_a_late_start_is_not() -> None:
    low = {"prompted": {"kappa": 0.3, "agreement": 0.65, "majority": 0.5, "compared": 400, "on": "held-out texts"}}
    assert codes(looks(20, 0.5, right=0.62), low) == ["H06"]
    assert codes(looks(10, 0.5, right=0.55) + looks(10, 0.5, right=0.66), low) == []


def test_few_texts_are_not_judged() -> None:
    assert codes(looks(1, 1.0, texts=40, usable=40, classes=[0, 40]), {"prompted": {}}) == []
    assert agreement.agreement_of(agreement.REAL, 40, [20, 20], [20, 20]) == {}
    assert agreement.agreement_of(agreement.REAL, 160, [160, 0], [160, 0]) == {}  # one class says nothing about a student
    assert health.agreement_found(looks(1, 0.5)) == {}


def test_an_agreement_about_words_or_labels_does_not_call_them_texts() -> None:
    words = tagged([[0, 1, 2, 3]] * 50)
    found = agreement.compared(agreement.REAL, words.teacher_logits, words.teacher_logits, kind=words.kind)
    assert (found["compared"], found["on"]) == (200, "words of evaluation texts")
    given = torch.tensor([[2.0, -2.0, 2.0], [-2.0, 2.0, 2.0]] * 25)
    found = agreement.compared(agreement.REAL, given, given, kind=MULTI_LABEL)
    assert (found["compared"], found["on"]) == (150, "labels of evaluation texts")
    assert agreement.compared(agreement.REAL, given.repeat(2, 1), given.repeat(2, 1))["on"] == "evaluation texts"


def test_the_pilot_is_over_with_the_round_that_reaches_it() -> None:
    assert health.pilot(looks(2, 0.5)) is None
    assert health.pilot(looks(5, 0.5)) == looks(3, 0.5)


def test_texts_without_a_label_are_named_after_the_pilot() -> None:
    answers = torch.tensor([[-3.0, -3.0]] * 6 + [[3.0, -3.0]] * 4)
    rows = [f"text {i}" for i in range(10)]
    made = SyntheticBatch(rows, answers, torch.full((10,), -1), [""] * 10, "x", kind=MULTI_LABEL)
    seen = [health.look(made, []) | {"texts": 256, "asked": 256}]
    assert "the teacher answers no label (at least 60%), a 40%" in health.pilot_passed(seen, ["a", "b"])


def test_the_page_has_every_code_and_no_other() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"\bH\d\d\b", text)) == set(health.CODES)
    headings = dict(re.findall(r"^### (H\d\d), (.+)$", text, re.MULTILINE))
    assert headings == {code: about.name for code, about in health.CODES.items()}
    rows = dict(re.findall(r"^\| \[(H\d\d)\]\((#[^)]+)\) \|", text, re.MULTILINE))
    assert rows == {code: f"#{code.lower()}-{about.name.replace(' ', '-')}" for code, about in health.CODES.items()}


def test_the_thresholds_on_the_page_are_those_of_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert f"{health.PILOT} queries" in text and f"Fewer than {agreement.MIN_TEXTS} texts" in text
    assert (health.ONE_CLASS, agreement.WORTHLESS_KAPPA, health.SPREAD, health.LEARNING_KAPPA) == (0.9, 0.2, 0.05, 0.4)
    for words in ("90 % of", "below .2", "spread below .05", "below .4"):
        assert words in text


@pytest.mark.parametrize("kind", [MULTI_LABEL, Score(0.0, 1.0)])
def test_other_kinds_are_looked_at_by_their_groups_and_decisions(kind: Any) -> None:
    columns = 1 if isinstance(kind, Score) else 3
    teacher = torch.rand(40, columns, generator=torch.Generator().manual_seed(0))
    answers = teacher if isinstance(kind, Score) else (teacher * 8 - 4)
    of_kind = SyntheticBatch([str(i) for i in range(40)], answers, torch.full((40,), -1), [""] * 40, "prompted", kind=kind)
    found = health.pooled([health.look(of_kind, [], answers), health.look(of_kind, [], -answers)])
    shares = [1.0] if isinstance(kind, Score) else kind.decisions(answers).double().mean(dim=0).tolist()
    assert len(found["classes"]) == kind.groups(columns) and sum(found["classes"]) == pytest.approx(sum(shares))
    decided = kind.decisions(answers).numel()
    assert found["compared"] == 2 * decided and found["agreement"] < 1
    assert health.pooled([health.look(of_kind, [], answers)])["kappa"] == pytest.approx(1)
    assert found["spread"] > health.SPREAD


@pytest.mark.parametrize(
    ("given", "share", "said"),
    [
        (lambda i: [i % 2], 0.5, None),  # one label, as often given as not
        (lambda i: [1], 1.0, "answers 'toxic' for 100.0%"),
        (lambda i: [i % 20 == 0], 0.05, "answers no label for 95.0%"),
        (lambda i: [1, i % 2], 1.0, None),  # the likeliest label is always the same, the answers are not
        (lambda i: [1, 1, 0], 1.0, "answers 'toxic' and 'rude' for 100.0%"),
        (lambda i: [i % 10 == k for k in range(10)], 0.1, None),  # each label is rare, no answer is frequent
    ],
)
def test_of_several_labels_the_sets_that_are_given_count(given: Any, share: float, said: str | None) -> None:
    answers = torch.tensor([given(i) for i in range(200)]).float() * 6 - 3
    answers[:, 0] += 1  # so that the first is the likeliest of those that are given
    labels = ["toxic", "rude", *map(str, range(8))][: answers.shape[1]]
    texts, none = [str(i) for i in range(50)], torch.full((50,), -1)
    parts = [SyntheticBatch(texts, part, none, [""] * 50, "prompted", kind=MULTI_LABEL) for part in answers.split(50)]
    rows = [health.look(part, []) for part in parts]
    assert health.pooled(rows)["classes"][0] == pytest.approx(share)
    words = {found["code"]: found["words"] for found in health.findings(rows, labels)}
    assert ("H01" in words) == (said is not None) and (said or "") in words.get("H01", "")
    json.dumps(rows)  # they are written to the log of a run
