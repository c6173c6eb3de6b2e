"""`prompter label`: what the dataset holds, marks, kills, money, and what is refused."""

import functools
import json
import logging
import shutil
import sqlite3
import sys
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from distill.common.errors import InputError, WorthlessError
from distill.teachers.transformers_teacher import TransformersTeacher
from prompter import distill
from prompter import label as label_function
from prompter.cli import main
from prompter.exporting.folder import ExportFolder
from prompter.exporting.shards import read_rows
from prompter.labelling import loop
from prompter.students.sources import open_source
from tests.prompter.exporting.exports import contents

TEXTS = [f"w{i % 17 + 60} w{i % 5 + 90} {'good' if i % 3 else 'bad'} w{i} ok" for i in range(50)]


@pytest.fixture(autouse=True)
def own_datasets_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(TEXTS)))
    return file


def flags(texts: Path, teacher: Path, to: Path, *more: str) -> list[str]:
    given = ["--texts", texts, "--teacher", teacher, "--to", to, "--batch_size", 8, "--shard_rows", 20, "--device", "cpu"]
    return ["label", *map(str, given), "--dtype", "float32", "--quiet", *more]


def test_the_rows_are_the_texts_with_the_teachers_answers(teacher_folder: Path, texts: Path, tmp_path: Path) -> None:
    assert main(flags(texts, teacher_folder, tmp_path / "d")) == 0
    frame = pd.read_parquet(tmp_path / "d" / "data")
    assert frame["text"].tolist() == TEXTS and frame["keep"].all() and frame["drop_reason"].isna().all()
    model = AutoModelForSequenceClassification.from_pretrained(teacher_folder)
    inputs = AutoTokenizer.from_pretrained(teacher_folder)(TEXTS, padding=True, return_tensors="pt")
    answers = model(**inputs).logits.softmax(-1).detach().numpy()
    assert np.allclose(np.stack(frame["teacher_probs"].tolist()), answers, atol=1e-5)
    assert (frame["label"] == answers.argmax(1)).all() and np.allclose(frame["confidence"], answers.max(1), atol=1e-5)
    assert [len(pd.read_parquet(file)) for file in sorted((tmp_path / "d" / "data").iterdir())] == [20, 20, 10]
    loaded = datasets.load_dataset(str(tmp_path / "d"), split="train")
    assert loaded.features["label"].names == ["good", "bad"] and loaded["text"][:3] == TEXTS[:3]
    card = (tmp_path / "d" / "README.md").read_text()
    assert f"# Texts labelled by {teacher_folder.name}\n" in card and str(teacher_folder.parent) not in card
    assert f"| texts | {texts.name} |" in card and str(tmp_path) not in card  # it may be published
    assert "synthetic" not in card and TEXTS[0] not in card  # nobody's texts are shown in it
    assert not (tmp_path / "d" / ".export").exists()


def test_names_of_classes_that_look_like_numbers_stay_when_a_finished_dataset_gets_more_files(
    texts: Path, tmp_path: Path
) -> None:
    names = ["1e-3", "2", "true", "1e+3"]
    settings = {"teacher": certain, "teacher_labels": names, "to": str(tmp_path / "d"), "quiet": True}
    label_function(texts, **settings)
    label_function(texts, **settings, jsonl=True)
    label_function(texts, **settings, csv=True)
    assert {json.loads(line)["label"] for line in (tmp_path / "d" / "data.jsonl").read_text().splitlines()} == {"1e-3"}
    assert set(pd.read_csv(tmp_path / "d" / "data.csv", dtype=str)["label"]) == {"1e-3"}
    for name in ("", "data.jsonl", "data.csv"):
        assert open_source(str(tmp_path / "d" / name)).labels == names


def certain(texts: list[str]) -> list[list[float]]:
    return [[0.7, 0.1, 0.1, 0.1]] * len(texts)


def test_marks(teacher_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("\n".join([*TEXTS[:5], TEXTS[0].upper(), "good", "?!? ... ###", TEXTS[1]]))
    result = label_function(
        file, teacher=str(teacher_folder), to=str(tmp_path / "d"), min_words=2, device="cpu", jsonl=True, quiet=True
    )
    assert result["marked"] == {"duplicate": 2, "not text": 1, "too short": 1} and result["kept"] == 5 and result["rows"] == 9
    rows = list(read_rows(tmp_path / "d"))
    assert [row["near_duplicate_of"] for row in rows if row["drop_reason"] == "duplicate"] == [0, 1]
    lines = [json.loads(line) for line in (tmp_path / "d" / "data.jsonl").read_text().splitlines()]
    assert {line["label"] for line in lines} <= {"good", "bad"} and len(lines) == 9


def killed(lives: int, call: list[str]) -> None:
    """Label, but end before a commit."""
    commit, commits = ExportFolder.commit, []

    class Killed(BaseException):
        pass

    def deadly(folder: ExportFolder, progress: object) -> None:
        commits.append(progress)
        if len(commits) > lives:
            raise Killed
        commit(folder, progress)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ExportFolder, "commit", deadly)
        main(call)


