"""From flags, files and keyword arguments to settings."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from distill.common.errors import InputError
from distill.common.settings import setting
from prompter.runtime.parser import fill, given_flags, parse, settings_parser


@dataclass
class Work:
    budget: int = setting(16, "Queries.", "Budget", low=1)
    to: str = setting("", "Folder.", "Output", aliases=("output_dir", "to"))
    cache: bool = setting(True, "Keep.", "Run")
    names: list[str] = setting([], "Names.", "Texts", commas="always")

    def __post_init__(self) -> None:
        if self.budget < 1:
            raise InputError(f"budget is {self.budget}, expected a whole number >= 1")


def work(*flags: str) -> Work:
    return parse((Work,), "prompter work", flags)[0]


@pytest.mark.parametrize("flag", ["--to", "--output_dir", "--output-dir"])
def test_a_setting_has_one_value_by_all_its_names(flag: str) -> None:
    assert work(flag, "there").to == "there"
    assert work(f"{flag}=there").to == "there"


def test_two_names_of_one_setting_in_one_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("to: here\noutput_dir: there\n")
    with pytest.raises(InputError, match=r"a\.yaml: 'to' and 'output_dir' are one setting: leave one of them out"):
        work("--config", str(tmp_path / "a.yaml"))
    (tmp_path / "a.yaml").write_text("to: here\n")
    assert work("--config", str(tmp_path / "a.yaml"), "--output_dir", "there").to == "there"


@pytest.mark.parametrize("flag", [["--no_cache"], ["--no-cache"], ["--cache=false"], ["--cache", "off"]])
def test_switches_go_off(flag: list[str]) -> None:
    assert work().cache and work("--cache").cache and not work(*flag).cache


def test_lists_take_spaces_commas_and_repetition() -> None:
    assert work("--names", "a", "b,c", "--names=d", "e").names == ["a", "b", "c", "d", "e"]


def test_a_typo_is_named_even_where_something_is_missing() -> None:
    with pytest.raises(InputError, match=r"unknown argument '--budgte'\. Did you mean 'budget'\?"):
        work("--budgte", "5")
    for before in ([], ["--names", "a"], ["--names"], ["--to"], ["--to", "there"]):
        with pytest.raises(InputError, match="unknown argument '-budget'. Did you mean 'budget'|expected .* argument"):
            work(*before, "-budget", "5")


def test_values_may_begin_with_a_dash() -> None:
    assert work("--names", "-negative", "+positive", "--budget", "5").names == ["-negative", "+positive"]
    assert work("--names=-a", "-b", "--names", "c", "-d").names == ["-a", "-b", "c", "-d"]
    assert work("--names=--", "--budget", "5").names == ["--"]
    assert work("--to", "-there", "--budget=7") == Work(budget=7, to="-there")
    with pytest.raises(InputError, match="budget is -5, expected a whole number >= 1"):
        work("--budget", "-5")
    with pytest.raises(InputError, match="unknown argument '-x'"):
        work("--to", "there", "-x")


def test_a_wrong_value_in_a_file_names_file_and_key(tmp_path: Path) -> None:
    file = tmp_path / "work.yaml"
    for content, said in (("budget: many\n", "budget is 'many', expected a whole number"), ("budget: 0\n", "budget is 0")):
        file.write_text(content)
        with pytest.raises(InputError, match=f"{file}: {said}"):
            work("--config", str(file))
    file.write_text("budgets: 3\n")
    with pytest.raises(InputError, match=f"{file}: unknown key 'budgets'"):
        work("--config", str(file))


def test_an_error_in_a_flag_does_not_blame_the_file(tmp_path: Path) -> None:
    file = tmp_path / "work.yaml"
    file.write_text("budget: 5\noutput_dir: there\n")
    assert work("--config", str(file)) == Work(budget=5, to="there")
    with pytest.raises(InputError, match="^budget is 0"):
        work("--config", str(file), "--budget", "0")


def test_later_layers_win_and_none_is_not_given() -> None:
    (found,) = fill((Work,), [("", {"budget": 2, "to": "a"}), ("", {"budget": "3", "to": None})])
    assert (found.budget, found.to) == (3, "a")


def test_help_shows_each_flag_once_with_its_default() -> None:
    text = " ".join(settings_parser((Work,), "prompter work").format_help().split("options:")[1].split())
    for flag in ("--budget", "--output_dir", "--cache", "--names"):
        assert text.count(f"{flag} ") == 1, flag
    assert "(default: 16)" in text and "(default: on; --no_cache switches it off)" in text


def test_only_what_was_given_is_returned() -> None:
    assert given_flags(settings_parser((Work,), "prompter work"), ["--budget", "3"]) == {"budget": "3"}
