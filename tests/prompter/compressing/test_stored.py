"""What a compression stores is checked when it is read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distill.common.errors import InputError
from prompter.cli import main
from prompter.compressing.stored import read_plan, read_summary
from tests.prompter.compressing.compressions import run, summary_of

pytestmark = pytest.mark.usefixtures("quick")

SMALL = ("--budget", 400, "--export", "none", "--quiet")


@pytest.fixture
def finished(layered: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished compression; made once."""
    made = tmp_path_factory.getbasetemp() / "one_compression"
    if not made.exists():
        assert run(layered, made, *SMALL) in (0, 3)
    return Path(shutil.copytree(made, tmp_path / "small"))


def change(file: Path, *keys: Any, to: Any = None) -> None:
    """Set a value inside a JSON file, or remove its key."""
    content = json.loads(file.read_text())
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    if to is None:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = to
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda file: file.write_text("[]"), "holds something else than a JSON object"),
        (lambda file: file.write_text("{}"), "'plan' is missing, or is something else than an object"),
        (lambda file: change(file, "health"), "'health' is missing"),
        (lambda file: change(file, "health", "findings", to=[{"code": "H01"}]), "'health' holds something else"),
        (lambda file: change(file, "models", "student", "bytes", to="many"), "sizes for 'student'"),
        (lambda file: change(file, "agreement", "value", to="high"), "holds something else than a compression writes"),
        (lambda file: change(file, "real", to={"data": "x", "n": 3, "accuracy": "high"}), "than a compression writes"),
        (lambda file: change(file, "calibration", to={"a": 1}), "than a compression writes"),
        (lambda file: change(file, "plan", to={}), "than a compression writes"),
    ],
)
def test_a_summary_of_another_form_ends_in_one_line(
    finished: Path, layered: Path, damage: Callable[[Path], Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(finished / "summary.json")
    with pytest.raises(InputError, match=said):
        read_summary(finished)
    capsys.readouterr()
    assert run(layered, finished, *SMALL) == 2 == main(["report", str(finished)])
    assert capsys.readouterr().err.count("\n") == 2


@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda file: file.write_text("5"), "holds something else than a JSON object"),
        (lambda file: change(file, "teacher"), "'teacher' is missing"),
        (lambda file: change(file, "teacher", "zzz", to=1), "unexpected keyword argument 'zzz'"),
        (lambda file: change(file, "plan", to={}), "than a compression writes"),
        (lambda file: change(file, "seconds", "crafting", to=float("inf")), "than a compression writes"),
        (lambda file: change(file, "finished", to=[1]), "'finished' holds something else"),
        (lambda file: change(file, "finished", to={"../other": "x"}), "'finished' names '../other'"),
    ],
)
def test_so_does_a_plan(finished: Path, layered: Path, damage: Callable[[Path], Any], said: str) -> None:
    (finished / "summary.json").unlink()
    damage(finished / "plan.json")
    with pytest.raises(InputError, match=said):
        read_plan(finished)
    assert run(layered, finished, *SMALL) == 2


def test_a_finished_compression_without_its_student_is_no_success(
    finished: Path, layered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(finished / "summary.json", "programs", to={"onnx": {"bytes": 1, "milliseconds": 1.0}})
    assert run(layered, finished, *SMALL) == 2
    assert "onnx' has gone" in capsys.readouterr().err
    change(finished / "summary.json", "programs", to={})
    weights = finished / "student" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert run(layered, finished, *SMALL) == 2
    assert "model.safetensors is damaged" in capsys.readouterr().err
    weights.unlink()
    assert run(layered, finished, *SMALL) == 2
    assert "lacks its weights: put it back" in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_no_damage(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (finished / "report.html").unlink()
    (finished / "report.html").mkdir()
    assert main(["report", str(finished)]) == 2
    said = capsys.readouterr().err
    assert "report.html: cannot be written" in said and "damaged" not in said


def test_a_copy_names_its_own_places(finished: Path) -> None:
    assert "one_compression" in json.dumps(summary_of(finished)["next"])
    summary = read_summary(finished)
    assert str(finished) in summary["next"][0] and f"{finished}/student" in summary["written"]
    assert "one_compression" not in json.dumps([summary[key] for key in ("next", "written", "learnt")])
    assert main(["report", str(finished)]) == 0
    assert f"{finished}/student" in (finished / "report.html").read_text()
