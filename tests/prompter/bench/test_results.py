"""Tables of a suite."""

import numpy as np
import pytest

from prompter.bench.results import comparisons, markdown_tables


def test_means_and_deviations_are_numpys() -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"task": "t", "student": "s", "method": method, "budget": budget, "seed": seed, "text": "real", "n": 5, "updates": 1,
         "teacher_accuracy": 0.9, "seconds": 1.0, **dict.fromkeys(("accuracy", "agreement", "macro_f1"), float(rng.random()))}
        for method in ("real", "corpus") for budget in (1, 2) for seed in range(3)
    ]  # fmt: skip
    found = comparisons(rows)["t", "s"]
    for method, of in found.items():
        for budget, summary in of.items():
            values = [row["accuracy"] for row in rows if (row["method"], row["budget"]) == (method, budget)]
            assert summary.mean == pytest.approx(np.mean(values)) and summary.std == pytest.approx(np.std(values, ddof=1))
    assert list(found) == sorted(found, key=lambda name: -found[name][2].mean)
    assert markdown_tables("x", rows).count("\n| real |") == 1
