"""Lists in text files: JSON, or as Python writes them, which is what `DataFrame.to_csv` puts into a cell."""

import ast
import json
import re
from typing import Any

_ITEM = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[+-]?\d{1,40}(?:\.\d{0,40})?|True|False)"""

PYTHON_LIST = re.compile(rf"\[\s*(?:{_ITEM}(?:\s*,\s*{_ITEM})*\s*(?:,\s*)?)?\]", re.DOTALL)
"""Commas stand between all items: Python would join two texts without one, as numpy writes them.

No spaces can be read in two ways, or a cell of a million spaces would take hours.
"""


def list_in(value: Any) -> list[Any] | None:
    """Return a list, or the one that a text spells; None for other values.

    Examples:
        >>> list_in('["a", "b"]'), list_in("['a', 'b']"), list_in("['a' 'b']"), list_in("a")
        (['a', 'b'], ['a', 'b'], None, None)
    """
    if isinstance(value, list | tuple):
        return list(value)
    text = value.strip() if isinstance(value, str) else ""
    if not text.startswith("["):
        return None
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        try:
            items = ast.literal_eval(text) if PYTHON_LIST.fullmatch(text) else None
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    return items if isinstance(items, list) else None
