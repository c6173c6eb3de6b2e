"""How a user names a teacher, and how a name is stored and shown. Free of torch, so that settings may import it."""

import re
from collections.abc import Callable
from typing import Any

FUNCTION_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
"""A Python function as text: "module:function"."""

URL_SCHEMES = ("http://", "https://")


def teacher_name(teacher: str | Callable[..., Any]) -> str:
    """Return the name of a teacher, as files and messages may show it.

    A function is named "module:qualname". The address of a service loses its query, which may hold a key.

    Examples:
        >>> teacher_name("https://host/predict?key=secret"), teacher_name("me/model")
        ('https://host/predict', 'me/model')
        >>> import json
        >>> teacher_name(json.dumps)
        'json:dumps'
    """
    if not isinstance(teacher, str):
        named = teacher if hasattr(teacher, "__qualname__") else type(teacher)
        return f"{named.__module__}:{named.__qualname__}"
    return teacher.partition("?")[0] if teacher.startswith(URL_SCHEMES) else teacher
