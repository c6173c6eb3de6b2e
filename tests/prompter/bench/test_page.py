"""The page of a suite."""

from prompter.bench.page import leading_sentence
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
