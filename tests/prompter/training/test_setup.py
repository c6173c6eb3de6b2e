"""Teachers of a run: what they are asked, and what becomes of answers that are of no use."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from distill.common.errors import InputError
from distill.common.files import read_yaml
from prompter.cli import main
from prompter.training.callback import RolloutCallback
from prompter.training.run import train
from prompter.training.settings import parse_settings
from tests.distill.service import Service
from tests.prompter.training.runs import assert_same


def test_no_answer_is_paid_for_twice(arguments, labelled: Path, tmp_path: Path, own_cache: Path) -> None:
    flags = {"budget": 48, "eval_data": labelled, "compare": ["unprompted"]}
    first = train(parse_settings(arguments("first", **flags)))
    again = train(parse_settings(arguments("again", **flags)))
    assert first is not None and again is not None
    assert_same(tmp_path / "first", tmp_path / "again")
    assert (first["teacher_queries"], again["teacher_queries"]) == (48, 48)
    assert 48 < first["teacher_calls"] <= 48 + 48 + 40  # a rollout, a control, the evaluation texts
    assert again["teacher_calls"] == 0
    assert again["students"]["unprompted"]["accuracy"] == first["students"]["unprompted"]["accuracy"]
    shutil.rmtree(own_cache)
    without = train(parse_settings([*arguments("without", **flags), "--no-teacher-cache"]))
    assert without is not None
    assert without["teacher_calls"] == 48 + 48 + 40
    assert not (own_cache / "answers.sqlite").exists()


def test_a_cache_that_cannot_be_written_does_not_end_the_run(
    arguments, tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture
) -> None:
    own_cache.write_text("a file where the folder should be")
    flags = [flag for flag in arguments(budget=32) if flag != "--quiet"]
    summary = train(parse_settings(flags))
    assert summary is not None
    assert summary["teacher_calls"] == 32
    assert " ".join(capsys.readouterr().out.split()).count("answers are not kept") == 1


def test_a_service_can_be_the_teacher(
    arguments, labelled: Path, lm_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROMPTER_TEACHER_TOKEN", raising=False)
    rows = [json.loads(row) | {"label": "long"} for row in labelled.read_text().splitlines()]
    labelled.write_text("".join(json.dumps(row) + "\n" for row in rows))
    service = Service()
    url = service.url + "?key=SECRET"
    flags = arguments(teacher=url, student_tokenizer=lm_folder, budget=32, eval_data=labelled)
    summary = train(parse_settings(flags))
    service.close()
    files = [file for file in (tmp_path / "run").rglob("*") if file.is_file()]
    assert len(files) > 20 and not [file for file in files if b"SECRET" in file.read_bytes()]
    assert summary is not None
    assert summary["labels"] == ["long", "short"]
    assert summary["teacher_calls"] == len(service.texts)  # nothing is asked to time a service
    assert summary["teacher"].get("texts_per_second") is None


def test_a_language_model_can_be_the_teacher_and_is_asked_alike_later(
    arguments, lm_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PROMPTER_TEACHER_TOKEN", raising=False)
    service = Service("openai")
    named = {"teacher": f"openai+{service.url}?key=SECRET#org/model", "teacher_labels": ["short", "long"]}
    money = {"teacher_price": 500, "budget_money": 16.0, "teacher_rate": 1000}
    flags = arguments(task_description="a line", student_tokenizer=lm_folder, **named, **money)
    del flags[flags.index("--budget") : flags.index("--budget") + 2]
    summary = train(parse_settings(flags))
    assert summary is not None
    assert summary["teacher_queries"] == 32 and summary["teacher_calls"] == len(service.requests) <= 32
    assert summary["money_spent"] == pytest.approx(summary["teacher_calls"] / 2) and summary["teacher_price"] == 500
    run = tmp_path / "run"
    assert "spent on the teacher" in (run / "prompter" / "README.md").read_text()
    assert not [file for file in run.rglob("*") if file.is_file() and b"SECRET" in file.read_bytes()]
    manifest = json.loads((run / "prompter" / "prompter.json").read_text())
    assert manifest["teacher_prompt"].startswith("The text below is a line.")
    with pytest.raises(InputError, match="teacher_prompt"):
        train(parse_settings([*flags, "--resume", "--teacher_prompt", "{text}?"]))
    assert train(parse_settings([*flags, "--resume", "--teacher_rate", "5", "--teacher_price", "500"])) is not None
    asked = len(service.payloads)
    line = [
        "--rows",
        "6",
        "--output_dir",
        tmp_path / "data",
        "--teacher",
        named["teacher"],
        "--teacher_labels",
        "short",
        "long",
    ]
    assert main(["export", str(run), *map(str, line), "--batch_size", "8", "--teacher_price", "1000"]) == 0
    assert "texts were sent to the teacher in this call; spent" in " ".join(capsys.readouterr().out.split())
    assert all(
        payload["messages"][0]["content"].startswith("The text below is a line.") for payload in service.payloads[asked:]
    )
    assert read_yaml(tmp_path / "data" / "recipe.yaml")["export"]["teacher_prompt"] == manifest["teacher_prompt"]
    service.close()


ASKED: list[str] = []


def remembering(texts: list[str]) -> np.ndarray:
    """A callable teacher that notes what it is asked."""
    ASKED.extend(texts)
    return np.tile([0.7, 0.3], (len(texts), 1))


def test_a_function_is_asked_as_often_as_the_summary_says(arguments, labelled: Path, lm_folder: Path) -> None:
    ASKED.clear()
    teacher = "tests.prompter.training.test_setup:remembering"
    flags = arguments(teacher=teacher, teacher_labels=["a", "b"], student_tokenizer=lm_folder, budget=32, eval_data=labelled)
    summary = train(parse_settings(flags))
    assert summary is not None
    assert summary["teacher_calls"] == len(ASKED) == len(set(ASKED))  # nothing is asked to time it
    assert summary["teacher"].get("texts_per_second") is None


def three_classes(texts: list[str]) -> np.ndarray:
    """A callable teacher whose answers are unusable for texts of one kind; the others it answers evenly."""
    predictions = np.full((len(texts), 3), 1 / 3)
    predictions[[is_unusable(text) for text in texts]] = np.nan
    return predictions


def is_unusable(text: str) -> bool:
    return len(text) % 4 == 0


def test_unusable_answers_are_dropped_and_counted(arguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = "tests.prompter.training.test_setup:three_classes"
    flags = arguments(teacher=teacher, teacher_labels=["a", "b", "c"], budget=48, student_tokenizer="LM")
    flags[flags.index("LM")] = flags[flags.index("--generator") + 1]
    summary = train(parse_settings(flags))
    assert summary is not None
    assert 0 < summary["unusable_answers"] < 24
    assert summary["teacher_queries"] == 48
    kept = [json.loads(line)["text"] for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
    assert kept
    assert not any(is_unusable(text) for text in kept)
    (tmp_path / "run" / "summary.json").unlink()
    restore, counted = RolloutCallback.restore, []

    def counting(rounds: RolloutCallback, checkpoint: Path) -> None:
        restore(rounds, checkpoint)
        counted.append((rounds.rollouts.scorer.teacher.queries, rounds.rollouts.scorer.teacher.invalid))

    monkeypatch.setattr(RolloutCallback, "restore", counting)
    train(parse_settings([*flags, "--resume"]))
    ((queries, unusable),) = counted  # the share of bad answers goes on where it was
    assert queries == 36 and 0 < unusable <= summary["unusable_answers"]


def test_real_labels_teach_one_class_for_a_text_only(arguments, labelled: Path, teacher_folder: Path, tmp_path: Path) -> None:
    several = Path(shutil.copytree(teacher_folder, tmp_path / "several"))
    config = json.loads((several / "config.json").read_text()) | {"problem_type": "multi_label_classification"}
    (several / "config.json").write_text(json.dumps(config))
    flags = arguments(teacher=several, compare=["supervised"], real_data=labelled)
    with pytest.raises(InputError, match="compare names supervised, .* kind multi_label: leave it out"):
        train(parse_settings(flags))


@pytest.mark.slow
def test_classes_that_are_only_numbered_are_said(arguments, capsys: pytest.CaptureFixture[str]) -> None:
    for number, (labels, said) in enumerate(((["LABEL_0", "LABEL_1"], True), (["bad", "good"], False))):
        flags = [flag for flag in arguments(f"run{number}", budget=32, teacher_labels=labels) if flag != "--quiet"]
        assert train(parse_settings(flags)) is not None
        assert ("only numbers its classes (LABEL_0, ...)" in " ".join(capsys.readouterr().out.split())) is said
