"""Markdown pages from templates.

Cards show text that a language model or a user wrote. Such text passes through the filter `cell`, so that it cannot become
markup. Names of models and files pass through `named`, which leaves out where they lie on this machine, too.
"""

import html
import re
from pathlib import Path
from typing import Any

from huggingface_hub import CardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from distill.common.terminal import printable

TEMPLATES = Path(__file__).parent / "templates"

MAX_CELL_LENGTH = 300


def render(template: str, header: CardData, **values: Any) -> str:
    """Fill one of the card templates.

    Args:
        template: File name in `templates`.
        header: The YAML block at the top of the card.
        **values: What the template names.
    """
    return render_part(template, header=header.to_yaml(), **values)


def render_part(template: str, **values: Any) -> str:
    """Fill a template that is only a part of a card; arguments as for `render`."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,  # the page is Markdown, not HTML; text of others goes through `cell`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}  # escapes of an emoji are no Python
    environment.filters |= {"cell": cell, "named": lambda value: cell(shown(value) if isinstance(value, str) else value)}
    page = environment.get_template(template).render(**values)
    # JSON can carry half of a surrogate pair, which UTF-8 cannot express.
    return page.encode("utf-8", "replace").decode("utf-8")


def shown(name: str | None) -> str:
    """Return a name for a card: of a place on this machine only the last part, as the card may be published.

    Examples:
        >>> shown("/home/me/models/small"), shown("static:/home/me/vectors"), shown("http://host/predict"), shown("org/small")
        ('small', 'static:vectors', 'http://host/predict', 'org/small')
    """
    text = name or ""
    # static:/a/folder and static:C:/a/folder, but no http://HOST, and no C:/a/folder
    found = re.match(r"[\w-]{2,}:(?=/(?!/)|[A-Za-z]:[/\\])", text)
    kind = found[0] if found else ""
    place = Path(text.removeprefix(kind))
    return kind + place.name if place.is_absolute() else text


def cell(text: Any, limit: int = MAX_CELL_LENGTH) -> str:
    r"""Return text as a cell of a Markdown table: one line of at most `limit` printable characters, without markup.

    Examples:
        >>> cell("a | *b* <i>\nc")
        'a \\| \\*b\\* &lt;i&gt; c'
    """
    line = printable(" ".join(str(text).split()))
    line = line if len(line) <= limit else line[: limit - 1] + "…"
    return re.sub(r"([\\`*_\[\]|#~$!])", r"\\\1", html.escape(line, quote=False))
