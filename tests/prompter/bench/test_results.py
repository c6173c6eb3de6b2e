"""Tables of a suite."""

import numpy as np
import pytest

from prompter.bench.results import comparisons, markdown_tables


def test_means_and_deviations_are_numpys() -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"task": "t", "student": "s", "method": method, "budget": budget, "seed": seed, "text": "real", "n": 5, "updates": 1,
         "teacher_score": 0.9, "seconds": 1.0, "metric": "accuracy",
         **dict.fromkeys(("accuracy", "score", "agreement", "macro_f1"), float(rng.random()))}
        for method in ("real", "corpus") for budget in (1, 2) for seed in range(3)
    ]  # fmt: skip
    found = comparisons(rows)["t", "s"]
    for method, of in found.items():
        for budget, summary in of.items():
            values = [row["accuracy"] for row in rows if (row["method"], row["budget"]) == (method, budget)]
            assert summary.mean == pytest.approx(np.mean(values)) and summary.std == pytest.approx(np.std(values, ddof=1))
    assert list(found) == sorted(found, key=lambda name: -found[name][2].mean)
    assert markdown_tables("x", rows).count("\n| real |") == 1
    assert "Accuracy in percent" in markdown_tables("x", rows) and "Matthews" not in markdown_tables("x", rows)


def test_another_metric_is_named_where_a_task_has_one() -> None:
    shared = {"student": "s", "budget": 1, "seed": 0, "text": "real", "n": 5, "updates": 1, "seconds": 1.0, "accuracy": 0.7,
              "agreement": 0.7, "macro_f1": 0.4, "method": "real"}  # fmt: skip
    rows = [
        shared | {"task": "cola", "metric": "matthews_correlation", "score": 0.412, "teacher_score": 0.5},
        shared | {"task": "sst2", "metric": "accuracy", "score": 0.7, "teacher_score": 0.9},
        shared | {"task": "cola", "seed": 1, "error": "broken"},
    ]
    page = markdown_tables("x", rows)
    assert "The task's metric (accuracy where no other is named) times 100 on real" in page
    assert "Teacher 50.0 (Matthews correlation times 100) on 5 rows" in page and "Teacher 90.0 on 5 rows" in page
    assert "| real | real text | 41.2 ± 0.0 (1) |" in page
    assert "| 70.0 | 70.0 | 40.0 | Matthews correlation 41.2 |" in page and "| 70.0 | 70.0 | 40.0 | accuracy 70.0 |" in page


def test_names_are_no_markup_and_worthless_students_are_named() -> None:
    row = {"student": "a|b", "task": "x|<b>y", "method": "m|*n*", "budget": 1, "seed": 0, "text": "prompted", "n": 5,
           "updates": 1, "seconds": 1.0, "agreement": 0.7, "accuracy": 0.5, "macro_f1": 0.4, "metric": "accuracy",
           "score": 0.5, "teacher_score": 0.9, "health": "H02"}  # fmt: skip
    page = markdown_tables("x", [row, row | {"seed": 1, "error": "<i>"}])
    for line in page.splitlines():
        if line.startswith("| x") or line.startswith("| m"):
            columns = line.replace("\\|", "").count("|") - 1
            assert columns == (5 if line.startswith("| m") else 8)
    assert "| m\\|\\*n\\* | language model | 50.0 ± 0.0 (1) |" in page and "## x\\|\\<b>y, student `a\\|b`" in page
    assert "- x\\|\\<b>y, `a\\|b`, m\\|\\*n\\*, 1 queries, seed 0: H02 no agreement" in page and ": \\<i>" in page
    assert "found wrong" not in markdown_tables("x", [row | {"health": ""}, row | {"health": None}])
