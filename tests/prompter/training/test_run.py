"""Whole runs on tiny models: what they write, how they stop and go on, and what they refuse."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import pipeline

from distill.common.errors import InputError
from prompter.cli import main
from prompter.training.baseline_names import BASELINES
from prompter.training.callback import RolloutCallback
from prompter.training.run import train
from prompter.training.settings import parse_settings
from tests.distill.service import Service

SMALL = {
    "student": "bert:layers=1,hidden=16,heads=1",
    "budget": 100,
    "rollout_size": 16,
    "minibatch_size": 8,
    "student_updates": 24,
    "student_batch_size": 8,
    "topic_max_tokens": 3,
    "writer_max_new_tokens": 6,
    "writer_min_new_tokens": 2,
    "learning_rate": 1e-3,
    "device": "cpu",
    "save_every": 2,
}


@pytest.fixture
def arguments(teacher_folder: Path, lm_folder: Path, tmp_path: Path):
    """Flags of a small run; keyword arguments change settings."""

    def make(folder: str = "run", **changes: object) -> list[str]:
        settings = {"output_dir": tmp_path / folder, "teacher": teacher_folder, "generator": lm_folder} | SMALL | changes
        flags = []
        for key, value in settings.items():
            flags += [f"--{key}", *(map(str, value) if isinstance(value, list) else [str(value)])]
        return [*flags, "--quiet"]

    return make


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    file = tmp_path / "labelled.jsonl"
    rows = [{"text": f"w{i % 20} w{i % 7} w{i % 3} good", "label": i % 2} for i in range(40)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def outcome(run: Path) -> tuple[dict, bytes, bytes, bytes]:
    """What two equal runs have in common: student weights, metrics, samples, where teacher and student differ."""
    return (
        load_file(run / "student" / "model.safetensors"),
        (run / "metrics.jsonl").read_bytes(),
        (run / "samples.jsonl").read_bytes(),
        (run / "disagreement.json").read_bytes(),
    )


def assert_same(one: Path, other: Path) -> None:
    (weights, *logs), (other_weights, *other_logs) = outcome(one), outcome(other)
    assert logs == other_logs
    assert weights.keys() == other_weights.keys()
    for name, value in weights.items():
        assert torch.equal(value, other_weights[name]), name


def test_a_run_spends_the_budget_exactly_and_writes_what_it_promises(arguments, labelled: Path, tmp_path: Path) -> None:
    flags = arguments(eval_data=labelled, real_data=labelled, corpus=tmp_path / "corpus.txt", eval_every=2)
    (tmp_path / "corpus.txt").write_text("w1 w2 w3 w4 w5 w6.\nw3 w9 w4 w5 good w6 w7.\n")
    class_prompts = list(BASELINES)
    assert main(["train", *flags, "--compare", *class_prompts]) == 0
    run = tmp_path / "run"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["queries"] for row in rows] == [16, 32, 48, 64, 80, 96, 100]
    assert all(0 <= row[f"reward/{term}"] <= 1 for row in rows for term in ("confidence", "disagreement", "novelty"))
    assert {"kl", "entropy", "critic_loss", "student_loss"} <= rows[3].keys()
    assert [row["update"] for row in rows if "accuracy" in row] == [2, 4, 6]
    summary = json.loads((run / "summary.json").read_text())
    assert summary["teacher_queries"] == 100
    assert set(summary["students"]) == {"prompted", *class_prompts}
    for name, figures in summary["students"].items():
        assert figures["queries"] == (0 if name == "supervised" else 100)
        assert (figures["texts"] < 50) == (name == "selected-topics")
        assert 0 <= figures["agreement"] <= 1
    apart = json.loads((run / "disagreement.json").read_text())
    assert (apart["source"], apart["texts"]) == ("evaluation", 40)
    same = sum(pair["texts"] for pair in apart["pairs"] if pair["teacher"] == pair["student"])
    assert same / 40 == pytest.approx(summary["students"]["prompted"]["agreement"])
    assert "Where teacher and student differ" in (run / "report.html").read_text()
    for name in ("config.yaml", "report.html", "prompter/prompter.json", "prompter/adapter_model.safetensors"):
        assert (run / name).is_file(), name
    rows = pd.read_parquet(run / "dataset" / "data")
    assert 50 < len(rows) <= 100 and rows["text"].is_unique
    samples = {row["text"]: row for row in map(json.loads, (run / "samples.jsonl").read_text().splitlines())}
    logged = rows[rows["text"].isin(samples.keys())]
    assert len(logged) == len(samples)
    assert all(topic == samples[text]["topic"] for text, topic in zip(logged["text"], logged["topic"], strict=True))
    answer = pipeline("text-classification", str(run / "student"))("w1 w2 good")
    assert answer[0]["label"] in ("good", "bad")


def test_the_seed_decides_everything(arguments, tmp_path: Path) -> None:
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(parse_settings(arguments(folder, seed=seed, budget=48, teacher_cache=False)))
    assert_same(tmp_path / "a", tmp_path / "b")
    assert outcome(tmp_path / "a")[1] != outcome(tmp_path / "c")[1]


@pytest.mark.parametrize(
    "changes", [{"algorithm": "grpo"}, {"algorithm": "rloo"}, {"writes": "text"}, {"lora_rank": 0}, {"candidates": 3}]
)
def test_variants_run(arguments, tmp_path: Path, changes: dict) -> None:
    summary = train(parse_settings(arguments(budget=48, **changes)))
    assert summary is not None
    if changes.get("writes") == "text":
        samples = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
        assert all(row["text"].startswith(row["topic"]) for row in samples)


def start(flags: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "prompter.cli", "train", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
    )


def wait_for(condition, process: subprocess.Popen, seconds: float = 120) -> None:
    end = time.time() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.time() < end
        time.sleep(0.01)


def lines(file: Path) -> int:
    return file.read_text().count("\n") if file.exists() else 0


def killed_after(flags: list[str], run: Path, rows: int, number: int) -> subprocess.Popen:
    process = start(flags)
    wait_for(lambda: lines(run / "metrics.jsonl") >= rows, process)
    process.send_signal(number)
    process.wait(timeout=60)
    return process


@pytest.mark.parametrize("screen", [{}, {"candidates": 3, "candidate_tokens": 2}])
def test_a_killed_run_goes_on_bit_for_bit(arguments, tmp_path: Path, own_cache: Path, screen: dict) -> None:
    train(parse_settings(arguments("whole", **screen)))
    shutil.rmtree(own_cache)  # both begin without known answers
    killed_after(arguments("killed", **screen), tmp_path / "killed", 3, signal.SIGKILL)
    assert not (tmp_path / "killed" / "summary.json").exists()
    assert main(["train", *arguments("killed", **screen), "--resume"]) == 0
    assert_same(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(20))
def test_killed_at_random_moments(arguments, tmp_path: Path, attempt: int) -> None:
    train(parse_settings(arguments("whole")))
    flags, random = arguments("killed"), np.random.default_rng(attempt)
    process = start(flags)
    wait_for(lambda: (tmp_path / "killed" / "config.yaml").exists(), process)
    for _ in range(3):
        time.sleep(random.uniform(0, 3))
        process.kill()
        process.wait()
        process = start([*flags, "--resume"])
    assert process.wait(timeout=200) == 0, process.stderr.read() if process.stderr else ""
    assert_same(tmp_path / "whole", tmp_path / "killed")


def test_ctrl_c_saves_and_says_how_to_go_on(arguments, tmp_path: Path, own_cache: Path) -> None:
    train(parse_settings(arguments("whole")))
    shutil.rmtree(own_cache)  # both begin without known answers
    process = killed_after(arguments("stopped", save_every=1000), tmp_path / "stopped", 2, signal.SIGINT)
    assert process.returncode == 130
    assert process.stderr is not None
    assert "--resume" in process.stderr.read()
    assert main(["train", *arguments("stopped", save_every=1000), "--resume"]) == 0
    assert_same(tmp_path / "whole", tmp_path / "stopped")
    calls = [json.loads((tmp_path / name / "summary.json").read_text())["teacher_calls"] for name in ("whole", "stopped")]
    assert calls[0] == calls[1]


def test_a_damaged_checkpoint_falls_back(arguments, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    train(parse_settings(arguments("whole")))
    killed_after(arguments("killed"), tmp_path / "killed", 5, signal.SIGKILL)
    newest = max((tmp_path / "killed" / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
    adapter = newest / "adapter_model.safetensors"
    adapter.write_bytes(adapter.read_bytes()[:100])
    flags = [flag for flag in arguments("killed") if flag != "--quiet"]
    assert main(["train", *flags, "--resume"]) == 0
    assert "falling back" in " ".join(capsys.readouterr().out.split())
    assert_same(tmp_path / "whole", tmp_path / "killed")


def test_a_finished_run_is_left_alone(arguments, tmp_path: Path) -> None:
    train(parse_settings(arguments(budget=32)))
    before = (tmp_path / "run" / "summary.json").stat().st_mtime_ns
    train(parse_settings([*arguments(budget=32), "--resume"]))
    assert (tmp_path / "run" / "summary.json").stat().st_mtime_ns == before
    (tmp_path / "run" / "report.html").unlink()  # as a kill at the last moment leaves it
    train(parse_settings([*arguments(budget=32), "--resume"]))
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_control_already_done_is_read_as_it_was_taught(arguments, labelled: Path, tmp_path: Path) -> None:
    flags = arguments(eval_data=labelled, compare=["unprompted"], student_max_length=3)
    first = train(parse_settings(flags))
    (tmp_path / "run" / "summary.json").unlink()
    again = train(parse_settings([*flags, "--resume"]))
    assert first is not None and again is not None
    for name in ("accuracy", "macro_f1", "agreement"):
        assert again["students"]["unprompted"][name] == first["students"]["unprompted"][name]


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
    assert not own_cache.exists()


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


ASKED: list[str] = []


def remembering(texts: list[str]) -> np.ndarray:
    """A callable teacher that notes what it is asked."""
    ASKED.extend(texts)
    return np.tile([0.7, 0.3], (len(texts), 1))


def test_a_function_is_asked_as_often_as_the_summary_says(arguments, labelled: Path, lm_folder: Path) -> None:
    ASKED.clear()
    teacher = "tests.prompter.training.test_run:remembering"
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
    teacher = "tests.prompter.training.test_run:three_classes"
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


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"budget": 10}, "budget is 10, expected at least one rollout of 16"),
        ({"teacher": "/nowhere/teacher"}, "teacher"),
        ({"student": "bert:layers=2,hiden=128"}, "hiden"),
        ({"candidates": 4, "writes": "text"}, "candidates is 4, expected 1"),
        ({"candidates": 4, "candidate_tokens": 99}, "candidate_tokens is 99, expected less than writer_max_new_tokens"),
        ({"trainer_args": '{"epsilonn": 1}'}, "no field 'epsilonn'. Did you mean 'epsilon'"),
        ({"trainer_args": '{"gradient_accumulation_steps": 2}'}, "'gradient_accumulation_steps' follows from the settings"),
    ],
)
def test_mistakes_leave_nothing_half_written(arguments, tmp_path: Path, changes: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        train(parse_settings(arguments(**changes)))
    run = tmp_path / "run"
    assert not [file for file in run.rglob("*") if file.name != ".lock" and file.is_file()] if run.exists() else True


def test_teacher_and_generator_swapped_are_told_apart(arguments, teacher_folder: Path, lm_folder: Path) -> None:
    with pytest.raises(InputError, match="not a sequence classifier"):
        train(parse_settings(arguments(teacher=lm_folder)))
    with pytest.raises(InputError, match="not a causal language model"):
        train(parse_settings(arguments(generator=teacher_folder)))
