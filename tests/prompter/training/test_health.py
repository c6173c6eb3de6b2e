"""What a run says about its own health: the pilot, the codes, the exit status; a sound run says nothing."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prompter.cli import main
from tests.prompter.training.acceptability import LABELS
from tests.prompter.training.runs import assert_same

TEACHERS = "tests.prompter.training.acceptability"


@pytest.fixture
def flags(arguments: Any, lm_folder: Path) -> Callable[..., list[str]]:
    """Flags of a small run with one of these teachers."""
    return functools.partial(_flags, arguments, tokenizer=lm_folder)


def _flags(arguments: Any, folder: str, teacher: str, **changes: object) -> list[str]:
    fixed = {"teacher": f"{TEACHERS}:{teacher}", "teacher_labels": LABELS, "student_tokenizer": changes.pop("tokenizer")}
    switches = [] if changes.pop("pilot", True) else ["--no_pilot"]
    return ["train", *arguments(folder, rollout_size=128, minibatch_size=64, **fixed, **changes), *switches]


def codes(run: Path) -> list[str]:
    return json.loads((run / "summary.json").read_text())["health"]["codes"]


def test_a_teacher_that_knows_one_answer_stops_the_run_within_300_queries(
    flags, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call, run = flags("stopped", "acceptability", budget=512), tmp_path / "stopped"
    assert main(call) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "'acceptable' for 9" in said and "H01" in said and "--no_pilot" in said and "use a generator" in said
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["queries"] == 256
    assert not (run / "summary.json").exists()
    report = (run / "report.html").read_text()
    assert "H01, one class" in report and "use a generator" in report
    assert main([*call, "--resume"]) == 3  # the same verdict, without a further query
    assert len((run / "metrics.jsonl").read_text().splitlines()) == len(rows)

    assert main([*call, "--resume", "--no_pilot"]) == 3  # to the end, and worthless
    assert {"H01", "H02"} <= set(codes(run))
    summary = json.loads((run / "summary.json").read_text())
    assert summary["teacher_queries"] == 512 and summary["health"]["agreement"]["prompted"]["kappa"] < 0.2
    for name in ("report.html", "prompter/README.md", "dataset/README.md"):
        text = (run / name).read_text()
        assert all(code in text for code in codes(run)) and "Do not use this student" in text, name
    assert (run / "student" / "model.safetensors").is_file() and (run / "dataset" / "recipe.yaml").is_file()

    assert main(flags("whole", "acceptability", budget=512, pilot=False)) == 3
    assert_same(run, tmp_path / "whole")  # nothing of the pilot was lost


def test_a_head_without_training_is_warned_about(flags, tmp_path: Path) -> None:
    main(flags("untrained", "untrained", budget=256))
    assert "H05" in codes(tmp_path / "untrained")


def test_a_student_that_cannot_learn_is_worthless_but_complete(flags, tmp_path: Path) -> None:
    assert main(flags("coin", "coin", budget=512)) == 3
    assert "H02" in codes(tmp_path / "coin") and "H01" not in codes(tmp_path / "coin")
    assert (tmp_path / "coin" / "report.html").is_file()


def test_a_small_budget_is_not_judged_and_not_stopped(flags, tmp_path: Path) -> None:
    assert main(flags("small", "coin", budget=128)) == 0
    assert codes(tmp_path / "small") == []


def test_the_pilot_may_differ_when_a_run_goes_on(flags, tmp_path: Path) -> None:
    call = flags("run", "coin", budget=128)
    assert main(call) == 0
    assert main([*call, "--resume", "--no_pilot"]) == 0
