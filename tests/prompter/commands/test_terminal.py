"""Names and texts of others on the terminal: no markup, no control characters, no traceback, in every table."""

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.common.errors import InputError
from distill.common.terminal import one_line, printable
from prompter import cli
from prompter.commands.tasks import list_tasks
from prompter.printing.tables import print_evaluation, print_students, print_summary
from prompter.runtime.console import LOGGER, Console

HOSTILE = ["[/b]", "[bold]x", "[/]", "[link=http://evil.example]y[/link]", "\x1b[2J\x1b]0;title\x07", "a\rb", "\u202egnp.exe",
           "\x9b31m", "x" * 300, "", "two\nlines", "\ud800"]  # fmt: skip


def harmless(shown: str) -> bool:
    return not any(unsafe in shown for unsafe in ("\x1b", "\x9b", "\x07", "\r", "\u202e", "\ud800"))


@given(st.text())
def test_what_is_printable_has_as_many_characters_and_no_controls(text: str) -> None:
    assert len(printable(text)) == len(text) and harmless(printable(text))
    assert "\n" not in one_line(text)


def test_scripts_and_emoji_stay_as_they_are() -> None:
    text = "क्\u200dष 👩\u200d🔬 prix : 3\u00a0€ 全角\u3000"
    assert printable(text) == text


@pytest.mark.parametrize("name", HOSTILE)
def test_tables_show_hostile_names(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    figures = {
        "accuracy": 0.5,
        "agreement": 0.5,
        "held_out_agreement": 0.5,
        "queries": 3,
        "bytes": 10,
        "texts_per_second": 9.0,
    }
    print_summary({"teacher": {"name": name}, "students": {name: figures}, "teacher_queries": 3}, name)
    print_students({"students": {name: figures}, "texts": 3, "teacher_queries": 3}, name)
    model = {"model": name, "role": "student", "metrics": {name: {"value": 0.5, "low": 0.4, "high": 0.6}},
             "parameters": 1, "bytes": 1, "milliseconds": 1.0, "texts_per_second": None}  # fmt: skip
    pair = {"first": name, "second": name, "first_only": 1, "second_only": 2, "p": 0.5}
    print_evaluation({"task": {"name": name, "rows": 3}, "models": [model], "pairs": [pair], "notes": [name]})
    shown = capsys.readouterr().out
    assert harmless(shown) and (name not in ("[/b]", "[bold]x") or shown.count(name) >= 8)


@pytest.mark.parametrize("name", HOSTILE)
def test_bars_lines_and_samples_show_hostile_names(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    row: dict[str, Any] = {"wanted": name, "predicted": name, "probability": 0.5, "topic": name, "text": name + " text"}
    with Console(quiet=False) as console:
        bar = console.bar(name, 3)
        console.step(bar, 1, name)
        console.say(name)
        console.samples([row, row | {"wanted": None}], name)
        console.step(bar, 3, name)
    assert harmless(capsys.readouterr().out)
    assert LOGGER.level == logging.NOTSET


@pytest.mark.parametrize("name", HOSTILE)
def test_errors_are_one_harmless_line(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(arguments: list[str]) -> int:
        raise InputError(f"{name}: expected something else")

    monkeypatch.setattr(cli, "_run", refuse)
    assert cli.main(["x"]) == 2
    shown = capsys.readouterr().err
    assert harmless(shown) and shown.count("\n") == 1


@pytest.mark.parametrize("name", [name for name in HOSTILE if name])
def test_the_table_of_a_dataset_shows_hostile_names(name: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    import pandas

    rows = {"text": [f"{name} {word} words here" for word in "abcd"], "label": [name.encode("utf-8", "replace").decode()] * 4}
    if "\ud800" in name:
        pytest.skip("no file holds half a character")
    pandas.DataFrame(rows).to_parquet(tmp_path / "train.parquet")
    assert cli.main(["evaluate-data", str(tmp_path), "--quiet"]) == 0
    assert harmless(capsys.readouterr().out)


def test_a_narrow_terminal_shows_whole_numbers_and_all_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    row = {"accuracy": 0.98, "agreement": 0.49, "macro_f1": 0.329, "queries": 256, "seconds": 2.0, "bytes": 2e6,
           "texts_per_second": 1662.0}  # fmt: skip
    print_summary({"teacher": row, "students": {"prompted": row}, "teacher_queries": 256}, "o")
    error = {"expected_calibration_error": {"value": 0.5, "low": 0.4, "high": 0.6}}
    model = {
        "role": "student",
        "metrics": error,
        "parameters": 25778,
        "bytes": 1,
        "milliseconds": 1.0,
        "texts_per_second": None,
    }
    models = [{"model": name} | model for name in ("a", "b", "c")]
    print_evaluation({"task": {"name": "t", "rows": 3}, "models": models, "pairs": [], "notes": []})
    assert list_tasks() == 0
    shown = capsys.readouterr().out
    assert "…" not in shown and "1,662" in shown and "25,778" in shown
    listed = shown.split("25,778")[-1]
    assert all(word in listed for word in ("data", "metric", "fancyzh"))
