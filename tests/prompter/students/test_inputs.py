"""What `prompter distill` loads: teachers, evaluation data, names of students."""

import json
from pathlib import Path

import pandas as pd
import pytest

from prompter.students.inputs import folder_names
from tests.prompter.students.distilling import STUDENT, run, texts


def test_a_teacher_of_other_classes_is_refused(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "others.py").write_text(
        "def answer(texts):\n    return [[.5, .5]] * len(texts)\nanswer.labels = ['yes', 'no']\n"
    )
    monkeypatch.chdir(tmp_path)
    assert run("--from", exported, "--to", "x", "--teacher", "others:answer", "--student", STUDENT) == 2
    error = capsys.readouterr().err
    assert "['yes', 'no']" in error and "['good', 'bad']" in error


def test_evaluation_data_is_reported_on(exported: Path, teacher_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "labelled.jsonl"
    file.write_text("".join(json.dumps({"text": text, "label": i % 2}) + "\n" for i, text in enumerate(texts(30, 2))))
    to = tmp_path / "tiny"
    assert run("--from", exported, "--student", STUDENT, "--to", to, "--eval_data", file, "--teacher", teacher_folder) == 0
    (figures,) = json.loads((to / "summary.json").read_text())["students"].values()
    assert 0 <= figures["accuracy"] <= 1 and figures["n"] == 30
    assert "accuracy" in (to / "README.md").read_text()
    fewer = tmp_path / "fewer"
    assert run("--from", exported, "--student", STUDENT, "--to", fewer, "--eval_data", file, "--eval_limit", 12) == 0
    (figures,) = json.loads((fewer / "summary.json").read_text())["students"].values()
    assert figures["n"] == 12


def test_words_of_a_language_model_are_for_random_students_alone(
    exported: Path, teacher_folder: Path, lm_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("--from", exported, "--teacher", teacher_folder, "--student_words", lm_folder)
    layers = ("--student", "teacher-layers:0")
    assert run(*common, "--student", STUDENT, *layers, "--to", tmp_path / "both") == 0
    assert run(*common, *layers, "--to", tmp_path / "layers") == 2
    assert "student_words: teacher-layers:0 has word vectors of its own" in capsys.readouterr().err
    assert not (tmp_path / "layers").exists()


def test_folder_names_are_distinct() -> None:
    specs = ["bert:layers=2", "bert:layers=3", "a/tiny", "b/tiny", "c/tiny", "teacher-layers:0,2"]
    assert len(set(folder_names(specs))) == len(specs)


def test_a_prompter_without_a_budget_is_refused(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--from", run_folder, "--to", tmp_path / "tiny") == 2
    assert "budget is missing" in capsys.readouterr().err


def test_a_dataset_of_a_black_box_asks_for_a_tokenizer(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (exported / "recipe.yaml").write_text("export:\n  teacher: module:function\n")
    assert run("--from", exported, "--student", STUDENT, "--to", tmp_path / "tiny") == 2
    assert "student_tokenizer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("needed", "flags"),
    [("teacher-layers:0", ["--student", "teacher-layers:0"]), ("student_hidden_weight", ["--student_hidden_weight", "1"])],
)
def test_what_needs_a_teacher_that_nothing_names_says_so(
    needed: str, flags: list[str], exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (exported / "recipe.yaml").unlink(missing_ok=True)
    assert run("--from", exported, *flags, "--to", tmp_path / "tiny") == 2
    assert f"teacher is missing: {needed} needs its layers" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["./moved", "../moved", "/moved/teacher"])
def test_a_dataset_whose_teacher_is_not_here_says_so(
    place: str, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Used from another directory, or moved; 'the teacher has none' sent the reader elsewhere."""
    (exported / "recipe.yaml").write_text(f"export:\n  teacher: {place}\n")
    assert run("--from", exported, "--student", STUDENT, "--to", tmp_path / "tiny") == 2
    said = capsys.readouterr().err
    assert f"names its teacher '{place}'" in said and "give --teacher with the place where it is now" in said


@pytest.mark.parametrize(
    ("held_out", "said"),
    [(0.999, "all of 1 texts are held out"), (0.001, "one text cannot both teach a student and select its state")],
)
def test_texts_that_cannot_be_split_are_refused_before_a_query(
    held_out: float, said: str, teacher_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.txt").write_text("a good film\n")
    call = ("--from", tmp_path / "one.txt", "--teacher", teacher_folder, "--student", STUDENT, "--to", tmp_path / "out")
    assert run(*call, "--held_out", held_out) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert {file.name for file in tmp_path.iterdir()} == {"one.txt", "prompter-cache"}


def test_no_text_is_its_own_second_text(teacher_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ("--from", tmp_path / "none.csv", "--teacher", teacher_folder, "--student", STUDENT, "--to", tmp_path / "out")
    assert run(*call, "--text_column", "a", "--text_pair_column", "a") == 2
    assert "text_column and text_pair_column are both 'a'" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_table_that_is_not_known_as_answers_says_which_columns_are(
    ending: str, teacher_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {"text": texts(30, 2), "score": [float(row % 5) for row in range(30)]}
    whole, score = {"wanted_label": -1, "keep": True}, ("--kind", "score", "--score_low", 0, "--score_high", 4)
    for name, more in (("plain", {}), ("known", whole)):
        frame = pd.DataFrame(rows).assign(**more)
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
        frame.to_parquet(tmp_path / f"{name}.parquet")
    call = ("--to", tmp_path / "out", "--student", STUDENT, "--student_tokenizer", teacher_folder)
    assert run("--from", tmp_path / f"plain.{ending}", *call) == 2
    error = capsys.readouterr().err
    assert "holds no answers of a teacher: give --teacher, or a table with" in error and "score and wanted_label" in error
    assert run("--from", tmp_path / f"known.{ending}", *call, *score, "--student_updates", 4, "--no_pilot") in (0, 3)


def test_texts_of_the_user_are_not_called_synthetic(exported: Path, teacher_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("\n".join(texts(300, 5)) + "\n")
    call = ("--student", STUDENT, "--held_out", 0.4, "--no_pilot")
    for name, source in (("own", (tmp_path / "own.txt", "--teacher", teacher_folder)), ("made", (exported,))):
        assert run("--from", *source, *call, "--to", tmp_path / name) in (0, 3)
        assert json.loads((tmp_path / name / "summary.json").read_text())["synthetic"] is (name == "made")
        card = (tmp_path / name / "README.md").read_text()
        assert ("ynthetic" in card, "data-free" in card, "held-out texts" in card) == (name == "made",) * 2 + (name != "made",)
