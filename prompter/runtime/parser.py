"""From a YAML file and flags to dataclasses; flags win."""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from typing import Any, NoReturn

from transformers import HfArgumentParser

from distill.common.errors import InputError, did_you_mean
from distill.common.files import read_yaml
from prompter.runtime.shipped import config_path


class _Parser(HfArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def as_flags(values: dict[str, Any]) -> list[str]:
    """A mapping as command-line flags; a key without a value is left out."""
    flags = []
    for key, value in values.items():
        if value is None or value == []:
            continue
        flags.append(f"--{key}")
        if isinstance(value, dict):
            flags.append(json.dumps(value))
        elif isinstance(value, list):
            flags += [str(item) for item in value]
        else:
            flags.append(str(value))
    return flags


def parse(parts: Sequence[type], command: str, arguments: list[str], defaults: dict[str, Any] | None = None) -> list[Any]:
    """Fill dataclasses from flags, a `--config FILE` among them.

    Args:
        parts: The dataclasses; no two have a field of the same name.
        command: How the command is called, for its help.
        arguments: Flags as typed.
        defaults: Values that both the file and the flags override.

    Returns:
        One instance of each dataclass.

    Raises:
        InputError: An unknown key (the nearest known one is suggested), a wrong type, or a value out of its range.
    """
    parser = _Parser(parts, prog=command, formatter_class=argparse.HelpFormatter, allow_abbrev=False)
    parser.add_argument("--config", help="YAML file with any of the settings below.")
    flags = {flag.removeprefix("--") for action in parser._actions for flag in action.option_strings}
    names = {f.name for part in parts for f in dataclasses.fields(part)}
    known = sorted(names | {flag for flag in flags if "-" not in flag} - {"help", "h"})
    typed = _Parser((), add_help=False, allow_abbrev=False)
    typed.add_argument("--config")
    if not {"-h", "--help"} & set(arguments):
        named, arguments = typed.parse_known_args(_lists_joined(arguments, parser))
        values = dict(defaults or {})
        if named.config:
            file = config_path(named.config)
            in_file = read_yaml(file)
            for key in in_file:
                if key not in known:
                    raise InputError(f"{file}: unknown key '{key}'.{did_you_mean(str(key), known)}")
            values |= in_file
        arguments = [*as_flags(values), *arguments]
    *filled, _, rest = parser.parse_args_into_dataclasses(arguments, return_remaining_strings=True)
    if rest:
        flag = rest[0].removeprefix("--").split("=")[0].replace("-", "_")
        raise InputError(f"unknown argument '{rest[0]}'.{did_you_mean(flag, known)}")
    return filled


def _lists_joined(arguments: list[str], parser: argparse.ArgumentParser) -> list[str]:
    """Join the values of a list flag that is given several times: `--student A --student B` is `--student A B`."""
    lists = {flag: action.dest for action in parser._actions if action.nargs == "+" for flag in action.option_strings}
    joined: dict[str, list[str]] = {}
    others: list[str] = []
    into = others
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if flag in lists:
            into = joined.setdefault(lists[flag], [])
            into += [value] if equals else []
        else:
            into = others if argument.startswith("--") else into
            into.append(argument)
    return [*others, *(part for name, values in joined.items() for part in (f"--{name}", *values))]
