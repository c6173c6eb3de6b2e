"""The page of a suite."""

from pathlib import Path

from prompter.bench.page import leading_sentence, write_page
from prompter.bench.results import Summary


def test_the_verdict_names_the_best_baseline() -> None:
    def at(accuracy: float) -> dict[int, Summary]:
        return {9: Summary([accuracy], [1.0], [1.0])}

    methods = {"prompted": at(0.8), "prompted-grpo": at(0.9), "corpus": at(0.82), "unprompted": at(0.7), "real": at(0.95)}
    assert leading_sentence(methods, "%") == (
        "With 9 teacher queries the prompted student reaches 80.0 %, 2.0 points below the best baseline (corpus, 82.0 %); "
        "real text gives 95.0 %."
    )
    assert leading_sentence({"real": at(1.0)}, "%") == ""


def test_the_page_says_what_each_table_holds_and_what_is_worth_nothing(tmp_path: Path) -> None:
    shared = {"student": "s", "method": "<b>", "budget": 1, "seed": 0, "text": "prompted", "n": 5, "updates": 1,
              "seconds": 1.0, "agreement": 0.7}  # fmt: skip
    rows = [
        shared | {"task": "sts", "metric": "pearson", "score": 0.4, "teacher_score": 0.89, "health": "H02 H03"},
        shared | {"task": "sst2", "metric": "accuracy", "score": 0.7, "teacher_score": 0.9, "health": ""},
        shared | {"task": "sst2", "seed": 1, "error": "<i>broken"},
    ]
    write_page("x", rows, tmp_path / "page.html")
    sts, sst2 = (tmp_path / "page.html").read_text().split("<h2>sst2, student s</h2>")
    assert "Pearson correlation times 100: mean" in sts and "Accuracy in percent" not in sts
    assert "Its teacher reaches 89.0 (Pearson correlation times 100) on 5 rows." in sts and "of 2 students" in sts
    assert "Accuracy in percent: mean" in sst2 and "Its teacher reaches 90.0 % on 5 rows." in sst2
    assert "seed 0: H02 no agreement, H03 few new texts" in sst2
    assert "<i>" not in sst2 and "<b>" not in sts + sst2
