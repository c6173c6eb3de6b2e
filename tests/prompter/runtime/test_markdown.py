"""Markdown pages: text of others cannot become markup."""

from pathlib import Path, PureWindowsPath

import pytest
import yaml
from huggingface_hub import ModelCardData
from hypothesis import given
from hypothesis import strategies as st

from distill.common.terminal import one_line
from prompter.runtime.markdown import TEMPLATES, cell, render, shown


@given(st.text())
def test_a_cell_is_one_line_without_markup(text: str) -> None:
    found = cell(text, 20)
    assert "\n" not in found and "<" not in found and found == one_line(found)
    assert found.replace("\\\\", "").replace("\\|", "").count("|") == 0


def test_a_page_begins_with_its_header_and_has_a_utf8_form(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "card.md.j2").write_text("---\n{{ header }}\n---\n\n{{ text | cell }}\n")
    monkeypatch.setattr("prompter.runtime.markdown.TEMPLATES", tmp_path)
    page = render("card.md.j2", ModelCardData(library_name="peft", tags=["ä: b"]), text="half a pair \ud83d")
    assert page.startswith("---\nlibrary_name: peft\n") and page.endswith("\n---\n\nhalf a pair \ufffd\n")
    assert yaml.safe_load(page.split("---\n")[1]) == {"library_name": "peft", "tags": ["ä: b"]}


def test_every_card_takes_a_header() -> None:
    templates = sorted(TEMPLATES.glob("*_card.md.j2"))
    assert len(templates) == 5
    assert all(file.read_text(encoding="utf-8").startswith("---\n{{ header }}\n---\n") for file in templates)


def test_a_cell_cannot_change_the_terminal_that_shows_the_card() -> None:
    assert cell("a\x1bc \x9b31m \u202eb") == "a\ufffdc \ufffd31m \ufffdb"


@pytest.mark.parametrize(
    "name, said",
    [("C:/Users/me/small", "small"), (r"C:\Users\me\small", "small"), (r"static:C:\Users\me\words", "static:words")],
)
def test_a_card_does_not_say_where_a_model_lies_on_windows(name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prompter.runtime.markdown.Path", PureWindowsPath)
    assert shown(name) == said
