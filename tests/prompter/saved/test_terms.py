"""Licence and language of a card: the user's words, else those of the model that it comes from, and a line that says so."""

from pathlib import Path

import pytest
import yaml

from distill.common.errors import InputError
from distill.common.settings import ModelHubSettings
from prompter.saved.hub import upload_model
from prompter.saved.terms import card_of, set_terms
from tests.prompter.saved.hub_server import Hub, hub  # noqa: F401

CARD = "---\nlibrary_name: transformers\ntags:\n- synthetic\n---\n\n# A student\n\n--- not a header ---\n"


def written(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "README.md").write_text(text)
    return folder


def header(folder: Path) -> dict:
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def test_what_the_user_gives_wins(tmp_path: Path) -> None:
    said: list[str] = []
    teacher = written(tmp_path / "teacher", "---\nlicense: mit\nlanguage: fr\n---\n")
    folder = written(tmp_path / "student", CARD)
    set_terms(folder, ModelHubSettings(license="apache-2.0", language=["en", "de"]), str(teacher), said.append)
    assert header(folder) == {
        "library_name": "transformers",
        "tags": ["synthetic"],
        "license": "apache-2.0",
        "language": ["en", "de"],
    }
    assert "# A student\n\n--- not a header ---" in (folder / "README.md").read_text() and not said
    before = (folder / "README.md").read_bytes()
    set_terms(folder, ModelHubSettings(), str(teacher), said.append)  # what stands there stays
    assert (folder / "README.md").read_bytes() == before


def test_an_inherited_licence_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    teacher = written(tmp_path / "teacher", "---\nlicense: mit\nlanguage: fr\n---\n")
    folder = written(tmp_path / "student", CARD)
    set_terms(folder, ModelHubSettings(), str(teacher), said.append)
    assert header(folder)["license"] == "mit" and header(folder)["language"] == "fr"
    assert said == [
        f"student: its card names the licence mit, which is that of {teacher}: check that it holds here, or give --license."
    ]


@pytest.mark.parametrize(("said", "passed"), [("no", "no"), ("[en, no, sv]", ["en", "no", "sv"]), ("\n- 'no'", ["no"])])
def test_norwegian_is_passed_on_as_a_language(tmp_path: Path, said: str, passed: object) -> None:
    teacher = written(tmp_path / "teacher", f"---\nlicense: mit\nlanguage: {said}\n---\n")
    folder = written(tmp_path / "student", CARD)
    set_terms(folder, ModelHubSettings(), str(teacher), lambda _: None)
    assert header(folder)["language"] == passed


@pytest.mark.parametrize(
    "text", ["", "---\n- a list\n---\n", "---\nlicense: [\n---\n", "---\nlicense: {a: 1}\n---\n", "\x00" * 99]
)
def test_a_damaged_card_of_a_teacher_passes_nothing_on(tmp_path: Path, text: str) -> None:
    folder = written(tmp_path / "student", CARD)
    for origin in (str(written(tmp_path / "teacher", text)), "toy:sentiment", "module:function", "http://x/predict", None, ""):
        set_terms(folder, ModelHubSettings(), origin, lambda line: pytest.fail(line))
    assert (folder / "README.md").read_text() == CARD


@pytest.mark.parametrize("text", ["- a list", "license: [mit", "license: !!python/name:os.system x", "license: 2024-13-45"])
def test_a_damaged_card_of_ones_own_is_named(tmp_path: Path, text: str) -> None:
    folder = written(tmp_path / "student", f"---\n{text}\n---\n")
    with pytest.raises(InputError, match=r"README.md: cannot be read .*; remove it, and run the command again"):
        set_terms(folder, ModelHubSettings(license="mit"), None, print)
    set_terms(tmp_path, ModelHubSettings(license="mit"), None, print)  # no card: nothing to write into


def test_the_card_of_a_public_teacher_is_read_without_a_token(hub: Hub, tmp_path: Path) -> None:  # noqa: F811
    teacher = written(tmp_path / "teacher", "---\nlicense: mit\n---\n")
    upload_model(teacher, "me/open", True, "train")
    upload_model(teacher, "me/closed", False, "train")
    found = card_of("me/open")
    assert found is not None and found.data.get("license") == "mit" and card_of("me/closed") is None


def test_the_hub_is_not_asked_about_the_toy_world(hub: Hub) -> None:  # noqa: F811
    before = len(hub.requests)
    assert card_of("toy") is None and card_of("toy:sentiment") is None and len(hub.requests) == before
    assert card_of("me/none") is None and len(hub.requests) > before


def test_languages_that_aliases_multiply_are_left_out(tmp_path: Path) -> None:
    lists = "".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 12))
    teacher = written(tmp_path / "teacher", f"---\nlicense: mit\nx0: &x0 [en]\n{lists}language: *x11\n---\n")
    folder = written(tmp_path / "student", CARD)
    set_terms(folder, ModelHubSettings(), str(teacher), lambda line: None)
    assert header(folder) == {"library_name": "transformers", "tags": ["synthetic"], "license": "mit"}
