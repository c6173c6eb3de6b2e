"""From flags, a YAML file and keyword arguments to settings.

Every setting is a field that `distill.common.settings.setting` declares, so its flag, its YAML key, its help and its checks
all come from one place. A value passes through the same conversion wherever it was given. Flags win over the file, and the
file wins over defaults.

`transformers.HfArgumentParser` is not used: importing it takes longer than a whole `--help` may.
"""

import argparse
import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from distill.common.errors import InputError, did_you_mean
from distill.common.files import read_yaml
from distill.common.settings import GROUPS, convert, is_list, is_switch
from prompter.runtime.shipped import config_path

Layer = tuple[str, Mapping[str, Any]]
"""Values by name, and what holds them, for messages."""

CONFIG = "config"

MARK = "\0"
"""Stands before a value that begins with a dash while argparse works; no argument of a process can hold it."""


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises errors instead of ending the process."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["formatter_class"], kwargs["allow_abbrev"] = argparse.RawDescriptionHelpFormatter, False
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise the message as an `InputError`."""
        raise InputError(message)


def names_of(parts: Iterable[type]) -> dict[str, dataclasses.Field]:
    """Return every name by which a setting may be called, and its field."""
    return {
        name: item for part in parts for item in dataclasses.fields(part) for name in (item.name, *item.metadata["aliases"])
    }


def add_settings(
    parser: argparse.ArgumentParser,
    parts: Iterable[type],
    positional: Sequence[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Add a flag for each setting of dataclasses, sorted into groups.

    Args:
        parser: Takes the flags; its defaults are left out, so that what was given can be told from what was not.
        parts: The dataclasses; no two have a setting of the same name.
        positional: Settings that have an argument without a flag already.
        defaults: Values that the help shows instead of the declared defaults, or words that say where they come from.
    """
    fields = [item for part in parts for item in dataclasses.fields(part)]
    for group in GROUPS:
        members = [item for item in fields if item.metadata["group"] == group and item.name not in positional]
        if not members and group != "Run":
            continue
        section = parser.add_argument_group(group)
        if group == "Run":
            section.add_argument(
                "--config", metavar="FILE", default=argparse.SUPPRESS, help="YAML file with any of these settings."
            )
        for item in members:
            section.add_argument(*_flags(item), **_options(item, (defaults or {}).get(item.name)))
            if is_switch(item):  # the other side of the switch, left out of the help: each setting stands there once
                section.add_argument(
                    f"--no_{item.name}", dest=item.name, action="store_const", const="false", default=argparse.SUPPRESS,
                    help=argparse.SUPPRESS,
                )  # fmt: skip


def _flags(item: dataclasses.Field) -> list[str]:
    if is_switch(item) and item.default is True:
        return [f"--{item.name}"]
    return [f"--{name}" for name in dict.fromkeys((*item.metadata["aliases"], item.name))]


def _options(item: dataclasses.Field, shown: Any = None) -> dict[str, Any]:
    about = item.metadata
    default = item.default_factory() if item.default is dataclasses.MISSING else item.default  # type: ignore[operator, misc]
    default = default if shown is None else shown
    text = about["help"]
    if about["choices"] and not is_list(item):
        text += f" One of: {', '.join(about['choices'])}."
    if is_switch(item) and not isinstance(default, str):
        text += f" (default: {'on; --no_' + item.name + ' switches it off' if default else 'off'})"
    elif default not in ("", None, []):
        text += f" (default: {' '.join(map(str, default)) if isinstance(default, list) else default})"
    options: dict[str, Any] = {"dest": item.name, "default": argparse.SUPPRESS, "help": text.replace("%", "%%")}
    if is_switch(item):
        return options | {"nargs": "?", "const": "true", "metavar": "BOOL"}
    if is_list(item):
        return options | {"nargs": "+", "action": "extend", "metavar": "VALUE"}
    if about["optional_value"] is not None:
        return options | {"nargs": "?", "const": about["optional_value"], "metavar": "FILE"}
    return options | {"metavar": "N" if item.type is int else "X" if item.type is float else "VALUE"}


def settings_parser(parts: Iterable[type], command: str) -> Parser:
    """Return a parser of its own for some dataclasses, for callers outside the command line."""
    parser = Parser(prog=command)
    add_settings(parser, parts)
    return parser