@pytest.mark.parametrize("lives", [0, 2])
def test_a_teacher_that_was_trained_again_in_its_place_does_not_go_on(
    teacher_folder: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], lives: int
) -> None:
    teacher = shutil.copytree(teacher_folder, tmp_path / "teacher")
    killed(lives, flags(texts, teacher, tmp_path / "d"))
    weights = load_file(teacher / "model.safetensors")
    save_file({name: value * 1.01 for name, value in weights.items()}, teacher / "model.safetensors", {"format": "pt"})
    status = main(flags(texts, teacher, tmp_path / "d"))
    assert status == (2 if lives else 0)  # nothing was committed that could be mixed
    said = "has other weights than when this was begun, which would mix the answers of two models"
    assert (said in capsys.readouterr().err) == bool(lives)


def test_a_finished_folder_is_not_taken_for_the_answers_of_a_teacher_that_took_the_place(
    teacher_folder: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = shutil.copytree(teacher_folder, tmp_path / "teacher")
    assert main(flags(texts, teacher, tmp_path / "d")) == 0
    assert main(flags(texts, teacher, tmp_path / "d", "--jsonl")) == 0
    weights = load_file(teacher / "model.safetensors")
    save_file({name: value * 1.01 for name, value in weights.items()}, teacher / "model.safetensors", {"format": "pt"})
    assert main(flags(texts, teacher, tmp_path / "d", "--csv")) == 2 and not (tmp_path / "d" / "data.csv").exists()
    assert "has other weights than when" in capsys.readouterr().err
    shutil.rmtree(teacher)  # nobody needs it to go on with what is finished
    assert main(flags(texts, teacher, tmp_path / "d", "--csv")) == 0


@pytest.mark.parametrize("lives", [0, 2, None])
def test_a_function_whose_source_was_changed_does_not_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: Path, capsys: pytest.CaptureFixture[str], lives: int | None
) -> None:
    monkeypatch.chdir(tmp_path)
    source, module = "def ask(texts):\n    return [[0.25, 0.75]] * len(texts)\n", tmp_path / "changed_teacher.py"
    module.write_text(source)
    given = flags(texts, Path("changed_teacher.py:ask"), tmp_path / "d", "--teacher_labels", "a", "b")
    killed(lives, given) if lives is not None else main(given)
    module.write_text(source.replace("0.25, 0.75", "0.75, 0.25"))
    assert main(given) == (2 if lives == 2 else 0)  # else nothing was committed that could be mixed, or all was
    said = capsys.readouterr().err
    assert ("changed_teacher.py:ask has another source than when" in said) == (lives != 0)
    if lives == 2:
        assert "if it answers as before, remove " in said
        (tmp_path / "d" / ".export" / "teacher.json").unlink()
        assert main(given) == 0
    elif lives is None:
        assert "its rows are the answers of before" in said
        module.write_text(source)
        assert main(given) == 0 and "another source" not in capsys.readouterr().err


@pytest.mark.parametrize("lives", [1, 4])
def test_a_killed_call_goes_on_to_the_same_bytes(
    teacher_folder: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lives: int
) -> None:
    asked: list[str] = []
    call = TransformersTeacher.__call__
    monkeypatch.setattr(TransformersTeacher, "__call__", lambda self, texts, *a: asked.extend(texts) or call(self, texts, *a))

    killed(lives, flags(texts, teacher_folder, tmp_path / "killed"))
    assert main(flags(texts, teacher_folder, tmp_path / "killed")) == 0
    assert sorted(asked) == sorted(TEXTS)  # each once: the answers of the batch that the kill cut off were stored
    assert main(flags(texts, teacher_folder, tmp_path / "whole", "--no_teacher_cache")) == 0
    assert contents(tmp_path / "whole") == contents(tmp_path / "killed")


