"""How settings are declared, read and checked."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill.common.errors import InputError
from distill.common.settings import TRACKERS, check, convert, setting
from distill.common.yaml_text import parse_yaml


@dataclass
class Example:
    count: int = setting(4, "Count.", "Budget", low=1, high=1_000_000)
    share: float = setting(0.5, "Share.", "Budget", above=0, below=1)
    name: str = setting("", "Name.", "Models", required="give --name")
    kind: str = setting("a", "Kind.", "Models", choices=("a", "b"))
    on: bool = setting(True, "Switch.", "Run")
    items: list[str] = setting([], "Items.", "Texts", commas="always")
    labels: list[str] = setting([], "Labels.", "Texts", commas="alone")
    specs: list[str] = setting([], "Specs.", "Texts")
    weights: list[float] = setting([], "Weights.", "Texts", commas="always")
    place: str | None = setting(None, "Place.", "Output", path=True)


FIELD = {item.name: item for item in fields(Example)}


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("count", "16,000", 16000),
        ("count", "16_000", 16000),
        ("count", "1e4", 10000),
        ("count", 7.0, 7),
        ("share", "0.25", 0.25),
        ("name", 12, "12"),
        ("name", {"a": 1}, '{"a": 1}'),
        ("on", "no", False),
        ("on", True, True),
        ("items", "a,b", ["a", "b"]),
        ("items", ["a", "b, c"], ["a", "b", "c"]),
        ("labels", "good,bad", ["good", "bad"]),
        ("labels", ["good, old", "bad"], ["good, old", "bad"]),
        ("specs", "bert:layers=2,hidden=64", ["bert:layers=2,hidden=64"]),
        ("weights", "1,2.5", [1.0, 2.5]),
        ("weights", [1, 2.5], [1.0, 2.5]),
        ("labels", [5], ["5"]),
        ("place", "here", "here"),
        ("place", "~/here", "/home/someone/here"),
        ("place", "~", "/home/someone"),
        ("place", "vllm+HTTPS://Host/P", "vllm+https://Host/P"),
        ("place", "a/~/b", "a/~/b"),
        ("labels", ["~/here", "~"], ["~/here", "~"]),
        ("count", "010", 10),
        ("count", "900,719", 900719),
    ],
)
def test_what_a_user_writes_becomes_the_type_that_was_declared(
    name: str, written: Any, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert convert(FIELD[name], written) == value


@pytest.mark.parametrize(
    ("name", "written", "said"),
    [
        ("count", "many", "count is 'many', expected a whole number"),
        ("count", 1.5, "count is 1.5, expected a whole number"),
        ("count", True, "count is True, expected a whole number"),
        ("count", "nan", "count is 'nan', expected a whole number"),
        ("count", "1,00", "count is '1,00', expected a whole number"),
        ("share", "half", "share is 'half', expected a number"),
        ("on", "perhaps", "on is 'perhaps', expected true or false"),
        ("labels", [False, True], "labels is False, expected text: put quotes around it"),
        ("place", True, "place is True, expected text"),
        ("labels", [None], "labels is None, expected text: put quotes around it"),
        ("count", 10**400, "count is 10+, expected a whole number"),
    ],
)
def test_what_is_of_another_type_is_refused(name: str, written: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        convert(FIELD[name], written)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "name is missing: give --name"),
        ({"count": 0}, "count is 0, expected a whole number >= 1 and <= 1e.06"),
        ({"share": 1.0}, "share is 1.0, expected a number > 0 and < 1"),
        ({"share": float("nan")}, "share is nan, expected a number"),
        ({"kind": "c"}, "kind is 'c', expected one of: a, b"),
    ],
)
def test_values_out_of_range_are_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        check(Example(**({"name": "" if not values else "x"} | values)))


@given(st.integers(1, 1_000_000), st.sampled_from(["{}", "{:,}", "{:_}", "{:.0f}"]))
def test_whole_numbers_are_read_however_they_are_grouped(number: int, form: str) -> None:
    assert convert(FIELD["count"], form.format(number)) == number


def test_lists_are_not_shared_between_instances() -> None:
    first, second = Example(name="x"), Example(name="x")
    first.items.append("a")
    assert second.items == []


def test_trackers_are_those_of_transformers() -> None:
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    assert set(TRACKERS) - {"none", "all"} == set(INTEGRATION_TO_CALLBACK)


def test_long_whole_numbers_keep_their_digits() -> None:
    assert convert(FIELD["count"], "9007199254740993") == convert(FIELD["count"], "9,007,199,254,740,993") == 9007199254740993


def test_numbers_of_yaml_are_spelt_as_in_the_file_where_text_is_meant() -> None:
    values = parse_yaml("labels: [1.50, +1, no, 001, null, true]\nname: 1e5\ncount: 010\nshare: 0.50")
    found = {name: convert(FIELD[name], value) for name, value in values.items()}
    assert found == {"labels": ["1.50", "+1", "no", "001", "null", "true"], "name": "1e5", "count": 10, "share": 0.5}
    assert type(found["share"]) is float and type(convert(FIELD["count"], parse_yaml("7"))) is int


@pytest.mark.parametrize("name", ["labels", "specs", "items"])
def test_a_list_may_be_given_as_text(name: str) -> None:
    for written in ("[no, yes]", ["[no,", "yes]"], ["[no, yes]"], '["no", "yes"]'):
        assert convert(FIELD[name], written) == ["no", "yes"]
    assert convert(FIELD[name], "[1.50, 001]") == ["1.50", "001"] and convert(FIELD[name], "[]") == []
    assert convert(FIELD[name], ["[a]", "[b]"]) == ["[a]", "[b]"] and convert(FIELD[name], ["[a", "b"]) == ["[a", "b"]
    assert convert(FIELD["weights"], "[1, 2.5]") == [1.0, 2.5]
    for wrong in ("[no: [yes]", "[[a], [b]]", "[a: b]"):
        with pytest.raises(InputError, match=f"{name} is .* expected a list such as"):
            convert(FIELD[name], wrong)


def test_only_the_variable_of_the_home_may_begin_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/data")
    monkeypatch.setenv("SECRET", "token")
    assert convert(FIELD["place"], "$HOME/a") == convert(FIELD["place"], "${HOME}/a") == "/data/a"
    assert convert(FIELD["place"], "./$SECRET") == "./$SECRET" and convert(FIELD["name"], "$HOME") == "$HOME"
    for named in ("$SECRET/a", "$HOMES/a"):
        with pytest.raises(
            InputError, match=r"place is '\$\w+/a', and of variables only \$HOME is known: give the path itself"
        ):
            convert(FIELD["place"], named)


def test_names_that_are_no_characters_are_refused() -> None:
    with pytest.raises(InputError, match="place is .*not valid UTF-8: rename it"):
        convert(FIELD["place"], "/data/\udcff")


def test_numbers_and_arrays_of_other_libraries_are_read() -> None:
    assert convert(FIELD["count"], np.int64(3)) == convert(FIELD["count"], torch.tensor(3)) == 3
    assert type(convert(FIELD["count"], np.int64(3))) is int and convert(FIELD["share"], np.float32(0.25)) == 0.25
    for several in (np.array(["a", "b"]), pandas.Series(["a", "b"]), ("a", "b"), iter(["a", Path("b")])):
        assert convert(FIELD["specs"], several) == ["a", "b"]
    with pytest.raises(InputError, match="count is True, expected a whole number"):
        convert(FIELD["count"], np.bool_(True))


def test_an_object_is_not_read_by_how_it_is_printed() -> None:
    for name in ("name", "specs", "place"):
        for thing in (len, object(), pandas.DataFrame({"a": [1]}), {"a"}):
            with pytest.raises(InputError, match=f"^{name} is of type {type(thing).__name__}, expected"):
                convert(FIELD[name], thing)
    for thing in (["a text", "another"], {"text": "a"}):
        with pytest.raises(InputError, match="^place is of type (list|dict), expected a name or a path: write it to a file"):
            convert(FIELD["place"], thing)
