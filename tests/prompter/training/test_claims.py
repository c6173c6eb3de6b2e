"""What each method claims to bring, as a figure on the embedded toy task, at equal queries and updates.

The claim of as-dfd, which makes no text, is tested in tests/distill/methods/test_as_dfd.py.
"""

import json
from pathlib import Path

import pandas
import pytest
import yaml

from eval.toy.files import toy_path
from prompter.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # the toy world's models are trained first

SUITE = Path(__file__).parents[3] / "configs" / "bench" / "toy.yaml"


def accuracies(folder: Path, methods: list[str], budget: int, updates: int) -> dict[str, float]:
    """Mean accuracy of the toy suite's student over seeds 0 to 2, by method."""
    suite = yaml.safe_load(SUITE.read_text(encoding="utf-8"))
    del suite["more"]
    suite |= {"methods": methods, "budgets": [budget], "seeds": [0, 1, 2]}
    suite["settings"]["student_updates"] = updates
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite), encoding="utf-8")
    assert main(["bench", "--suite", str(folder / "suite.yaml"), "--to", str(folder / "out"), "--quiet"]) == 0
    frame = pandas.read_parquet(folder / "out" / "results.parquet")
    return frame.groupby("method").accuracy.mean().to_dict()


def test_prompted_text_teaches_more_than_the_same_writer_unprompted(tmp_path: Path) -> None:
    found = accuracies(tmp_path, ["prompted", "unprompted", "class-names"], 2000, 300)
    assert found["prompted"] > found["unprompted"] + 0.05 > found["class-names"] + 0.05, found


def test_adversarial_filling_teaches_more_than_the_plain_corpus(tmp_path: Path) -> None:
    found = accuracies(tmp_path, ["zero-shot", "corpus"], 6000, 500)
    assert found["zero-shot"] > found["corpus"] + 0.01, found


def test_rewritten_text_teaches_students_that_the_rewriter_never_met(tmp_path: Path) -> None:
    def taught(name: str, *flags: str) -> float:
        """Mean accuracy of three students that learnt from the same texts."""
        student = "--student bert:layers=1,hidden=64,heads=2 --student_updates 300 --held_out 0 --select last"
        found = []
        for seed in ("0", "1", "2"):
            to = tmp_path / name / seed
            measured = ["--eval_data", "toy:sentiment", "--seed", seed, "--to", str(to), "--quiet"]
            assert main(["distill", *flags, *student.split(), *measured]) == 0
            (figures,) = json.loads((to / "summary.json").read_text())["students"].values()
            found.append(figures["accuracy"])
        return sum(found) / 3

    t3, data, plain = str(tmp_path / "t3"), str(tmp_path / "data"), tmp_path / "corpus.txt"
    config = str(SUITE.parents[1] / "toy" / "t3.yaml")
    assert main(["distill", "--config", config, "--budget", "3000", "--student_updates", "300", "--to", t3, "--quiet"]) == 0
    assert main(["export", t3, "--rows", "3000", "--to", data, "--quiet"]) == 0
    plain.write_text("\n".join(toy_path("toy", "corpus").read_text(encoding="utf-8").splitlines()[:3000]), encoding="utf-8")
    rewritten = taught("rewritten", "--from", data)
    untouched = taught("untouched", "--from", str(plain), "--teacher", "toy:sentiment", "--budget", "3000")
    assert rewritten > untouched + 0.03, (rewritten, untouched)
