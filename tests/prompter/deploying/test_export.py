"""`prompter export-student`: programs that are the student, or nothing at all."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from distill.common.errors import InputError
from distill.portable.exported import ExportedClassifier
from distill.portable.formats import FORMATS, program_name
from prompter import export_student
from prompter.cli import main
from prompter.deploying import checking, conversion, export
from prompter.deploying.export import export_new, open_student
from prompter.runtime.console import Console
from tests.prompter.deploying.conftest import some_texts

EXAMPLES = Path(__file__).parents[3] / "examples"


def reference(folder: Path, texts: list[str]) -> np.ndarray:
    """Logits of transformers itself, text by text."""
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        encoded = [tokenizer(text, truncation=True, max_length=12, return_tensors="pt") for text in texts]
        return np.stack([model(input_ids=row["input_ids"]).logits[0] for row in encoded])


@pytest.mark.parametrize("kind", FORMATS)
def test_a_program_gives_the_students_logits_at_every_length(student_folder: Path, exported: Path, kind: str) -> None:
    program = ExportedClassifier(exported / kind)
    texts = [*some_texts(50), "good " * 40]
    expected = reference(student_folder, texts)
    scale = np.abs(expected).max()
    close = 0.05 * scale if kind == "onnx-int8" else 1e-5 * scale
    np.testing.assert_allclose(program.logits(texts), expected, atol=close)
    np.testing.assert_allclose(np.concatenate([program.logits([text]) for text in texts]), expected, atol=close)
    assert program.labels == ["good", "bad"] and program.reads == 12


@pytest.mark.parametrize("kind", FORMATS)
def test_the_record_says_how_it_was_checked(exported: Path, kind: str) -> None:
    record = json.loads((exported / kind / "prompter_export.json").read_text())
    assert record["agreement"] >= 0.99 and record["texts"] == 120 and record["texts_from"].endswith("texts.txt")
    assert record["largest_logit_difference"] < (2.0 if kind == "onnx-int8" else 1e-3)
    assert record["times_faster"] == pytest.approx(record["milliseconds_pytorch"] / record["milliseconds"], rel=0.1)
    assert record["bytes"] >= (exported / kind / program_name(kind)).stat().st_size and record["max_length"] == 12
    assert {"prompter", "torch", "transformers"} < set(record["versions"])


def test_no_file_names_a_path_of_this_machine(exported: Path) -> None:
    for file in exported.rglob("*"):
        if file.is_file() and file.name != "prompter_export.json":
            content = file.read_bytes()
            assert b"site-packages" not in content and str(Path.cwd()).encode() not in content, file


@pytest.mark.usefixtures("quick")
def test_a_table_says_what_was_written(student_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export-student", str(student_folder), "--format", "onnx", "--to", str(tmp_path / "one")]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"onnx +\d+\.\d%", shown) and "500 random words of its vocabulary" in shown
    assert {file.name for file in (tmp_path / "one").iterdir()} >= {"model.onnx", "tokenizer.json", "config.json"}


BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "prompter", "distill", "eval"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
sys.argv = sys.argv[1:]
import runpy
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_file_of_settings_may_name_the_student(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(f"student: {tmp_path / 'nowhere'}\nformat: [onnx]\n")
    assert main(["export-student", "--config", str(file)]) == 2
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["onnx", "onnx-int8"])
def test_the_example_classifies_without_torch_and_transformers(student_folder: Path, exported: Path, kind: str) -> None:
    texts = some_texts(9)
    line = [sys.executable, "-c", BLOCKED, str(EXAMPLES / "run_without_torch.py"), str(exported / kind), *texts]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answers = [line.split("\t") for line in done.stdout.splitlines()]
    logits = torch.tensor(reference(student_folder, texts))
    assert [text for _, _, text in answers] == texts
    assert [label for label, _, _ in answers] == [["good", "bad"][i] for i in logits.argmax(1)]
    if kind == "onnx":
        given = torch.tensor([float(odds) for _, odds, _ in answers])
        torch.testing.assert_close(given, logits.softmax(1).amax(1), atol=1e-3, rtol=0)


@pytest.mark.slow
def test_the_example_runs_in_an_environment_that_has_no_torch(exported: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "numpy", "onnxruntime", "tokenizers"], check=True)
    assert subprocess.run([python, "-c", "import torch"], capture_output=True).returncode
    line = [python, EXAMPLES / "run_without_torch.py", exported / "onnx", "good w1"]
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout.endswith("good w1\n")


def test_evaluate_takes_programs_beside_the_student(
    student_folder: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from prompter.students import evaluation

    monkeypatch.setattr(evaluation, "TIMED_TEXTS", {1: 2, 32: 4})
    monkeypatch.setattr(evaluation, "ROUNDS", 1)
    rows = [{"text": text, "label": i % 2} for i, text in enumerate(some_texts(40))]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.yaml").write_text(
        "kind: single\nlabels: [good, bad]\ndata: rows.jsonl\ntext_columns: [text]\nlabel_column: label\n"
        "metrics: [accuracy]\nversion: 1\n"
    )
    programs = [str(exported / kind) for kind in ("onnx", "openvino")]
    line = ["evaluate", *programs, "--teacher", str(student_folder), "--task", str(tmp_path / "task.yaml"), "--json"]
    assert main([*line, "--device", "cpu"]) == 0
    student, *others = json.loads(capsys.readouterr().out)["models"]
    for row in others:
        assert row["metrics"]["accuracy"]["value"] == student["metrics"]["accuracy"]["value"]
        assert row["metrics"]["agreement"]["value"] == 1 and row["metrics"]["kl"]["value"] == pytest.approx(0, abs=1e-6)
        assert row["bytes"] > 0 and row["milliseconds"] > 0 and row["parameters"] is None


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert main(["export-student", *map(str, arguments), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.usefixtures("quick")
def test_a_program_that_does_not_agree_is_refused_and_nothing_stays(
    student_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "LEAST_AGREEMENT", 0.99)
    error = refused(capsys, student_folder, "--format", "onnx", "openvino", "--to", tmp_path / "out")
    assert re.search(r"onnx: the program agrees with the student on \d+\.\d% of 502 texts .* 99% are required", error)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("quick")
def test_an_exporter_that_fails_is_one_line_and_what_was_there_stays(
    student_folder: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(exported / "onnx", tmp_path / "out" / "onnx")
    before = (tmp_path / "out" / "onnx" / "model.onnx").read_bytes()

    def fail(*arguments: object) -> None:
        raise RuntimeError("aten::strange is not\nsupported")

    monkeypatch.setitem(conversion._WRITERS, "openvino", fail)
    error = refused(capsys, student_folder, "--format", "onnx", "openvino", "--to", tmp_path / "out")
    assert "openvino: the exporter of transformers cannot convert this bert (aten::strange is not supported)" in error
    assert (tmp_path / "out" / "onnx" / "model.onnx").read_bytes() == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["onnx"]


def test_a_full_disk_is_one_line_and_nothing_stays(
    student_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(conversion._WRITERS, "onnx", full)
    assert "cannot be written" in refused(capsys, student_folder, "--format", "onnx", "--to", tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "onnx"], "student is missing"),
        (["STUDENT"], "format is missing"),
        (["STUDENT", "--format", "tflite"], "format names 'tflite', expected some of: onnx, onnx-int8, openvino"),
        (["nowhere/at-all", "--format", "onnx"], "output_dir is missing: nowhere/at-all is no folder here"),
        (["STUDENT", "--format", "onnx", "--texts", "none.txt"], "none.txt"),
        (["STUDENT", "--format", "onnx", "--to", "STUDENT"], "has no prompter_export.json, so it is not replaced"),
        (["STUDENT", "--format", "onnx", "--check_texts", "3"], "check_texts is 3, expected a whole number >= 10"),
    ],
)
def test_mistakes_are_one_line(
    student_folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert said in refused(capsys, *(str(student_folder) if word == "STUDENT" else word for word in arguments))


@pytest.mark.usefixtures("quick")
def test_a_new_student_is_converted_once(student_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "student"
    shutil.copytree(student_folder, folder)
    with Console(quiet=True) as console:
        made = export_new(folder, ["onnx"], some_texts(30), console)
        assert made["onnx"]["texts_from"] == "texts of the run" and (folder / "onnx" / "model.onnx").is_file()
        monkeypatch.setattr(export, "convert", None)  # would fail
        assert export_new(folder, ["onnx"], [], console) == made
        with pytest.raises(TypeError):
            export_new(folder, ["openvino"], [], console)


@pytest.mark.usefixtures("quick")
def test_an_export_that_fails_leaves_the_new_student(student_folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    folder = tmp_path / "student"
    shutil.copytree(student_folder, folder)
    monkeypatch.setattr(checking, "LEAST_AGREEMENT", 1.1)
    with Console(quiet=True) as console, pytest.raises(InputError, match=r"110% are required.*student in .* is complete"):
        export_new(folder, ["onnx"], some_texts(30), console)
    assert open_student(str(folder)).max_length == 12 and not (folder / "onnx").exists()


@pytest.mark.usefixtures("quick")
def test_from_python(student_folder: Path, tmp_path: Path) -> None:
    made = export_student(student_folder, format=["onnx"], to=tmp_path / "onnx", quiet=True)
    assert 0 <= made["onnx"]["agreement"] <= 1 and (tmp_path / "onnx" / "model.onnx").is_file()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_program_cuts_texts_on_the_side_that_the_student_does(student_folder: Path, tmp_path: Path, side: str) -> None:
    student, long = open_student(str(student_folder)), " ".join(f"w{i}" for i in range(25))
    student.tokenizer.truncation_side = side
    conversion.convert(student, "onnx", tmp_path)
    kept = student.tokenizer(long, truncation=True, max_length=12)["input_ids"]
    assert Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode(long).ids == kept
    program = ExportedClassifier(tmp_path)  # adds up word vectors
    np.testing.assert_allclose(
        program.logits([long]), program.logits([student.tokenizer.decode(kept, skip_special_tokens=True)]), rtol=1e-5
    )
