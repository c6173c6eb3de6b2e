"""`--export` where students are made: of `distill` and `train`, and of what they finished before."""

import json
import shutil
from pathlib import Path

import pytest

from prompter.cli import main
from tests.prompter.deploying.conftest import some_texts
from tests.prompter.training.conftest import whole  # noqa: F401
from tests.prompter.training.runs import flags_of

SMALL = ["--student_updates", "10", "--student_batch_size", "8", "--measure_every", "10", "--device", "cpu", "--quiet"]


DONE = (0, 3)
"""A student of ten updates is worth nothing, and is written all the same."""


@pytest.mark.usefixtures("quick")
def test_distill_converts_each_student_at_the_end_or_later(
    teacher_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(some_texts(60)))
    line = ["distill", "--from", str(tmp_path / "texts.txt"), "--teacher", str(teacher_folder), "--held_out", "0.2", *SMALL]
    one = [*line, "--student", "bert:layers=1,hidden=16,heads=1", "--to", str(tmp_path / "one")]
    assert main(one) in DONE and not (tmp_path / "one" / "onnx").exists()
    capsys.readouterr()
    assert main([*one, "--export", "onnx"]) in DONE
    record = json.loads((tmp_path / "one" / "onnx" / "prompter_export.json").read_text())
    assert record["texts_from"].endswith("texts.txt") and "ms a text" in capsys.readouterr().out
    two = ["--student", "bert:layers=1,hidden=16,heads=1", "teacher-layers:0", "--to", str(tmp_path / "two")]
    assert main([*line, *two, "--export", "onnx"]) in DONE
    records = [json.loads(file.read_text()) for file in (tmp_path / "two").glob("*/onnx/prompter_export.json")]
    assert [record["texts_from"] for record in records] == ["texts of the run"] * 2
    assert "export" in json.loads((tmp_path / "two" / "summary.json").read_text())["config"]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_train_converts_the_student_of_a_finished_run(
    whole: Path,  # noqa: F811
    teacher_folder: Path,
    lm_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],  # noqa: F811
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    line = ["train", *flags_of(run, teacher_folder, lm_folder, {"export": "onnx"}), "--resume"]
    main(line)
    assert "ms a text" in capsys.readouterr().out
    record = json.loads((run / "student" / "onnx" / "prompter_export.json").read_text())
    assert record["texts_from"] == "texts of dataset"


def test_a_format_that_cannot_be_written_here_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from distill.portable import formats

    monkeypatch.setitem(formats.LIBRARIES, "onnx", {"no_such_library": "onnx"})
    assert main(["distill", "--from", "nothing.txt", "--to", str(tmp_path / "x"), "--export", "onnx"]) == 2
    assert "export names 'onnx', which needs no_such_library: pip install 'topic-prompter[onnx]'" in capsys.readouterr().err
