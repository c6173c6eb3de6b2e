"""`prompter distill` as a whole: bad input, Ctrl-C, finished calls, epochs."""

import json
import os
import signal
from pathlib import Path

import pytest

from prompter.cli import main
from prompter.runtime.run_folder import RunFolder
from prompter.runtime.trackers import Trackers
from tests.prompter.students.distilling import STUDENT, outcome, run


def test_ctrl_c_saves_and_tells_how_to_go_on(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["--from", exported, "--student", STUDENT, "--to", tmp_path / "tiny"]
    original = RunFolder.append
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "append", lambda *a: (original(*a), os.kill(os.getpid(), signal.SIGINT))[0])
        assert run(*call) == 130
    assert "--resume" in capsys.readouterr().err
    assert not (tmp_path / "tiny").exists()
    assert run(*call, "--resume") == 0
    assert run("--from", exported, "--student", STUDENT, "--to", tmp_path / "other") == 0
    assert outcome(tmp_path / "tiny") == outcome(tmp_path / "other")


def test_a_finished_call_does_nothing_and_refuses_other_settings(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "tiny"
    assert run("--from", exported, "--student", STUDENT, "--to", to) == 0
    before = (to / "model.safetensors").stat().st_mtime_ns
    assert run("--from", exported, "--student", STUDENT, "--to", to) == 0
    assert (to / "model.safetensors").stat().st_mtime_ns == before
    assert run("--from", exported, "--student", STUDENT, "--to", to, "--seed", 1) == 2
    assert "seed" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["[1]", '{"config": 3}', "null"])
def test_a_summary_of_something_else_is_not_replaced(
    content: str, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "summary.json").write_text(content)
    assert run("--from", exported, "--student", STUDENT, "--to", tmp_path / "own") == 2
    assert "already holds something else: choose another folder" in capsys.readouterr().err
    assert (tmp_path / "own" / "summary.json").read_text() == content


def test_trackers_are_closed_also_where_ctrl_c_stops_the_work(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, original = [], RunFolder.append
    monkeypatch.setattr(RunFolder, "append", lambda *a: (original(*a), os.kill(os.getpid(), signal.SIGINT))[0])
    monkeypatch.setattr(Trackers, "close", lambda self: closed.append(self))
    assert run("--from", exported, "--student", STUDENT, "--to", tmp_path / "tiny") == 130
    assert len(closed) == 1


def test_epochs_set_the_number_of_updates(exported: Path, tmp_path: Path) -> None:
    assert run("--from", exported, "--student", STUDENT, "--to", tmp_path / "tiny", "--epochs", 2) == 0
    log = [json.loads(line) for line in (tmp_path / "tiny" / "training_log.jsonl").read_text().splitlines()]
    assert log[-1]["update"] == -(-2 * round(540 * 0.95) // 16)


def test_a_smaller_replay_is_said_not_to_be_used(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    said = "replay_capacity is 10, but distill keeps all of its 540 texts: it is not used."
    for capacity, expected in ((10, True), (540, False)):
        caplog.clear()
        with caplog.at_level("INFO", "prompter"):
            to = tmp_path / str(capacity)
            assert run("--from", exported, "--student", STUDENT, "--to", to, "--replay_capacity", capacity) == 0
        assert (said in caplog.messages) is expected, caplog.messages
    assert main(["distill", "--help"]) == 0
    assert "(default: all, whatever is given here)" in " ".join(capsys.readouterr().out.split())


def test_more_texts_than_can_be_held_are_named(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("prompter.students.run.MOST_TEXTS", 500)
    assert run("--from", exported, "--student", STUDENT, "--to", tmp_path / "tiny") == 2
    assert "from: 540 texts, of which at most 500 can be held" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "from is missing"),
        (["--from", "{exported}"], "output_dir is missing"),
        (["--from", "{exported}", "{exported}", "--to", "x"], "twice"),
        (["--from", "{exported}", "--to", "x", "--weights", "1", "2"], "one for each --from"),
        (["--from", "{exported}", "--to", "x", "--select", "bst"], "best-agreement, last"),
        (["--from", "{exported}", "--to", "x", "--held_out", "1"], "held_out"),
        (["--from", "{exported}", "--to", "x", "--held_out", "0"], "--select last"),
        (["--from", "{own}", "--to", "x"], "teacher is missing"),
        (["--from", "{tmp}/missing.jsonl", "--to", "x", "--teacher", "{teacher}"], "no such file"),
        (["--from", "{exported}", "--to", "{tmp}"], "something else"),
        (["--from", "{exported}", "--to", "x", "--eval_limit", "-1"], "eval_limit is -1"),
        (["--from", "{exported}", "--to", "x", "--studnt", "a"], "student"),
        (["--from", "{exported}", "--to", "x", "--report_to", "tensorbord"], "tensorboard"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_left(
    arguments: list[str],
    message: str,
    exported: Path,
    own_text: Path,
    teacher_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    places = {"exported": exported, "own": own_text, "teacher": teacher_folder, "tmp": tmp_path}
    assert run(*(argument.format(**places) for argument in arguments)) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_that_leads_nowhere_is_not_replaced(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    assert run("--from", exported, "--student", STUDENT, "--to", link) == 2
    assert "is a link to" in capsys.readouterr().err
    assert link.is_symlink() and not (tmp_path / "nowhere").exists()
