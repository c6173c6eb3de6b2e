"""YAML is read as it was written, and nothing grows while it is read."""

import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from distill.common.yaml_text import YamlFault, as_written, parse_yaml

NAMES = [
    "no",
    "yes",
    "on",
    "off",
    "y",
    "null",
    "~",
    "true",
    "False",
    "001",
    "010",
    "12:30",
    "1.50",
    "+1",
    "1e5",
    "0x10",
    "1_000",
]
NAMES += ["2020-01-01", "00.5", "0o7", "-negative", ".5", "1.", "=", "NaN"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_a_list_stays_as_it_was_written(name: str) -> None:
    assert as_written(parse_yaml(f"labels: [{name}, other]")["labels"]) == [name, "other"]


def test_numbers_and_switches_of_the_core_schema_are_values() -> None:
    text = "a: 5\nb: 1e-5\nc: true\nd: null\ne: '5'\nf: -.5\ng: 010\nh: no\ni:\n"
    assert parse_yaml(text) == {"a": 5, "b": 1e-5, "c": True, "d": None, "e": "5", "f": -0.5, "g": "010", "h": "no", "i": None}


def test_anchors_and_merges_of_people_still_work() -> None:
    assert parse_yaml("a: &x {q: 1, r: 2}\nb: {<<: *x, r: 3}") == {"a": {"q": 1, "r": 2}, "b": {"q": 1, "r": 3}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: gives 'a' twice"),
        ("x: {q: 1, q: 1}", "gives 'q' twice"),
        ("a: &x [*x]", "alias"),
        ("a: !!python/object/apply:os.system [ls]", "tag"),
        ("a: !!int abc", "tag"),
        ("a: !!timestamp x", "tag"),
        ("? [a]\n: 5", "a key is a list"),
        ("a: " + "9" * 5000, "not valid YAML"),
        ("a: [", "not valid YAML"),
        ("--- 1\n--- 2", "not valid YAML"),
        ("a: " + "[" * 100_000, "deeper"),
        ("- " * 100_000, "deeper"),
        ("a: [" + "x," * 300_000 + "]", "values"),
        ("x" * 5_000_000, "characters"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, said: str) -> None:
    with pytest.raises(YamlFault, match=said):
        parse_yaml(text)


def test_aliases_that_multiply_are_refused_at_once() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join(['*' + old] * 9)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)]
    begun = time.monotonic()
    with pytest.raises(YamlFault, match="aliases"):
        parse_yaml("\n".join(lines))
    assert time.monotonic() - begun < 1


def test_a_long_text_behind_many_aliases_is_refused() -> None:
    with pytest.raises(YamlFault, match="aliases"):
        parse_yaml(f"a: &a {'x' * 1_000_000}\nb: [{', '.join(['*a'] * 1000)}]")


VALUES = st.recursive(
    st.one_of(st.text(max_size=8), st.integers(-(10**9), 10**9), st.floats(allow_nan=False)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1, max_size=5), VALUES | st.booleans() | st.none(), max_size=4))
def test_what_safe_dump_writes_comes_back(values: dict) -> None:
    text = yaml.safe_dump(values)
    assert as_text(parse_yaml(text)) == as_text(yaml.safe_load(text)) == as_text(values)


def as_text(value: object) -> object:
    """Texts such as 1e5 come back as numbers that know their spelling: compare what is written."""
    if isinstance(value, dict):
        return {key: as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return float(value) if _is_number(value) else value


def _is_number(value: object) -> bool:
    try:
        return not isinstance(value, bool) and value is not None and float(str(value)) == float(str(value))
    except ValueError:
        return False


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        parse_yaml(text)
    except YamlFault as fault:
        assert "\n" not in str(fault)