def given_flags(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> dict[str, Any]:
    """Parse flags and return what was given, by the name of the setting, as text.

    Raises:
        InputError: A flag is unknown (the nearest one is suggested), or lacks its value.
    """
    given, rest = parser.parse_known_args(normalised(arguments, parser))
    return placed(parser, given, rest)


def placed(parser: argparse.ArgumentParser, given: argparse.Namespace, rest: list[str]) -> dict[str, Any]:
    """Return what was given by name, with the words that argparse could not place put where they belong.

    Before Python 3.12 argparse finds no optional argument behind flags, so `export --rows 5 RUN` leaves RUN in the rest.

    Raises:
        InputError: A word belongs nowhere; the nearest flag is suggested.
    """
    values = {name: value if value is None else _unmarked(value) for name, value in vars(given).items()}
    for action in parser._actions:
        loose = [word for word in rest if not word.startswith("-")]
        if action.option_strings or action.nargs not in ("?", "*") or values.get(action.dest) or not loose:
            continue
        taken = loose[:1] if action.nargs == "?" else loose
        values[action.dest] = taken[0] if action.nargs == "?" else taken
        rest = [word for word in rest if word not in taken]
    if rest:
        wrong = next((word for word in rest if word.startswith("-")), rest[0])
        known = {flag.lstrip("-") for action in parser._actions for flag in action.option_strings}
        name = wrong.removeprefix(MARK).lstrip("-").split("=")[0].replace("-", "_")
        raise InputError(f"unknown argument '{wrong.removeprefix(MARK)}'.{did_you_mean(name, known)}")
    return {name: value for name, value in values.items() if value not in (None, [])}


def normalised(arguments: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """Write `--save-every` as `--save_every`, `--from=a b` as `--from a b`, and mark values that begin with a dash.

    A class may be called `-negative`. argparse takes such a word for a flag, so it gets a mark here that `placed` removes. A
    word is a value if it begins with one dash and stands behind a flag that still takes values, unless it is a setting's name
    with a dash too few: `-budget`.
    """
    actions = {flag: action for action in parser._actions for flag in action.option_strings}
    names = {flag.lstrip("-") for flag in actions}
    words: list[str] = []
    wanted = 0.0  # values that the flag before still takes
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if argument.startswith("--"):
            flag = "--" + flag[2:].replace("-", "_")
            action = actions.get(flag)
            wanted = 0.0 if action is None or action.nargs in (0, "?") else math.inf if action.nargs == "+" else 1.0
            if equals:
                wanted = wanted if wanted == math.inf else 0.0
                words += [flag, _marked(value)] if wanted else [flag + equals + value]
            else:
                words.append(flag)
            continue
        is_value = wanted > 0 and argument not in actions and flag.lstrip("-").replace("-", "_") not in names
        words.append(_marked(argument) if is_value else argument)
        wanted -= 1
    return words


def _marked(value: str) -> str:
    return MARK + value if value.startswith("-") else value


def _unmarked(value: Any) -> Any:
    return [_unmarked(item) for item in value] if isinstance(value, list) else str(value).removeprefix(MARK)


def combined(parts: Sequence[type], layers: Sequence[Layer]) -> dict[str, Any]:
    """Return the values of all layers by the name of the setting, later ones first; see `fill`."""
    return {name: value for name, (_, value) in _merged(parts, layers).items()}


def fill(parts: Sequence[type], layers: Sequence[Layer]) -> list[Any]:
    """Make one instance of each dataclass from values in layers.

    Args:
        parts: The dataclasses; no two have a setting of the same name.
        layers: Values with their source; a later layer wins. A value `config` names a YAML file, which comes right before
            the layer that names it. None stands for a value that was not given.

    Returns:
        The instances, in the order of `parts`.

    Raises:
        InputError: A name is unknown (the nearest one is suggested), or a value is of another type or out of its range. A
            file that holds the value is named.
    """
    merged = _merged(parts, layers)
    filled = []
    for part in parts:
        values = {}
        for item in dataclasses.fields(part):
            if item.name in merged:
                where, value = merged[item.name]
                with _naming(where):
                    values[item.name] = convert(item, value)
        try:
            filled.append(part(**values))
        except InputError as error:
            named = names_of([part]).get(str(error).split(" ", 1)[0])  # messages begin with the name of the setting
            with _naming(merged[named.name][0] if named and named.name in merged else ""):
                raise
    return filled


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Put the source of a value before an error about it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {error}" if where else str(error)) from None


def _merged(parts: Sequence[type], layers: Sequence[Layer]) -> dict[str, tuple[str, Any]]:
    """Return for each setting that was given where it was given and its value."""
    known = names_of(parts)
    merged: dict[str, tuple[str, Any]] = {}
    for where, values in layers:
        files = [(str(file := config_path(str(values[CONFIG]))), read_yaml(Path(file)))] if values.get(CONFIG) else []
        for source, content in [*files, (where, values)]:
            named: dict[str, str] = {}
            for name, value in content.items():
                if name == CONFIG and source == where:
                    continue
                if name not in known:
                    raise InputError(f"{source}: unknown key '{name}'.{did_you_mean(str(name), known)}".removeprefix(": "))
                if value is not None:
                    if (other := named.setdefault(known[name].name, name)) != name:
                        both = f"'{other}' and '{name}' are one setting: leave one of them out"
                        raise InputError(f"{source}: {both}".removeprefix(": "))
                    merged[known[name].name] = (source, value)
    return merged


def parse(
    parts: Sequence[type], command: str, arguments: Sequence[str], defaults: Mapping[str, Any] | None = None
) -> list[Any]:
    """Fill dataclasses from flags, a `--config FILE` among them; see `fill`.

    Args:
        parts: The dataclasses.
        command: How the command is called, for messages.
        arguments: Flags as typed.
        defaults: Values that file and flags override.
    """
    flags = given_flags(settings_parser(parts, command), arguments)
    return fill(parts, [("", defaults or {}), ("", flags)])
