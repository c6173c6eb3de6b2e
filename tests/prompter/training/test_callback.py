"""Runs that stop and go on: killed, interrupted, with a damaged checkpoint."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from distill.common.errors import InputError, WorthlessError
from distill.common.files import write_json
from distill.distiller import Distiller
from eval.classifiers import health
from prompter.cli import main
from prompter.runtime.run_folder import RunFolder
from prompter.training.run import train
from prompter.training.settings import parse_settings
from tests.prompter.training.runs import assert_same


class Killed(BaseException):
    """Ends a run as a kill does: nothing after it is written."""


def after_rows(monkeypatch: pytest.MonkeyPatch, rows: int, act: Callable[[], None]) -> None:
    """Do something right after the log has got so many rows."""
    append, written = RunFolder.append, []

    def counting(folder: RunFolder, log: str, new: list[dict]) -> None:
        append(folder, log, new)
        written.extend(new if log == "metrics" else [])
        if log == "metrics" and len(written) == rows:
            act()

    monkeypatch.setattr(RunFolder, "append", counting)


def kill() -> None:
    raise Killed


def killed(flags: list[str], rows: int) -> None:
    """Train, but end right after the log has got so many rows."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        after_rows(patch, rows, kill)
        train(parse_settings(flags))
    torch.manual_seed(99)  # as in a fresh process, the random generators are not where they were


def test_a_killed_run_goes_on_bit_for_bit(arguments, whole: Path, tmp_path: Path) -> None:
    killed(arguments("killed"), 3)
    assert not (tmp_path / "killed" / "summary.json").exists()
    assert train(parse_settings([*arguments("killed"), "--resume"])) is not None
    assert_same(whole, tmp_path / "killed")


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_so_does_one_on_a_gpu(arguments, tmp_path: Path, own_cache: Path, dtype: str) -> None:
    changes = {"device": "cuda", "dtype": dtype, "writer_max_new_tokens": 16}  # long enough for a recorded pass
    summary = train(parse_settings(arguments("uninterrupted", **changes)))
    assert summary is not None and summary["students"]["prompted"]["updates"] == 24
    shutil.rmtree(own_cache)
    killed(arguments("killed", **changes), 3)
    assert train(parse_settings([*arguments("killed", **changes), "--resume"])) is not None
    assert_same(tmp_path / "uninterrupted", tmp_path / "killed")


@pytest.mark.parametrize(
    "changes",
    [
        {"candidates": 3, "candidate_tokens": 2, "edit_labels": "bad"},
        {"writes": "nothing", "candidates": 2},
        {"algorithm": "none"},
        {"writes": "subject"},
    ],
)
@pytest.mark.slow
def test_so_does_one_of_another_kind(arguments, tmp_path: Path, own_cache: Path, changes: dict) -> None:
    train(parse_settings(arguments("uninterrupted", **changes)))
    shutil.rmtree(own_cache)  # both begin without known answers
    killed(arguments("killed", **changes), 5)
    assert train(parse_settings([*arguments("killed", **changes), "--resume"])) is not None
    assert_same(tmp_path / "uninterrupted", tmp_path / "killed")
    row = json.loads((tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()[-1])
    assert ({"confidence/good", "confidence/bad"} <= row.keys()) == ("edit_labels" in changes)
    assert len(list((tmp_path / "killed" / "checkpoints").glob("checkpoint-*"))) == 2


@pytest.mark.slow
def test_a_run_without_checkpoints_says_what_it_loses(
    arguments, whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed(arguments("killed"), 3)
    shutil.rmtree(tmp_path / "killed" / "checkpoints")
    assert train(parse_settings([*arguments("killed"), "--resume"])) is not None
    assert "its 3 rollouts (48 queries) are lost" in caplog.text
    assert_same(whole, tmp_path / "killed")


def test_a_mistyped_folder_spends_nothing(arguments, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *arguments("mistyped"), "--resume"]) == 2
    assert "holds no run to go on with" in capsys.readouterr().err
    assert not (tmp_path / "mistyped").exists()


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


def test_a_process_that_is_killed_leaves_a_run_that_goes_on(arguments, whole: Path, tmp_path: Path) -> None:
    log = tmp_path / "killed" / "metrics.jsonl"
    process = start(arguments("killed"))
    wait_for(lambda: log.exists() and log.read_text().count("\n") >= 3, process)
    process.kill()
    process.wait(timeout=60)
    assert train(parse_settings([*arguments("killed"), "--resume"])) is not None
    assert_same(whole, tmp_path / "killed")


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(20))
def test_killed_at_random_moments(arguments, whole: Path, tmp_path: Path, attempt: int) -> None:
    flags, random = arguments("killed"), np.random.default_rng(attempt)
    process = start(flags)
    wait_for(lambda: (tmp_path / "killed" / "config.yaml").exists(), process)
    for _ in range(3):
        time.sleep(random.uniform(0, 3))
        process.kill()
        process.wait()
        process = start([*flags, "--resume"])
    assert process.wait(timeout=200) == 0, process.stderr.read() if process.stderr else ""
    assert_same(whole, tmp_path / "killed")


