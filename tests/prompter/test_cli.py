"""The command line as a whole: verbs, help, completion, exit statuses."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import prompter
from prompter.cli import VERBS, build_parser, command, main, parsed


def test_help_answers_in_under_a_second_and_loads_nothing_heavy() -> None:
    for arguments in (["--help"], ["train", "--help"], ["distill", "--help"], ["tasks", "ls"]):
        code = (
            "import sys; from prompter.cli import main; status = main(sys.argv[1:]); "
            "heavy = {'torch', 'transformers', 'datasets', 'sklearn', 'trl'} & set(sys.modules); "
            "sys.exit(status or len(heavy))"
        )
        start = time.process_time(), time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, (arguments, done.stderr)
        assert time.perf_counter() - start[1] < 5, arguments  # a loaded machine; heavy imports alone take longer there


def test_every_verb_has_help_with_two_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in VERBS:
        assert main([verb, "--help"]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith(f"usage: prompter {verb}")
        assert len(command(verb).EXAMPLES) == 2 and all(example in shown for example in command(verb).EXAMPLES)


def test_the_help_of_export_says_that_the_writer_goes_on_as_in_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for flag in ("--writer_temperature", "--in_context", "--edit_labels", "--pair_texts"):
        text = shown.split(f" {flag} ")[1].split(" --")[0]
        assert text.endswith("(default: that of the run)"), text
    assert "Rows per Parquet file. (default: 10000)" in shown


def test_each_flag_stands_once_in_a_help_text() -> None:
    for verb, parser in build_parser()[1].choices.items():
        flags = [flag for action in parser._actions for flag in action.option_strings]
        assert len(flags) == len(set(flags)), verb


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0 and capsys.readouterr().out == f"prompter {prompter.__version__}\n"
    assert main([]) == main(["--help"]) == main(["help"]) == 0
    assert capsys.readouterr().out.count("usage: prompter [-h]") == 3
    assert main(["help", "export"]) == 0 and "prompter export RUN" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "unknown verb 'trian': expected one of .* Did you mean 'train'?"),
        (["distill", "--from", "a", "--outptu_dir", "b"], "unknown argument '--outptu_dir'. Did you mean 'output_dir'?"),
        (["distill", "--from", "a"], "output_dir is missing"),
        (["report"], "run is missing"),
        (["tasks", "lst"], "unknown action 'lst', expected one of: ls, show, validate. Did you mean 'ls'?"),
        (["completion", "fish"], "shell is 'fish', expected one of: bash, zsh, tcsh"),
    ],
)
def test_mistakes_end_with_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    import re

    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert re.search(said.replace("?", r"\?"), error) and error.count("\n") == 1


def test_arguments_may_stand_before_and_behind_flags() -> None:
    expected = {"run": "runs/x", "rows": "5", "to": "data"}
    assert parsed(["export", "runs/x", "--rows", "5", "--output_dir", "data"]) == ("export", expected)
    assert parsed(["export", "--rows", "5", "--to", "data", "runs/x"]) == ("export", expected)
    assert parsed(["evaluate", "a", "b", "--task", "t"])[1]["models"] == ["a", "b"]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_names_verbs_and_flags(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "evaluate-data" in script and "--output_dir" in script


def test_what_the_encoding_of_the_output_lacks_is_written_as_its_number(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "kind: single\nlabels: [été, 映画]\ndata: x.csv\ntext_columns: [text]\nlabel_column: label\nmetrics: [accuracy]\n"
        "version: 1\n",
        encoding="utf-8",
    )
    code = "import sys; from prompter.cli import main; sys.exit(main(sys.argv[1:]))"
    command_line = [sys.executable, "-c", code, "tasks", "show", str(tmp_path / "mine.yaml")]
    done = subprocess.run(command_line, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert done.returncode == 0, done.stderr
    assert "labels: [été, \\u6620\\u753b]" in done.stdout.decode("latin-1")


def test_a_reader_may_stop_reading() -> None:
    pytest.importorskip("shtab")
    command_line = f"{sys.executable} -m prompter completion bash | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command_line], capture_output=True, text=True)
    assert "Traceback" not in done.stderr


def test_the_demo_shows_its_own_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "(default: 7000)" in shown and "(default: runs/demo)" in shown


def test_a_broken_pipe_while_a_verb_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(arguments: list[str]) -> int:
        raise BrokenPipeError

    monkeypatch.setattr("prompter.cli._run", fails)
    assert main(["tasks", "ls"]) == 141
    assert capsys.readouterr().err == ""


def test_an_error_of_the_system_shows_no_key_of_an_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(arguments: list[str]) -> int:
        raise ConnectionError("nothing answers at https://me:pass99@host.example/data.csv?key=secret99")

    monkeypatch.setattr("prompter.cli._run", fails)
    assert main(["tasks", "ls"]) == 2
    error = capsys.readouterr().err
    assert "https://host.example/data.csv?...: check the path" in error and "99" not in error


def test_a_stopped_command_is_shown_without_the_key_in_an_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(values: dict) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command("label"), "run", stopped)
    begun = ["label", "--texts", "t?.txt", "--to", "out"]
    main([*begun, "--teacher", "HTTPS://host/predict?key=hidden"])
    main([*begun, "--teacher=vllm+https://host/classify?key=hidden#model"])
    first, second = capsys.readouterr().err.splitlines()
    shown = "Stopped. Go on with: prompter label --texts 't?.txt' --to out"
    note = " (with the '?...' of the address, which is not shown)"
    assert first == f"{shown} --teacher https://host/predict{note}"
    assert second == f"{shown} '--teacher=vllm+https://host/classify#model'{note}"


@pytest.mark.parametrize("begun", [True, False])
def test_the_command_that_goes_on_fits_what_is_there(
    begun: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(**values: object) -> None:
        if begun:
            (tmp_path / "config.yaml").write_text("")
        raise KeyboardInterrupt

    monkeypatch.setattr("prompter.api.train", stopped)
    monkeypatch.setattr("prompter.runtime.interrupt._last", signal.SIGINT)  # a test before may have sent another
    assert main(["train", "--teacher", "x", "--generator", "y", "--output_dir", str(tmp_path)]) == 130
    assert ("--resume" in capsys.readouterr().err) == begun


def test_a_mistake_shows_no_password_and_no_query_of_an_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address, to = "https://me:pass99@host.example/v1?key=secret99", ["--output_dir", str(tmp_path / "a")]
    for arguments in (["distill", "--from", address, *to], ["export", address, "--rows", "5", *to], ["report", address]):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert "host.example" in error and "99" not in error, error
