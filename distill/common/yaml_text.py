"""YAML as the user wrote it: the core schema of YAML 1.2, and nothing that grows while it is read.

PyYAML follows YAML 1.1, where `no` is false, `010` is 8, `12:30` is 750, and the last of two equal keys wins. Here only
`true`, `false`, `null` and decimal numbers are more than text. A number remembers its spelling, so that a class named `1.50`
or `+1` keeps its name (`Whole`, `Number`). No setting is a list of switches, so in a list `true`, `false` and `null` are
words.

Everything is bounded before it is built: the size of the text, its depth, and what its aliases stand for.
"""

import json
import re
from typing import Any

import yaml

MAX_CHARACTERS = 4_000_000
MAX_DEPTH = 50
MAX_NODES = 200_000
"""Values in the text, each alias counted as all that it stands for."""

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, which is ten times as fast, where PyYAML has it

TAG = "tag:yaml.org,2002:"
MERGE = TAG + "merge"

# A number with leading zeros is a name to most people, so it stays text: 001, 010, 00.5. So does 12e45, which may be part of
# a hash; where a setting is a number, it is converted from text.
INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?(0|[1-9][0-9]*)[eE][-+][0-9]+"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
NULL = re.compile(r"~|null|Null|NULL|")
HALVES = re.compile(r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}")


class Whole(int):
    """A whole number that remembers how it was written."""

    written: str


class Number(float):
    """A number that remembers how it was written."""

    written: str


def as_written(value: Any) -> Any:
    """Return a value with the numbers in it as text, spelt as in the file.

    Examples:
        >>> as_written(parse_yaml("[1.50, +1, good]"))
        ['1.50', '+1', 'good']
    """
    if isinstance(value, list):
        return [as_written(item) for item in value]
    return getattr(value, "written", value)


def json_for_yaml(value: Any) -> str:
    """Return a value as JSON that is YAML, too: JSON writes an emoji as two halves, which YAML refuses.

    Examples:
        >>> json_for_yaml({"good": "good 😀"})
        '{"good": "good 😀"}'
    """
    return HALVES.sub(lambda match: str(json.loads(f'"{match[0]}"')), json.dumps(value))


class YamlFault(ValueError):
    """The text is not YAML, or more than is read."""


def parse_yaml(text: str) -> Any:
    """Return what a YAML text says.

    Raises:
        YamlFault: It is not YAML, gives a key twice, or is too large, too deep, or full of aliases.
    """
    if len(text) > MAX_CHARACTERS:
        raise YamlFault(f"has {len(text):,} characters, expected at most {MAX_CHARACTERS:,}")
    try:
        _check_growth(text)
        return yaml.load(text, Loader=_Loader)  # a safe loader: see its base
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, YamlFault):
            raise
        raise YamlFault(f"is not valid YAML ({' '.join(str(error).split())})") from None


def _check_growth(text: str) -> None:
    """Refuse tags, depth, and aliases that multiply, from the events alone: nothing is built yet."""
    sizes: dict[str, int] = {}  # of what has an anchor and has ended
    open_anchors: list[tuple[str | None, int]] = []
    nodes = 0
    for event in yaml.parse(text, Loader=_Base):
        tag = getattr(event, "tag", None)
        if tag and not (isinstance(event, yaml.ScalarEvent) and tag == TAG + "str"):
            raise YamlFault(f"holds the tag '{tag}', expected plain text, lists and mappings")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise YamlFault(f"alias '*{event.anchor}' stands inside what it names, or before it")
            nodes += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            size = 1 + len(event.value) // 64
            nodes += size
            if event.anchor:
                sizes[event.anchor] = size
        elif isinstance(event, yaml.CollectionStartEvent):
            nodes += 1
            open_anchors.append((event.anchor, nodes - 1))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_anchors.pop()
            if anchor:
                sizes[anchor] = nodes - before
        if len(open_anchors) > MAX_DEPTH:
            raise YamlFault(f"is nested deeper than {MAX_DEPTH} levels")
        if nodes > MAX_NODES:
            raise YamlFault(f"holds more than {MAX_NODES:,} values, aliases counted as what they stand for")


class _Loader(_Base):
    """A safe loader of the core schema. Tags were refused before, so nothing else is ever constructed."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}
    yaml_constructors: dict[str | None, Any] = {}

    def text_of(self, node: yaml.ScalarNode) -> str:
        return str(node.value)

    def whole(self, node: yaml.ScalarNode) -> Whole:
        number = Whole(node.value)
        number.written = node.value
        return number

    def number(self, node: yaml.ScalarNode) -> Number:
        special = node.value[-1] in "fFnN"  # .inf and .nan
        number = Number(node.value.replace(".", "", 1) if special else node.value)
        number.written = node.value
        return number

    def switch(self, node: yaml.ScalarNode) -> bool:
        return BOOL[node.value]

    def nothing(self, node: yaml.ScalarNode) -> None:
        return None

    def items(self, node: yaml.SequenceNode) -> list[Any]:
        words = (TAG + "bool", TAG + "null")
        return [item.value if item.tag in words else self.construct_object(item, deep=True) for item in node.value]

    def mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise YamlFault(f"line {key.start_mark.line + 1}: a key is a list or a mapping, expected a name")
            if key.tag != MERGE and key.value in seen:
                raise YamlFault(f"line {key.start_mark.line + 1}: gives '{key.value}' twice; leave one out")
            seen.add(key.value)
        self.flatten_mapping(node)  # `<<: *other`
        return {key.value: self.construct_object(value, deep=True) for key, value in node.value}


for _name, _pattern in (
    ("int", INT),
    ("float", FLOAT),
    ("bool", re.compile("|".join(BOOL))),
    ("null", NULL),
    ("merge", re.compile("<<")),
):
    _Loader.add_implicit_resolver(TAG + _name, re.compile(f"(?:{_pattern.pattern})$"), None)
for _name, _construct in (
    ("str", _Loader.text_of),
    ("int", _Loader.whole),
    ("float", _Loader.number),
    ("bool", _Loader.switch),
    ("null", _Loader.nothing),
    ("merge", _Loader.text_of),
    ("seq", _Loader.items),
    ("map", _Loader.mapping),
):
    _Loader.add_constructor(TAG + _name, _construct)
# A value that was read can be written again.
yaml.SafeDumper.add_representer(Whole, lambda dumper, value: dumper.represent_int(int(value)))
yaml.SafeDumper.add_representer(Number, lambda dumper, value: dumper.represent_float(float(value)))
