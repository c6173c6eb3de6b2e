"""Sources of texts."""

import json
import shutil
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

from distill.checkpoints.checksums import seal
from distill.common.errors import InputError
from prompter.students.settling import labels_of
from prompter.students.sources import DatasetSource, open_source
from tests.eval.exported import write_dataset
from tests.prompter.students.distilling import STUDENT, kill_at, outcome, run


def test_a_run_that_is_not_finished_is_no_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "config.yaml").write_text("teacher: x\n")
    assert run("--from", tmp_path / "run", "--to", tmp_path / "tiny", "--budget", 100) == 2
    assert "holds no prompter yet" in capsys.readouterr().err


def test_fresh_texts_of_a_prompter_cost_exactly_the_budget(run_folder: Path, tmp_path: Path) -> None:
    to = tmp_path / "tiny"
    assert run("--from", run_folder, "--student", STUDENT, "--to", to, "--budget", 700) == 0
    summary = json.loads((to / "summary.json").read_text())
    assert (summary["texts"], summary["teacher_queries"]) == (700, 700)
    assert summary["teacher_calls"] <= 700 and summary["labels"] == ["good", "bad"]
    log = [json.loads(line) for line in (to / "training_log.jsonl").read_text().splitlines()]
    assert any("/student_loss" in key for row in log for key in row), "the student learns while texts are written"
    again = tmp_path / "again"
    assert run("--from", run_folder, "--student", STUDENT, "--to", again, "--budget", 700) == 0
    assert json.loads((again / "summary.json").read_text())["teacher_calls"] == 0, "no text is paid for twice"
    assert outcome(to) == outcome(again)


@pytest.mark.slow
def test_a_killed_call_goes_on_with_the_prompter_where_it_stood(run_folder: Path, tmp_path: Path) -> None:
    call = ["--from", run_folder, "--student", STUDENT, "--budget", 1300, "--save_seconds", 0]
    assert run(*call, "--to", tmp_path / "whole") == 0
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        kill_at(4, patch)
        run(*call, "--to", tmp_path / "killed")
    assert run(*call, "--to", tmp_path / "killed", "--resume") == 0
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")


def test_a_killed_call_does_not_go_on_with_a_prompter_that_was_trained_again(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = Path(shutil.copytree(run_folder, tmp_path / "mine"))
    call = ["--from", mine, "--student", STUDENT, "--budget", 600, "--save_seconds", 0, "--to", tmp_path / "killed"]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        kill_at(2, patch)
        run(*call)
    weights = mine / "prompter" / "adapter_model.safetensors"
    save_file({name: value + 0.01 for name, value in load_file(weights).items()}, weights, {"format": "pt"})
    seal(mine / "prompter")
    assert run(*call, "--resume") == 2
    assert f"from: {mine} has changed since this was begun" in capsys.readouterr().err


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("exported") / "data-set")


def test_an_export_may_pass_through_other_libraries(exported: Path, tmp_path: Path) -> None:
    whole = open_source(str(exported))
    data = datasets.load_dataset("parquet", data_files=str(exported / "data" / "*.parquet"), split="train", cache_dir=tmp_path)
    data.to_parquet(tmp_path / "whole.parquet")
    data.save_to_disk(tmp_path / "saved")
    datasets.DatasetDict(train=data).save_to_disk(tmp_path / "dict")
    for name in ("whole.parquet", "saved", "dict"):
        source = open_source(str(tmp_path / name))
        assert isinstance(source, DatasetSource) and source.answered
        assert (source.labels, source.rows) == (whole.labels, 36) == (["bad", "good"], 36)
        ours, theirs = whole.portion(0), source.portion(0)
        assert ours is not None and theirs is not None and ours.logprobs is not None and theirs.logprobs is not None
        assert ours.texts == theirs.texts and ours.logprobs.equal(theirs.logprobs) and ours.targets.equal(theirs.targets)


def test_pandas_may_shuffle_and_filter_an_export(exported: Path, tmp_path: Path) -> None:
    frame = pd.read_parquet(exported / "data")
    frame.loc[3, "wanted_label"] = np.nan
    frame[frame.confidence > 0.6].sample(frac=1, random_state=0).to_parquet(tmp_path / "a.parquet")
    source = open_source(str(tmp_path / "a.parquet"))
    assert isinstance(source, DatasetSource) and source.answered and source.rows == 26 and source.labels is None
    assert labels_of([source], ["bad", "good"]) == ["bad", "good"]
    with pytest.raises(InputError, match="give --teacher_labels"):
        labels_of([source], None)
    with pytest.raises(InputError, match="has answers for 2 classes, the teacher names 3"):
        labels_of([source], ["a", "b", "c"])
    copy = tmp_path / "copy"
    (copy / "data").mkdir(parents=True)
    frame.to_parquet(copy / "data" / "train.parquet")
    (copy / "recipe.yaml").write_text("export: {}\nprompter: {labels: [bad, good]}\n")
    assert open_source(str(copy)).labels == ["bad", "good"]


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("text", 5, "column 'text' holds int64, expected text"),
        ("text", None, "column 'text' holds"),
        ("keep", "yes", "column 'keep' holds .*, expected true or false"),
        ("teacher_probs", "x", "holds no lists of numbers"),
        ("teacher_probs", [0.5], "holds 1, expected equally many probabilities"),
        ("teacher_probs", [0.5, float("nan")], "no probabilities"),
        ("teacher_probs", [5.0, -4.0], "no probabilities"),
        ("teacher_probs", [0.9, 0.8], "do not add up to 1: if they are of several labels, add the column 'labels'"),
    ],
)
def test_columns_that_hold_something_else_are_named(
    exported: Path, tmp_path: Path, column: str, value: object, said: str
) -> None:
    frame = pd.read_parquet(exported / "data")
    frame[column] = pd.Series([value] * len(frame))
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=said) as caught:
        open_source(str(tmp_path / "a.parquet"))
    assert "\n" not in str(caught.value)


def test_rows_with_answers_of_another_length_are_refused(exported: Path, tmp_path: Path) -> None:
    frame = pd.read_parquet(exported / "data")
    frame["teacher_probs"] = pd.Series([[0.5, 0.5]] * (len(frame) - 1) + [[0.2, 0.3, 0.5]])
    frame["keep"] = True
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="holds 2, 3, expected equally many"):
        open_source(str(tmp_path / "a.parquet"))


def test_a_target_that_is_no_class_is_none(exported: Path, tmp_path: Path) -> None:
    frame = pd.read_parquet(exported / "data")[:5]
    frame["keep"], frame["wanted_label"] = True, [1.0, float("inf"), float("-inf"), float("nan"), 0.0]
    frame.to_parquet(tmp_path / "a.parquet")
    assert open_source(str(tmp_path / "a.parquet")).portion(0).targets.tolist() == [1, -1, -1, -1, 0]
