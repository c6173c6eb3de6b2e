"""How a user names a teacher, and how a name is stored and shown. Free of torch, so that settings may import it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distill.common.errors import InputError
from distill.common.terminal import one_line

_DOTTED = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"

FUNCTION_NAME = re.compile(rf"({_DOTTED}|(?!https?:)([A-Za-z]:[\\/])?[^:\n]+\.py):{_DOTTED}")
"""A Python function as text: "module:function", "module:object.method" or "file.py:function"; on Windows the path of a file
may begin with a drive."""

SERVICES = ("tei", "endpoint", "vllm", "openai")
"""Formats of services; the name of one may stand before an address: `vllm+http://HOST/classify`."""

URL_SCHEMES = tuple(
    f"{before}{scheme}://" for before in ("", *(f"{name}+" for name in SERVICES)) for scheme in ("http", "https")
)

LANGUAGE_MODELS = ("openai+http://", "openai+https://")
"""How the name of a language model behind HTTP begins."""

UNNAMED_CLASSES = (*LANGUAGE_MODELS, "vllm+http://", "vllm+https://")
"""How the names of services begin that cannot say which classes they have."""


def split_address(url: str) -> tuple[str, str, str]:
    """Return the format that an address of a service names, the address itself, and the model that it names.

    Examples:
        >>> split_address("vllm+https://host/classify?key=k#org/model")
        ('vllm', 'https://host/classify?key=k', 'org/model')
        >>> split_address("http://host/predict")
        ('', 'http://host/predict', '')
    """
    before, plus, rest = url.partition("+")
    service, rest = (before, rest) if plus and before in SERVICES else ("", url)
    address, _, model = rest.partition("#")
    return service, address, model


def fault_of_address(name: str) -> str:
    """Return what is wrong with a name that is meant as the address of a service but is none, or "".

    Examples:
        >>> fault_of_address("127.0.0.1:8080/predict")
        'is no address: write http://127.0.0.1:8080/predict'
        >>> fault_of_address("https:/host/predict"), fault_of_address("models/teacher")
        ('is no address: write https://host/predict', '')
    """
    if name.startswith(URL_SCHEMES):
        return ""
    if re.match(r"[\w.-]+:\d+(/|$)", name):
        return f"is no address: write http://{name.partition('?')[0]}"
    begun = re.match(r"((\w+)\+)?(https?):/*", name, re.IGNORECASE)
    if begun is None:
        return ""
    if begun[2] and begun[2].lower() not in SERVICES:
        return f"names no format of a service: expected {', '.join(f'{form}+' for form in SERVICES)} or nothing before http"
    return f"is no address: write {(begun[1] or '') + begun[3].lower()}://{name[begun.end() :].partition('?')[0]}"


LONGEST_NAME, LONGEST_PART = 2000, 255
"""Most bytes of a stored name, and of a part of it between two slashes: what file systems can look up."""


def check_stored_name(name: Any, file: Path, key: str) -> str:
    """Return the name of a model, a teacher or data that a file holds.

    Raises:
        InputError: It is not text, or no path, hub id or address can be so.
    """
    fits = isinstance(name, str) and name == one_line(name)
    parts = [part.encode("utf-8", "replace") for part in re.split(r"[/\\]", name)] if fits else []
    if not fits or len(name.encode("utf-8", "replace")) > LONGEST_NAME or max(map(len, parts)) > LONGEST_PART:
        raise InputError(f"{file}: '{key}' is no name of a model, a service or a file: copy the file again")
    return str(name)


def class_names(given: Any, where: str) -> list[str]:
    """Return names of classes that were given as a list, a tuple, an array, or a dictionary of names and positions.

    Args:
        given: What should be the names.
        where: What holds them, at the beginning of messages.

    Raises:
        InputError: They have no order, or are no names.

    Examples:
        >>> class_names(("neg", "pos"), "labels"), class_names({0: "neg", 1: "pos"}, "labels"), class_names([0, 1], "labels")
        (['neg', 'pos'], ['neg', 'pos'], ['0', '1'])
    """
    values = given.tolist() if hasattr(given, "tolist") else given  # numpy, torch, pandas
    if isinstance(values, dict):
        places = set(range(len(values)))
        if set(values) != places:  # positions by name
            values = {place: name for name, place in values.items() if isinstance(place, int)}
        values = [values[place] for place in sorted(places)] if set(values) == places else None
    if not isinstance(values, list | tuple) or not all(isinstance(name, str | int | float) for name in values):
        raise InputError(f"{where}: {str(given)[:80]!r}; expected a list of names, in the order of the columns.")
    return [str(name) for name in values]


def teacher_name(teacher: str | Callable[..., Any]) -> str:
    """Return the name of a teacher, as files and messages may show it.

    A function is named "module:qualname". The address of a service loses its query, which may hold a key.

    Examples:
        >>> teacher_name("https://host/predict?key=secret"), teacher_name("me/model")
        ('https://host/predict', 'me/model')
        >>> teacher_name("vllm+https://host/classify?key=secret#model")
        'vllm+https://host/classify#model'
        >>> import json
        >>> teacher_name(json.dumps)
        'json:dumps'
    """
    if not isinstance(teacher, str):
        named = teacher if hasattr(teacher, "__qualname__") else type(teacher)
        return f"{named.__module__}:{named.__qualname__}"
    if not teacher.startswith(URL_SCHEMES):
        return teacher
    address, mark, model = teacher.partition("#")
    return address.partition("?")[0] + mark + model