@pytest.mark.parametrize("finished", [True, False])
def test_a_project_that_was_moved_goes_on(teacher_folder: Path, texts: Path, tmp_path: Path, finished: bool) -> None:
    before, now = tmp_path / "before", tmp_path / "now"
    before.mkdir()
    shutil.copytree(teacher_folder, before / "teacher")
    shutil.copy(texts, before / "texts.jsonl")
    command = functools.partial(flags, to=before / "set")
    if finished:
        assert main(command(before / "texts.jsonl", before / "teacher")) == 0
    else:
        killed(3, command(before / "texts.jsonl", before / "teacher"))
    before.rename(now)
    shutil.copytree(now / "teacher", now / "other")
    assert main(flags(now / "texts.jsonl", now / "other", now / "set")) == 2
    assert main(flags(now / "texts.jsonl", now / "teacher", now / "set")) == 0
    assert len(pd.read_parquet(now / "set" / "data")) == len(TEXTS)


def test_other_texts_or_settings_are_not_mixed_in(
    teacher_folder: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags(texts, teacher_folder, tmp_path / "d")) == 0
    assert main(flags(texts, teacher_folder, tmp_path / "d", "--min_words", "3")) == 2
    assert "min_words" in capsys.readouterr().err
    texts.write_text(texts.read_text().replace("w49", "other"))
    assert main(flags(texts, teacher_folder, tmp_path / "d")) == 2
    assert "texts_sha256" in capsys.readouterr().err


def test_a_setting_that_ended_the_first_batch_can_be_corrected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "star_teacher.py").write_text("def ask(texts):\n    return [[float(2 + len(t) % 4)] for t in texts]\n")
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    monkeypatch.chdir(tmp_path)
    given = ["label", "--texts", "texts.txt", "--teacher", "star_teacher.py:ask", "--to", "d", "--kind", "score", "--quiet"]
    assert main(given) == 2 and "give their range" in capsys.readouterr().err
    assert main([*given, "--score_low", "1", "--score_high", "5"]) == 0
    assert pd.read_parquet("d/data")["score"].between(2, 5).all()
    assert main([*given, "--score_low", "1", "--score_high", "6"]) == 2


def test_a_teacher_that_answered_nothing_yet_can_be_corrected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "def none(texts):\n    return None\ndef ask(texts):\n    return [[0.25, 0.75]] * len(texts)\n"
    (tmp_path / "late_teacher.py").write_text(code)
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"{text} {number}" for number in range(2) for text in TEXTS))
    monkeypatch.chdir(tmp_path)
    more = "--teacher_labels", "a", "b"
    assert main(flags(texts, Path("late_teacher.py:none"), tmp_path / "d", *more)) == 2  # after several batches
    assert "64 of 64 answers of late_teacher.py:none were unusable" in capsys.readouterr().err
    assert main(flags(texts, Path("late_teacher.py:ask"), tmp_path / "d", *more)) == 0
    assert [row["text"] for row in read_rows(tmp_path / "d")] == texts.read_text().splitlines()
    assert all(row["keep"] for row in read_rows(tmp_path / "d"))


def test_a_budget_in_money_labels_the_first_texts(teacher_folder: Path, texts: Path, tmp_path: Path) -> None:
    assert main(flags(texts, teacher_folder, tmp_path / "d", "--teacher_price", "2", "--budget_money", "0.03")) == 0
    assert [row["text"] for row in read_rows(tmp_path / "d")] == TEXTS[:15]


def test_a_student_learns_from_it_without_the_teacher(teacher_folder: Path, texts: Path, tmp_path: Path) -> None:
    label_function(texts, teacher=str(teacher_folder), to=str(tmp_path / "d"), device="cpu", quiet=True)
    summary = distill(
        sources=[str(tmp_path / "d")], student=["bert:layers=1,hidden=16,heads=1"], output_dir=str(tmp_path / "s"),
        student_updates=4, student_batch_size=8, device="cpu", quiet=True, student_tokenizer=str(teacher_folder), pilot=False,
    )  # fmt: skip
    assert summary["teacher_queries"] == 0 and summary["texts"] > 40