def test_ctrl_c_saves_and_says_how_to_go_on(
    arguments, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = arguments("stopped", save_every=1000)
    with monkeypatch.context() as patch:
        after_rows(patch, 2, lambda: os.kill(os.getpid(), signal.SIGINT))
        assert main(["train", *flags]) == 130
    assert "--resume" in capsys.readouterr().err
    assert main(["train", *flags, "--resume"]) == 0
    assert_same(whole, tmp_path / "stopped")
    calls = [json.loads((run / "summary.json").read_text())["teacher_calls"] for run in (whole, tmp_path / "stopped")]
    assert calls[0] == calls[1]


def test_a_damaged_checkpoint_falls_back(arguments, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    killed(arguments("killed"), 5)
    newest = max((tmp_path / "killed" / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
    adapter = newest / "adapter_model.safetensors"
    adapter.write_bytes(adapter.read_bytes()[:100])
    flags = [flag for flag in arguments("killed") if flag != "--quiet"]
    assert main(["train", *flags, "--resume"]) == 0
    assert "falling back" in " ".join(capsys.readouterr().out.split())
    assert_same(whole, tmp_path / "killed")


@pytest.mark.slow
def test_models_that_were_trained_again_in_their_place_are_refused_when_a_run_goes_on(
    arguments, teacher_folder: Path, lm_folder: Path, tmp_path: Path
) -> None:
    models = {"teacher": teacher_folder, "generator": lm_folder, "student": teacher_folder}
    models = {name: Path(shutil.copytree(folder, tmp_path / name)) for name, folder in models.items()}
    flags = arguments("run", **models)
    killed(flags, 3)
    for name, folder in models.items():
        weights = folder / "model.safetensors"
        former = weights.read_bytes()
        save_file({name: value * 1.01 for name, value in load_file(weights).items()}, weights, {"format": "pt"})
        with pytest.raises(InputError, match=f"{name}: .* has other weights than when .*was begun"):
            train(parse_settings([*flags, "--resume"]))
        weights.write_bytes(former)


@pytest.mark.slow
def test_other_reward_functions_are_refused_and_changed_ones_named_when_a_run_goes_on(
    arguments, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def brief(texts: list[str], **known: object) -> list[float]:
        return [1 / len(text) for text in texts]

    def changed(texts: list[str], **known: object) -> list[float]:
        return [2 / len(text) for text in texts]

    changed.__name__ = "brief"
    flags = [flag for flag in arguments(budget=64) if flag != "--quiet"]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        after_rows(patch, 3, kill)
        train(parse_settings(flags), [brief])
    with pytest.raises(InputError, match="other terms of the reward \\(differing: brief\\)"):
        train(parse_settings([*flags, "--resume"]))
    with pytest.raises(InputError, match="reward_weights: the run was made with .'brief': 1.0., but .* gives .'brief': 3.0."):
        train(parse_settings([*flags, "--resume"]), [brief], 3.0)
    with caplog.at_level("INFO"):
        for given in (brief, changed):
            with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
                after_rows(patch, 1, kill)
                train(parse_settings([*flags, "--resume"]), [given])
            line = "reward_funcs: test_callback.py, which 'brief' is written in, was changed since the run was begun"
            assert (line in caplog.text) == (given is changed)
    summary = train(parse_settings([*flags, "--resume"]), [brief])
    assert summary is not None and summary["reward_funcs"] == {"brief": 1.0}


@pytest.mark.slow
def test_a_run_that_was_killed_within_its_first_row_begins_again(arguments, whole: Path, tmp_path: Path) -> None:
    killed(arguments("killed"), 1)
    log = tmp_path / "killed" / "metrics.jsonl"
    log.write_bytes(log.read_bytes()[:-20])
    assert train(parse_settings([*arguments("killed"), "--resume"])) is not None
    assert_same(whole, tmp_path / "killed")


def test_ctrl_c_in_the_last_rollout_stops_the_run_too(
    arguments, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(parse_settings(arguments("uninterrupted", budget=32)))
    shutil.rmtree(own_cache)
    flags = arguments("stopped", budget=32)
    monkeypatch.setattr(health, "PILOT", 32)  # the last rollout is that of the pilot: nothing is left to stop
    monkeypatch.setattr(health, "stops", lambda seen, labels: [{}] if seen else [])
    with monkeypatch.context() as patch:
        after_rows(patch, 2, lambda: os.kill(os.getpid(), signal.SIGINT))
        assert main(["train", *flags]) == 130
    assert not (tmp_path / "stopped" / "student").exists()
    (last,) = (tmp_path / "stopped" / "checkpoints").iterdir()
    counters = json.loads((last / "rounds.json").read_text())
    counters["seconds"] |= {"teacher and writer": 1000.0, "rounds": 2000.0}
    write_json(last / "rounds.json", counters)
    with contextlib.closing(RunFolder(tmp_path / "stopped")) as folder:
        folder.seal(last)
    summary = train(parse_settings([*flags, "--resume"]))
    assert summary is not None and summary["time"]["teacher and writer"] > 1000  # what loading took both times
    assert summary["seconds"] > 3000
    assert_same(tmp_path / "uninterrupted", tmp_path / "stopped")


def killed_while_saving(flags: list[str], save: int) -> None:
    """Train, but end when the checkpoint of that number is half written."""
    original, begun = Distiller.save, []

    def halfway(distiller: Distiller, folder: str | Path) -> None:
        begun.append(folder)
        if len(begun) == save:
            raise Killed
        original(distiller, folder)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Distiller, "save", halfway)
        train(parse_settings(flags))


@pytest.mark.parametrize("algorithm", [pytest.param("ppo", marks=pytest.mark.slow), "none"])
def test_a_whole_checkpoint_stays_until_a_newer_one_is_whole(arguments, tmp_path: Path, algorithm: str) -> None:
    flags = arguments("killed", trainer_args='{"save_total_limit": 1}', budget=160, algorithm=algorithm)
    checkpoints = tmp_path / "killed" / "checkpoints"
    killed_while_saving(flags, 2)  # the one of rollout 4
    (first, _) = sorted(checkpoints.iterdir(), key=lambda path: int(path.name[11:]))
    (checkpoints / "checkpoint-1000").mkdir()  # damaged and passed over
    killed_while_saving([*flags, "--save_every", "1", "--resume"], 1)  # the one of rollout 3
    with contextlib.closing(RunFolder(tmp_path / "killed")) as folder:
        assert folder.last_checkpoint()[0] == first
    assert train(parse_settings([*flags, "--save_every", "1", "--resume"])) is not None
    (left,) = checkpoints.iterdir()
    assert int(left.name[11:]) == 10 * (int(first.name[11:]) // 2)
    with pytest.raises(InputError, match="save_total_limit' is 'two', expected a whole number"):
        train(parse_settings(arguments("other", trainer_args='{"save_total_limit": "two"}', algorithm=algorithm)))


@pytest.mark.slow
def test_the_report_of_a_finished_run_is_not_that_of_its_pilot(
    arguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags, run = arguments(budget=64), tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(WorthlessError):
        patch.setattr(health, "PILOT", 20)
        patch.setattr(
            health, "stops", lambda seen, labels: [{"name": "n", "words": "w", "advice": "a", "code": "c"}] if seen else []
        )
        train(parse_settings(flags))
    assert (run / "health.json").is_file()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("prompter.training.run.list_files", lambda *_: kill())
        train(parse_settings([*flags, "--resume", "--no_pilot"]))
    train(parse_settings([*flags, "--resume", "--no_pilot"]))
    assert "is not finished" not in (run / "report.html").read_text()
    assert (run / "checksums.json").is_file() and not (run / "health.json").exists()