def test_the_next_command_that_is_printed_runs(
    teacher_folder: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [flag for flag in flags(texts, teacher_folder, tmp_path / "d", "--jsonl") if flag != "--quiet"]
    assert main(given) == 0
    line = " ".join(capsys.readouterr().out.split()).split("A student learns from it with: prompter ")[1]
    student = {"SPEC": "bert:layers=1,hidden=16,heads=1", "FOLDER": str(tmp_path / "s")}
    command = [student.get(word, word) for word in line.split()]
    quick = ["--student_updates", "4", "--student_batch_size", "8", "--device", "cpu", "--quiet", "--no_pilot"]
    assert main([*command, *quick]) in (0, 3)  # so small a student is worth nothing
    assert (tmp_path / "s" / "config.json").is_file()


def test_a_teacher_without_usable_answers_ends_with_status_3(
    teacher_folder: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags(texts, teacher_folder, tmp_path / "d", "--min_words", "9")) == 3
    assert "too short" in capsys.readouterr().err and (tmp_path / "d" / "recipe.yaml").is_file()
    monkeypatch.setattr(loop, "answered", lambda kind, answers, texts: [(-1, kind.cells(None))] * len(answers))
    with pytest.raises(WorthlessError, match="no answer"):
        label_function(texts, teacher=str(teacher_folder), to=str(tmp_path / "n"), device="cpu", quiet=True)


def test_one_sided_texts_are_said(teacher_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = {"rows": 100, "kept": 100, "kept_of": [97, 3], "marked": {}}
    assert any("Nearly all" in line for line in loop.result_lines(result, ["good", "bad"], "d"))
    assert any("--from 'my texts/d' --student" in line for line in loop.result_lines(result, ["good", "bad"], "my texts/d"))
    assert not any("Nearly all" in line for line in loop.result_lines(result | {"kept_of": [90, 10]}, ["good", "bad"], "d"))


def test_texts_that_the_teacher_does_not_read_to_the_end_are_said(
    teacher_folder: Path, texts: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "prompter")
    assert main(flags(texts, teacher_folder, tmp_path / "whole")) == 0 and "were cut" not in caplog.text
    assert main(flags(texts, teacher_folder, tmp_path / "cut", "--teacher_max_length", "4")) == 0
    assert "100.0% of the texts are longer than what the teacher reads: they were cut (teacher_max_length)" in caplog.text


@pytest.mark.parametrize(
    ("kept_of", "labels", "line"),
    [
        ([100, 0], ["a", "b"], "Nearly all kept texts are 'a'"),
        ([97, 60], ["a", "b"], ""),  # several labels: the second one varies
        ([2], ["toxic"], "Nearly no kept text has a label"),
        ([60], ["toxic"], ""),
    ],
)
def test_what_is_odd_about_the_answers_is_said(kept_of: list[int], labels: list[str], line: str) -> None:
    lines = loop.result_lines({"kept": 100, "rows": 100, "kept_of": kept_of, "marked": {}}, labels, "d")
    assert line in " ".join(lines) and bool(line) == ("Nearly" in " ".join(lines))


def test_mistakes_are_one_line_and_leave_nothing(teacher_folder: Path, texts: Path, tmp_path: Path) -> None:
    to = tmp_path / "d"
    for settings, word in (
        ({"texts": str(tmp_path / "none.txt"), "teacher": str(teacher_folder)}, "none.txt"),
        ({"texts": str(texts), "teacher": ""}, "teacher is missing"),
        ({"texts": str(texts), "teacher": str(teacher_folder), "text_column": "body"}, "body"),
        ({"texts": str(texts), "teacher": "x", "text_pair_column": "text"}, "text_column and text_pair_column are both"),
        ({"texts": str(texts), "teacher": str(teacher_folder), "max_words": 2, "min_words": 3}, "max_words"),
        ({"texts": str(texts), "teacher": str(teacher_folder), "budget_money": 1.0}, "teacher_price"),
    ):
        with pytest.raises(InputError, match=word):
            label_function(settings.pop("texts"), to=str(to), device="cpu", quiet=True, **settings)
        assert not to.exists()
    to.mkdir()
    (to / "mine").write_text("x")
    with pytest.raises(InputError, match="other files"):
        label_function(texts, teacher=str(teacher_folder), to=str(to), device="cpu", quiet=True)
    assert [file.name for file in to.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("answer", "more", "said"),
    [
        ("[[0.2, 0.3, 0.5]] * len(texts)", ["--kind", "multi_label"], "all of its 50 answers add up to 1"),
        ("[[float('nan')]] * 90", ["--kind", "score"], "unusable"),
        ("[[float(7 + i)] for i in range(len(texts))]", ["--kind", "score"], "--score_low and --score_high"),
        (
            "[[0.5]] * len(texts)",
            ["--kind", "score", "--score_low", "5", "--score_high", "5"],
            "expected more than score_low, 5",
        ),
        ("[[0.5]] * len(texts)", ["--kind", "score", "--min_confidence", "0.5"], "a number does not say how sure"),
    ],
)
def test_answers_of_another_kind_are_refused_in_one_line(
    answer: str,
    more: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ["a", "b", "c"] if "multi_label" in more else ["stars"]
    (tmp_path / "odd_teacher.py").write_text(f"def ask(texts):\n    return ({answer})[: len(texts)]\n")
    file = tmp_path / "texts.txt"
    file.write_text(
        "\n".join([f"{text} again {i}" for i, text in enumerate(TEXTS + TEXTS)]) if "nan" in answer else "\n".join(TEXTS)
    )
    monkeypatch.chdir(tmp_path)
    given = ["--texts", str(file), "--teacher", "odd_teacher.py:ask", "--to", "d", "--quiet", "--teacher_labels", *names]
    assert main(["label", *given, *more]) == 2
    err = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in err and "damaged" not in err


def test_several_labels_and_scores_are_labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "def topics(texts):\n    return [[len(t) % 10 / 10, 0.75, 0.2] for t in texts]\n"
        "def stars(texts):\n    return [[1 + len(t) % 5] for t in texts]\n"
    )
    (tmp_path / "kinds_teacher.py").write_text(code)
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    monkeypatch.chdir(tmp_path)
    common = {"to": "d", "quiet": True, "jsonl": True}
    result = label_function(
        "texts.txt", **common, teacher="kinds_teacher.py:topics", teacher_labels=["a", "b", "c"], kind="multi_label"
    )
    often = sum(len(text) % 10 > 5 for text in TEXTS)
    assert result["kept"] == 50 and result["answers"] == result["kept_of"] == [often, 50, 0]  # not the likeliest alone
    rows = [json.loads(line) for line in Path("d/data.jsonl").read_text().splitlines()]
    assert all(row["labels"] == (["a", "b"] if len(row["text"]) % 10 > 5 else ["b"]) for row in rows)
    common |= {"to": "s", "kind": "score", "score_low": 1, "score_high": 5}
    label_function("texts.txt", **common, teacher="kinds_teacher.py:stars", teacher_labels=["stars"])
    frame = pd.read_parquet("s/data")
    assert frame["score"].tolist() == [1 + len(text) % 5 for text in TEXTS] and "teacher_probs" not in frame


@pytest.mark.parametrize("error", [TypeError, ValueError, KeyError, AttributeError])
def test_what_a_teacher_raises_is_not_taken_for_a_damaged_state(
    error: type[Exception], teacher_folder: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise error("a fault in an answer")

    monkeypatch.setattr(loop, "answered", broken)
    with pytest.raises(error, match="a fault in an answer") as caught:
        label_function(texts, teacher=str(teacher_folder), to=str(tmp_path / "d"), device="cpu", quiet=True)
    assert not isinstance(caught.value, InputError)


def test_a_state_that_is_damaged_while_labels_are_written_is_named(
    teacher_folder: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(ExportFolder, "add", broken)
    with pytest.raises(InputError, match="state.sqlite is damaged"):
        label_function(texts, teacher=str(teacher_folder), to=str(tmp_path / "d"), device="cpu", quiet=True)


def test_the_query_for_names_of_classes_is_within_the_money(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = "asked = []\ndef f(texts):\n    asked.extend(texts)\n    return [{'a': 0.25, 'b': 0.75}] * len(texts)\n"
    (tmp_path / "paid_teacher.py").write_text(source)
    flags_of = {"teacher": "paid_teacher:f", "teacher_price": 1000, "quiet": True, "device": "cpu"}
    result = label_function(texts, to=str(tmp_path / "d"), budget_money=10, **flags_of)
    assert result["rows"] == 9 and len(sys.modules["paid_teacher"].asked) == 10
    with pytest.raises(InputError, match="budget_money is 1, which bought the query .* give --teacher_labels"):
        label_function(texts, to=str(tmp_path / "e"), budget_money=1, **flags_of)


def test_from_python_labels_are_any_list_and_objects_are_named(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "named_teacher.py").write_text("def f(texts):\n    return [[0.25, 0.75]] * len(texts)\n")
    given = {"teacher": "named_teacher:f", "quiet": True, "device": "cpu"}
    label_function(texts, to=str(tmp_path / "d"), teacher_labels=np.array(["x", "y"]), **given)
    assert list(read_rows(tmp_path / "d"))[0]["label"] == 1
    with pytest.raises(InputError, match="teacher_labels: .* expected a list of names"):
        label_function(texts, to=str(tmp_path / "e"), teacher_labels={"y", "x"}, **given)
    for teacher in (functools.partial(len), object(), json, torch.nn.Linear(2, 2)):
        with pytest.raises(InputError, match="teacher is an object of type .* give 'file.py:name'"):
            label_function(texts, to=str(tmp_path / "e"), teacher=teacher)
    with pytest.raises(InputError, match="top of a module: put it into a file, and give 'file.py:name'"):
        label_function(texts, to=str(tmp_path / "e"), teacher=lambda texts: texts)
